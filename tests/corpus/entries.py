"""The requests of real clients: what they sent, what is odd about it, and what they expect of the answer."""

import json
from pathlib import Path
from typing import Any

CORPUS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("requests.json").read_text(encoding="utf-8"))
ENTRIES = {entry["id"]: entry for entry in CORPUS}
