from collections.abc import Iterator

import pytest

from tests.vocabulary.provider import Provider, provider


@pytest.fixture(scope="module")
def op() -> Iterator[Provider]:
    """The provider with every feature. The tests of a file share it: each registers clients of its own."""
    with provider() as everything:
        yield everything
