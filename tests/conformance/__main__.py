"""python -m tests.conformance: writes docs/conformance.md anew."""

from tests.conformance.matrix import DOCUMENT, write

write()
print(f"{DOCUMENT.name} is written.")
