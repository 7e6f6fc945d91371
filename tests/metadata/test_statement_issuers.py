"""An issuer of software statements as data."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg.metadata.statement_issuers import StatementIssuer
from tests.hostile import json_values
from tests.statements import public, rsa_key, trusted

JWKS_URI = "https://directory.example/jwks"
FULL: dict[str, Any] = {
    "issuer": "OpenBanking Ltd",
    "jwks_uri": JWKS_URI,
    "algorithms": ["PS256"],
    "audience": ["https://alias.example"],
    "require_audience": True,
    "max_age": 3600,
    "leeway": 0,
    "type": "JWT",
    "one_time": True,
    "claims": ["client_name"],
    "map": {"software_redirect_uris": "redirect_uris"},
    "defaults": ["client_name"],
    "limits": ["redirect_uris"],
    "scopes": ["accounts"],
    "software_ids": ["a"],
    "refused_software_ids": ["b"],
    "signed_requests": {
        "required": False,
        "issuer": "org_id",
        "keys": "software_jwks_endpoint",
        "algorithms": ["PS256"],
        "audience": ["https://alias.example"],
        "max_age": 60,
    },
}
WRONG: dict[str, list[Any]] = {
    "issuer": [None, "", " x", "x ", "x" * 256, "\u00e9", "a\nb", 1, []],
    "jwks": ["x", {}, {"keys": []}, {"keys": [{}]}, {"keys": [{"kty": "oct", "k": "AAAA"}]}],
    "jwks_uri": [
        "http://directory.example",
        "https://localhost/jwks",
        "https://10.0.0.1/jwks",
        "https://a@b.example",
        1,
    ],
    "algorithms": [None, [], "RS256", ["none"], ["HS256"], ["RS256", 1]],
    "audience": [None, "x", [1], [""]],
    "require_audience": [None, 1, "true"],
    "max_age": [-1, 1.5, "1", True],
    "leeway": [None, -1, "1", False],
    "type": ["", 1, ["JWT"]],
    "one_time": [None, 0, "yes"],
    "claims": ["client_name", [1], [""]],
    "map": [None, [], {"a": 1}, {"": "x"}, {"x": ""}],
    "defaults": [None, "x", [1], ["software_id"], ["x", "x"], ["redirect_uris"]],
    "limits": [None, "x", [1], ["software_id"], ["client_name"]],
    "scopes": ["accounts", [1]],
    "software_ids": ["a", [1], ["x" * 256]],
    "refused_software_ids": [None, "a", [1]],
    "signed_requests": [True, [], {"unknown": 1}, {"required": 1}, {"issuer": ""}, {"algorithms": ["HS256"]}],
    "unknown": [1],
}


def test_an_issuer_is_written_as_it_was_read() -> None:
    for value in (FULL, trusted(), {**FULL, "signed_requests": {}}, {**FULL, "signed_requests": None}):
        issuer = StatementIssuer.from_json(json.loads(json.dumps(value)))
        assert StatementIssuer.from_json(json.loads(json.dumps(issuer.to_json()))) == issuer
    assert StatementIssuer.from_json(FULL).to_json() == FULL
    assert StatementIssuer.from_json(trusted()).to_json() == trusted()


@pytest.mark.parametrize(("member", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_is_wrong_is_named(member: str, value: Any) -> None:
    with pytest.raises(ValueError, match=member.replace("unknown", "none of its members")):
        StatementIssuer.from_json({**FULL, member: value})


@pytest.mark.parametrize("value", [None, [], "x", {}, {"jwks_uri": JWKS_URI}, {"issuer": "x"}])
def test_what_is_no_issuer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\bmust\b"):
        StatementIssuer.from_json(value)
    with pytest.raises(ValueError, match="either"):
        StatementIssuer.from_json({"issuer": "x", "jwks": public(rsa_key()), "jwks_uri": JWKS_URI})


@given(st.sampled_from([*WRONG]), json_values)
def test_whatever_a_member_is_it_is_read_or_refused(member: str, value: Any) -> None:
    with suppress(ValueError):
        StatementIssuer.from_json({**FULL, member: value}).to_json()


def test_software_is_approved_and_disapproved() -> None:
    everything = StatementIssuer.from_json(trusted())
    listed = StatementIssuer.from_json(trusted(software_ids=["a"]))
    for issuer in (everything, listed):
        without = issuer.with_software("a", approved=False)
        assert issuer.approves("a") and not without.approves("a")
        assert without.with_software("a", approved=True) == issuer
        assert issuer.with_software("b", approved=True).approves("b")
    assert everything.approves(None) and not listed.approves(None)
