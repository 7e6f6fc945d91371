"""No policy gives a client more than its software statement, or who has signed that, allows."""

from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import ConfigurationError, DynamicRegistration, Terms
from tests.conftest import CLIENT, MakeApp
from tests.statements import statement, trusted

BOTH = ["mcp:read", "mcp:write"]


def scope(make_app: MakeApp, issuer: dict[str, Any], policy: dict[str, Any], **claims: Any) -> str | None:
    app = make_app(DYNREG_STATEMENT_ISSUERS=[issuer], DYNREG_POLICIES=[policy])
    answer = app.test_client().post("/oauth2/register", json={**CLIENT, "software_statement": statement(**claims)})
    assert answer.status_code == 201, answer.text
    found: str | None = answer.get_json().get("scope")
    return found


@pytest.mark.parametrize(
    "policy",
    [{"policy": "default_scopes", "scopes": BOTH}, {"policy": "forced", "metadata": {"scope": " ".join(BOTH)}}],
)
@pytest.mark.parametrize(
    ("members", "claims"), [({"scopes": ["mcp:read"]}, {}), ({"limits": ["scope"]}, {"scope": "mcp:read"})]
)
def test_scopes_are_those_that_a_statement_allows(
    make_app: MakeApp, policy: dict[str, Any], members: dict[str, Any], claims: dict[str, Any]
) -> None:
    assert scope(make_app, trusted(**members), policy, **claims) == "mcp:read"


def test_redirect_uris_are_some_of_the_statement(make_app: MakeApp) -> None:
    elsewhere = {"policy": "forced", "metadata": {"redirect_uris": ["https://else.example/cb"]}}
    issuer = trusted(limits=["redirect_uris"])
    app = make_app(DYNREG_STATEMENT_ISSUERS=[issuer], DYNREG_POLICIES=[elsewhere])
    text = statement(redirect_uris=CLIENT["redirect_uris"])
    answer = app.test_client().post("/oauth2/register", json={**CLIENT, "software_statement": text})
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_redirect_uri")


def test_a_forced_scope_is_all_there_is(make_app: MakeApp) -> None:
    dynreg = DynamicRegistration(SQLAlchemy())
    app = make_app(dynreg._db, dynreg, DYNREG_ACCESS=["initial_access_token"], DYNREG_DEFAULT_SCOPES=["mcp:write"])
    with app.app_context():
        token = dynreg.issue_initial_access_token(terms=Terms(forced={"scope": "mcp:read"}))
        dynreg._db.session.commit()
    sent = {**CLIENT, "scope": "mcp:write offline_access"}
    answer = app.test_client().post("/oauth2/register", json=sent, headers={"Authorization": f"Bearer {token}"})
    assert answer.get_json()["scope"] == "mcp:read"


def test_what_the_server_does_not_support_is_not_forced(make_app: MakeApp) -> None:
    dynreg = DynamicRegistration(SQLAlchemy())
    with make_app(dynreg._db, dynreg).app_context(), pytest.raises(ValueError, match="forced: response_types"):
        dynreg.issue_initial_access_token(terms=Terms(forced={"response_types": ["bogus"]}))
    with pytest.raises(ConfigurationError, match="response_types"):
        make_app(DYNREG_POLICIES=[{"policy": "forced", "metadata": {"response_types": ["bogus"]}}])
