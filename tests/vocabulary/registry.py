"""The names of metadata_registry.json: what IANA and the specifications say that client metadata may be."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_REGISTRY: dict[str, Any] = json.loads(Path(__file__).with_name("metadata_registry.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    name: str
    type: str
    localizable: bool
    direction: str
    single_valued: str | None

    @property
    def is_list(self) -> bool:
        return self.type.endswith("[]")


ROWS = {
    row["name"]: Row(row["name"], row["type"], row["localizable"], row["direction"], row.get("single_valued"))
    for row in _REGISTRY["client_metadata"]
}
SERVER_MADE = [name for name, row in ROWS.items() if row.direction.startswith("response")]
CHOICES = {name: row.single_valued for name, row in ROWS.items() if row.single_valued}
"""The lists of Relying Party Metadata Choices, each with the member that holds the value which is chosen."""
STATEMENT = "software_statement"
"""Client metadata too, but a way of sending the others: in no schema, and never removed. It has further tests of its own."""
SENT = [name for name in ROWS if name not in SERVER_MADE]
"""What a client may send."""
KEPT = [name for name in SENT if name not in CHOICES]
"""What it is registered with."""
LOCALIZABLE = [name for name, row in ROWS.items() if row.localizable]

_NO_TEXT: list[Any] = [True, False, 0, 1, -1, 1.5, 1e300, 10**400, {}, {"x": 1}]
_NO_STRING = [*_NO_TEXT, [], ["x"], [None]]
_NO_STRINGS = [*_NO_TEXT, "x", "code", '["x"]', [1], [None], [True], [[]], [{}], [""], [" "], ["x", 1]]
WRONG_TYPES: dict[str, list[Any]] = {
    "string": _NO_STRING,
    "uri": _NO_STRING,
    "space-separated": _NO_STRING,
    "string[]": _NO_STRINGS,
    "uri[]": _NO_STRINGS,
    "bool": [0, 1, -1, 1.5, "true", "false", "yes", "1", [], [True], {}, {"x": True}],
    "int": [True, False, "60", "x", 60.0, 1.5, 1e300, [], [60], {}, {"x": 60}],
    "object": [True, False, 0, 1, 1.5, "x", "{}", [], [{}], ["x"]],
    "jwks": [True, False, 0, 1, 1.5, "x", '{"keys": []}', [], [{}], {}, {"keys": {}}, {"keys": "x"}, {"keys": [1]}],
}
"""What is no value of a type of the registry: nothing is taken for something that it only looks like."""
