"""Policies of a host's own: what they are asked, what they change, and what they refuse."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import ConfigurationError, DynamicRegistration, PolicyContext, Profile, refused
from flask_dynreg.policies.policy import Policy
from tests.conformance.exchange import PUBLIC, Client, delete, post, read, registered, replaced, update
from tests.conformance.exchange import refused as is_refused
from tests.conftest import CLIENT, MakeApp
from tests.statements import statement, trusted

Metadata = Mapping[str, Any]
INVALID = "invalid_client_metadata"


class Server:
    def __init__(self, make_app: MakeApp, policies: Mapping[str, Policy | Profile], **config: Any) -> None:
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db, policies=policies)
        self.app: Flask = make_app(self.db, self.dynreg, **{"DYNREG_POLICIES": list(policies), **config})
        self.http: FlaskClient = self.app.test_client()

    def row(self, client: Client) -> Any:
        with self.app.app_context():
            return self.dynreg.query_client(client["client_id"])

    def forget(self, make_app: MakeApp, **config: Any) -> FlaskClient:
        """The server after a restart without its own policies, on the same database."""
        db = SQLAlchemy()
        url = str(self.app.config["SQLALCHEMY_DATABASE_URI"])
        return make_app(db, DynamicRegistration(db), SQLALCHEMY_DATABASE_URI=url, **config).test_client()


def no_logos(metadata: Metadata, context: PolicyContext) -> Metadata:
    return {name: value for name, value in metadata.items() if name != "logo_uri"}


def shouting(metadata: Metadata, context: PolicyContext) -> Metadata:
    return {**metadata, "client_name": metadata.get("client_name", "").upper()}


def polite(metadata: Metadata, context: PolicyContext) -> Metadata:
    if "rude" in metadata.get("client_name", "").lower():
        raise refused("client_name", "must be polite.")
    return metadata


def short(metadata: Metadata, context: PolicyContext) -> Metadata:
    if len(metadata["redirect_uris"]) > 1:
        raise refused("redirect_uris/1", "must not be there: one is enough.")
    return metadata


def test_a_policy_changes_what_is_registered_and_its_event_tells(make_app: MakeApp) -> None:
    server = Server(make_app, {"no_logos": no_logos, "shouting": shouting})
    client = registered(server.http, **PUBLIC, client_name="mine", logo_uri="https://client.example/logo")
    assert client["client_name"] == "MINE" and "logo_uri" not in client
    assert read(server.http, client).get_json() == client
    with server.app.app_context():
        (details,) = server.db.session.scalars(server.db.select(server.dynreg.models.event.details)).all()
        assert json.loads(details)["policies"] == {"no_logos": ["logo_uri"], "shouting": ["client_name"]}


def test_what_every_policy_refuses_is_told_together_with_the_rest(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(make_app, {"polite": polite, "short": short})
    caplog.set_level(logging.INFO, "flask_dynreg")
    uris = ["https://client.example/cb", "https://client.example/cb2"]
    body = is_refused(
        post(server.http, {"redirect_uris": uris, "client_name": "Rude", "client_uri": 5}), "invalid_redirect_uri"
    )
    told = {problem["pointer"]: problem["description"] for problem in body["errors"]}
    assert told.keys() == {"/redirect_uris/1", "/client_name", "/client_uri"}
    assert told["/client_name"] == "must be polite."
    assert "polite:" not in body["error_description"]  # the names of policies are for operators
    assert "Refused by short, polite:" in caplog.text


def test_what_cannot_be_read_is_refused_once(make_app: MakeApp) -> None:
    server = Server(make_app, {"short": short})
    body = is_refused(post(server.http, {"redirect_uris": "x"}), "invalid_redirect_uri")
    assert [problem["pointer"] for problem in body["errors"]] == ["/redirect_uris"]


def test_a_policy_sees_who_asks_for_what(make_app: MakeApp) -> None:
    seen: list[PolicyContext] = []

    def watching(metadata: Metadata, context: PolicyContext) -> Metadata:
        seen.append(context)
        return metadata

    server = Server(make_app, {"watching": watching}, DYNREG_STATEMENT_ISSUERS=[trusted()])
    http = server.http
    headers = {"Origin": "https://app.example"}
    sent = {**CLIENT, "department": 5, "software_statement": statement(client_name="Stated")}
    client = http.post("/oauth2/register", json=sent, headers=headers).get_json()
    replaced(http, client, **CLIENT)
    first, second = seen
    assert (first.operation, first.client, first.principal.source) == ("register", None, "open")
    assert first.sent["department"] == 5 and "department" in first.ignored
    assert first.statement and first.statement["client_name"] == "Stated" and "client_name" in first.locked
    assert first.facts.origin == "https://app.example" and first.facts.address == "127.0.0.1"
    assert second.operation == "update" and second.client
    assert second.client.client_id == client["client_id"] and second.principal.source == "open"


def test_what_a_policy_makes_is_checked_as_if_the_client_had_sent_it(make_app: MakeApp) -> None:
    def public(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "token_endpoint_auth_method": "none"}

    def broken(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "client_uri": "javascript:1", "jwks": 5}

    both = [*(CLIENT["redirect_uris"]), "https://client.example/other"]
    grants = ["authorization_code", "client_credentials"]
    client = registered(Server(make_app, {"public": public}).http, redirect_uris=both, grant_types=grants)
    assert client["grant_types"] == ["authorization_code"] and "client_secret" not in client
    body = is_refused(post(Server(make_app, {"broken": broken}).http, CLIENT), "invalid_client_metadata")
    assert {problem["pointer"] for problem in body["errors"]} == {"/client_uri", "/jwks"}


def test_a_policy_changes_nothing_that_a_statement_says(make_app: MakeApp) -> None:
    server = Server(make_app, {"shouting": shouting}, DYNREG_STATEMENT_ISSUERS=[trusted()])
    sent = {**CLIENT, "software_statement": statement(client_name="Stated")}
    body = is_refused(post(server.http, sent), "invalid_client_metadata")
    assert [problem["pointer"] for problem in body["errors"]] == ["/client_name"]
    assert registered(server.http, **{**CLIENT, "software_statement": statement(client_name="STATED")})


def test_a_policy_that_fails_lets_nobody_in(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    def failing(metadata: Metadata, context: PolicyContext) -> Metadata:
        raise RuntimeError("secret")

    server = Server(make_app, {"failing": failing})
    answer = post(server.http, CLIENT)
    assert (answer.status_code, answer.get_json()["error"]) == (500, "server_error")
    assert "secret" not in answer.text and "The policy failing failed." in caplog.text
    with server.app.app_context():
        assert not server.db.session.scalars(server.db.select(server.dynreg.models.client)).all()


def test_a_policy_holds_at_updates_too(make_app: MakeApp) -> None:
    server = Server(make_app, {"polite": polite})
    client = registered(server.http, **PUBLIC)
    answer = update(server.http, client, {**PUBLIC, "client_id": client["client_id"], "client_name": "Rude"})
    is_refused(answer, "invalid_client_metadata")
    assert read(server.http, client).get_json() == client
    row = server.row(client)
    with server.app.app_context():
        assert row.is_under("polite") and not row.is_under("short")


def test_a_policy_that_is_gone_forbids_updates_alone(make_app: MakeApp, sqlite_url: str) -> None:
    """Nobody knows any more what it forbade."""
    server = Server(make_app, {"polite": polite}, SQLALCHEMY_DATABASE_URI=sqlite_url)
    client = registered(server.http, **CLIENT)
    http = server.forget(make_app)
    answer = update(http, client, {**CLIENT, "client_id": client["client_id"]})
    assert (answer.status_code, answer.get_json()["error"]) == (403, "access_denied")
    assert read(http, client).status_code == 200
    assert registered(http, **CLIENT)
    assert delete(http, client).status_code == 204


def test_a_new_policy_holds_for_clients_that_are_there(make_app: MakeApp, sqlite_url: str) -> None:
    before = Server(make_app, {}, SQLALCHEMY_DATABASE_URI=sqlite_url)
    client = registered(before.http, **CLIENT)
    server = Server(make_app, {"polite": polite}, SQLALCHEMY_DATABASE_URI=sqlite_url)
    answer = update(server.http, client, {**CLIENT, "client_id": client["client_id"], "client_name": "Rude"})
    is_refused(answer, "invalid_client_metadata")
    replaced(server.http, client, **CLIENT)
    with server.app.app_context():
        client_row = server.dynreg.query_client(client["client_id"])
        assert client_row and client_row.is_under("polite")


def test_a_profile_is_policies_under_one_name(make_app: MakeApp) -> None:
    server = Server(make_app, {"house": Profile(polite=polite, short=short)})
    is_refused(post(server.http, {**CLIENT, "client_name": "Rude"}), "invalid_client_metadata")
    client = registered(server.http, **CLIENT)
    with server.app.app_context():
        row = server.dynreg.query_client(client["client_id"])
        assert row and row.is_under("short") and row.is_under("house/short") and not row.is_under("house/other")
        assert json.loads(row.policies or "") == ["house"]


def test_a_policy_has_a_function_for_its_name(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    assert dynreg.policy(polite) is polite
    http = make_app(db, dynreg, DYNREG_POLICIES=["polite"]).test_client()
    is_refused(post(http, {**CLIENT, "client_name": "Rude"}), "invalid_client_metadata")
    with pytest.raises(ConfigurationError, match="must come before init_app"):
        dynreg.policy(short)


@pytest.mark.parametrize(
    "policies",
    [
        ["unknown"],
        [{"policy": "unknown"}],
        [{"policy": "polite"}],
        [{"name": "x"}],
        [{"policy": "scope_ceiling"}],
        [{"policy": "scope_ceiling", "scopes": [], "more": 1}],
        [{"policy": "scope_ceiling", "scopes": []}, {"policy": "scope_ceiling", "scopes": []}],
        [{"policy": "scope_ceiling", "scopes": [], "name": "approval"}],
        [{"policy": "scope_ceiling", "scopes": [], "name": 5}],
        [{"policy": "trusted_redirect_hosts", "hosts": "app.example"}],
        [{"policy": "auth_method_ceiling", "methods": None}],
        [{"policy": "grant_ceiling", "grant_types": [5]}],
        [{"policy": "lifetime", "seconds": "60"}],
        [{"policy": "lifetime", "seconds": 10**30}],
        [{"policy": "lifetime", "seconds": 0}],
        [{"policy": "forced", "metadata": ["x"]}],
    ],
)
def test_a_name_that_leads_nowhere_stops_the_start(make_app: MakeApp, policies: list[Any]) -> None:
    with pytest.raises(ConfigurationError):
        make_app(DYNREG_POLICIES=policies)


def test_an_own_policy_takes_no_name_that_is_there(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    with pytest.raises(ConfigurationError, match="approval"):
        make_app(db, DynamicRegistration(db, policies={"approval": polite}))


def test_two_of_a_kind_have_names_of_their_own(make_app: MakeApp) -> None:
    ceilings = [
        {"policy": "scope_ceiling", "scopes": ["mcp:read", "mcp:write"]},
        {"policy": "scope_ceiling", "scopes": ["mcp:read"], "name": "readers"},
    ]
    http = make_app(DYNREG_POLICIES=ceilings).test_client()
    assert registered(http, **CLIENT, scope="mcp:write mcp:read")["scope"] == "mcp:read"


def test_a_registration_may_end(make_app: MakeApp) -> None:
    now = [1_800_000_000.0]
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, clock=lambda: now[0])
    lifetimes = [{"policy": "lifetime", "seconds": 60}, {"policy": "lifetime", "seconds": 30, "name": "shorter"}]
    app = make_app(db, dynreg, DYNREG_POLICIES=lifetimes)
    client = registered(app.test_client(), **CLIENT)
    for seconds, active in ((0, True), (29, True), (30, False)):
        with app.app_context():
            now[0] = 1_800_000_000.0 + seconds
            row = dynreg.query_client(client["client_id"])
            assert row and row.is_active is active
    answer = update(app.test_client(), client, {**CLIENT, "client_id": client["client_id"]})
    assert (answer.status_code, answer.get_json()["error"]) == (403, "access_denied")
    assert delete(app.test_client(), client).status_code == 204


def test_what_is_registered_is_as_every_policy_wants_it_whatever_their_order(make_app: MakeApp) -> None:
    wide = {"policy": "default_scopes", "scopes": ["mcp:read", "mcp:write"]}
    narrow = {"policy": "scope_ceiling", "scopes": ["mcp:read"]}
    for policies in ([narrow, wide], [wide, narrow]):
        client = registered(make_app(DYNREG_POLICIES=policies).test_client(), **CLIENT, scope="mcp:write")
        assert client["scope"] == "mcp:read"

    def renaming(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "client_name": "rude" if context.client is None else "kind"}

    refusing = Server(make_app, {"polite": polite, "renaming": renaming})
    is_refused(post(refusing.http, CLIENT), "invalid_client_metadata")


def test_policies_that_do_not_agree_let_nobody_in(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    def counting(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "client_name": metadata.get("client_name", "") + "a"}

    answer = post(Server(make_app, {"counting": counting}).http, CLIENT)
    assert (answer.status_code, answer.get_json()["error"]) == (500, "server_error")
    assert "The policies counting do not agree." in caplog.text


def test_one_that_is_asked_once_has_refused_whatever_others_change(make_app: MakeApp) -> None:
    def first(metadata: Metadata, context: PolicyContext) -> Metadata:
        raise refused("client_name", "must be another.")

    first.asked_once = True  # type: ignore[attr-defined]
    for policies in ({"first": first, "no_logos": no_logos}, {"no_logos": no_logos, "first": first}):
        body = is_refused(post(Server(make_app, policies).http, CLIENT | {"logo_uri": "https://x.example"}), INVALID)
        assert [problem["pointer"] for problem in body["errors"]] == ["/client_name"]


def test_what_one_that_is_asked_once_has_asked_for_holds_whatever_others_change(make_app: MakeApp) -> None:
    """At the registration, and at each update anew."""

    def first(metadata: Metadata, context: PolicyContext) -> Metadata:
        if "logo_uri" in metadata:
            context.require_approval("It has a logo.")
            context.limit_lifetime(60)
        return metadata

    first.asked_once = True  # type: ignore[attr-defined]
    server = Server(make_app, {"first": first, "shouting": shouting, "no_logos": no_logos})
    client = registered(server.http, **PUBLIC, client_name="mine", logo_uri="https://client.example/logo")
    row = server.row(client)
    assert (row.status, row.status_reason) == ("pending", "It has a logo.")
    assert row.expires_at == client["client_id_issued_at"] + 60
    with server.app.app_context():
        server.dynreg.approve_client(client["client_id"], "fine", version=1)
        server.db.session.commit()
    replaced(server.http, client, **PUBLIC, client_name="OTHER", logo_uri="https://client.example/logo")
    row = server.row(client)
    assert (row.status, row.client_name, row.requested["client_name"]) == ("active", "MINE", "OTHER")
    replaced(server.http, client, **PUBLIC, client_name="third")
    row = server.row(client)
    assert (row.status, row.client_name, row.requested) == ("active", "THIRD", None)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_registration_does_not_end_before_it_begins(
    make_app: MakeApp, seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    def over(metadata: Metadata, context: PolicyContext) -> Metadata:
        context.limit_lifetime(seconds)
        return metadata

    answer = post(Server(make_app, {"over": over}).http, CLIENT)
    assert (answer.status_code, answer.get_json()["error"]) == (500, "server_error")
    assert "seconds must be 1 or more" in caplog.text
