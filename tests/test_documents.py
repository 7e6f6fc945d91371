"""docs/software-statements.md says what is so."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from flask_dynreg.metadata.statement_issuers import SignedRequests, StatementIssuer
from tests.servers import ROOT

STATEMENTS = (ROOT / "docs" / "software-statements.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", STATEMENTS, re.MULTILINE | re.DOTALL)]
ISSUERS = [block for block in BLOCKS if "issuer" in block]


@pytest.mark.parametrize("issuer", ISSUERS, ids=[block["issuer"] for block in ISSUERS])
def test_every_issuer_that_is_shown_is_one(issuer: dict[str, Any]) -> None:
    assert StatementIssuer.from_json(issuer).issuer == issuer["issuer"]


def test_every_member_of_an_issuer_is_told() -> None:
    told = [
        name for row in re.findall(r"^\| (`.+?) \|", STATEMENTS, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(told) == sorted(member.name for kind in (StatementIssuer, SignedRequests) for member in fields(kind))
