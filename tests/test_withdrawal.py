"""`@dynreg.on_withdrawal`: what was issued for a client ends with what the client gives up, in one transaction."""

from typing import Any

import pytest
from flask import abort
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import delete as remove
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_dynreg import ConfigurationError, DynamicRegistration, Withdrawal
from tests.conformance.exchange import Client, delete, read, registered, replaced, update
from tests.conftest import MakeApp

FULL: dict[str, Any] = {
    "redirect_uris": ["https://app.example/1", "https://app.example/2"],
    "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    "scope": "mcp:read mcp:write",
}


class Host:
    """An app that keeps tokens, and ends them when it is told to."""

    def __init__(self, make_app: MakeApp, url: str) -> None:
        self.db = db = SQLAlchemy()
        self.dynreg = DynamicRegistration(db)
        self.told: list[Withdrawal] = []

        class Base(DeclarativeBase):
            metadata = db.metadata

        class Token(Base):
            __tablename__ = "token"
            id: Mapped[int] = mapped_column(primary_key=True)
            client_id: Mapped[str]

        self.token = Token
        self.dynreg.on_withdrawal(self.end_tokens)
        self.make_app, self.url = make_app, url

    def end_tokens(self, withdrawal: Withdrawal) -> None:
        self.told.append(withdrawal)
        self.db.session.execute(remove(self.token).where(self.token.client_id == withdrawal.client_id))

    def start(self) -> FlaskClient:
        self.app = self.make_app(self.db, self.dynreg, SQLALCHEMY_DATABASE_URI=self.url)
        return self.app.test_client()

    def issue(self, client: Client) -> None:
        with self.app.app_context():
            self.db.session.add(self.token(client_id=client["client_id"]))
            self.db.session.commit()

    def tokens(self, client: Client) -> int:
        counted = select(func.count()).where(self.token.client_id == client["client_id"])
        with self.app.app_context():
            return int(self.db.session.scalar(counted) or 0)


@pytest.fixture
def host(make_app: MakeApp, database_url: str) -> Host:
    return Host(make_app, database_url)


def test_a_deletion_takes_everything(host: Host) -> None:
    http = host.start()
    client, other = registered(http, **FULL), registered(http, **FULL)
    for owner in (client, client, other):
        host.issue(owner)
    assert delete(http, client).status_code == 204
    assert host.told == [Withdrawal(client["client_id"], everything=True)]
    assert (host.tokens(client), host.tokens(other)) == (0, 1)


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        (
            {"redirect_uris": ["https://app.example/2", "https://app.example/3"]},
            {"redirect_uris": frozenset({"https://app.example/1"})},
        ),
        ({"grant_types": ["authorization_code"]}, {"grant_types": frozenset({"refresh_token", "client_credentials"})}),
        ({"scope": "mcp:write offline_access"}, {"scopes": frozenset({"mcp:read"})}),
        ({"scope": ""}, {"scopes": frozenset({"mcp:read", "mcp:write"})}),
        (
            {"grant_types": ["client_credentials"], "redirect_uris": []},
            {
                "grant_types": frozenset({"authorization_code", "refresh_token"}),
                "redirect_uris": frozenset(FULL["redirect_uris"]),
            },
        ),
        # Taken away by the server, since a public client may not have it, not by the client's own wish.
        ({"token_endpoint_auth_method": "none"}, {"grant_types": frozenset({"client_credentials"})}),
    ],
)
def test_a_narrowing_update_takes_exactly_what_is_gone(
    host: Host, change: dict[str, Any], gone: dict[str, frozenset[str]]
) -> None:
    http = host.start()
    client = registered(http, **FULL)
    host.issue(client)
    replaced(http, client, **FULL | change)
    assert host.told == [Withdrawal(client["client_id"], everything=False, **gone)]
    assert host.tokens(client) == 0


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"client_name": "Other"},
        {"redirect_uris": [*reversed(FULL["redirect_uris"]), "https://app.example/3"]},
        {"scope": "offline_access mcp:write mcp:read"},
    ],
)
def test_an_update_that_gives_nothing_up_takes_nothing(host: Host, change: dict[str, Any]) -> None:
    http = host.start()
    client = registered(http, **FULL)
    host.issue(client)
    replaced(http, client, **FULL | change)
    assert (host.told, host.tokens(client)) == ([], 1)


def test_a_refused_update_takes_nothing(host: Host) -> None:
    http = host.start()
    client = registered(http, **FULL)
    host.issue(client)
    answer = update(http, client, {"client_id": client["client_id"], "redirect_uris": ["javascript:alert(1)"]})
    assert (answer.status_code, host.told, host.tokens(client)) == (400, [], 1)


def test_a_hook_that_raises_undoes_everything(host: Host) -> None:
    @host.dynreg.on_withdrawal
    def fail(withdrawal: Withdrawal) -> None:
        raise LookupError

    http = host.start()
    client = registered(http, **FULL)
    host.issue(client)
    before = read(http, client).get_json()
    for answer in (
        delete(http, client),
        update(http, client, {"client_id": client["client_id"], "redirect_uris": ["https://app.example/9"]}),
    ):
        assert (answer.status_code, answer.get_json()) == (500, {"error": "server_error"})
        assert answer.headers["Cache-Control"] == "no-store"
    assert (len(host.told), host.tokens(client)) == (2, 1)
    assert read(http, client).get_json() == before
    with host.app.app_context():
        events = host.db.session.scalars(select(host.dynreg.models.event.type)).all()
    assert events == ["registered"]


@pytest.mark.parametrize("status", [403, 409, 503])
def test_a_hook_may_refuse_with_a_status(host: Host, status: int) -> None:
    host.dynreg.on_withdrawal(lambda withdrawal: abort(status))
    http = host.start()
    client = registered(http, **FULL)
    host.issue(client)
    answer = delete(http, client)
    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    assert answer.get_json()["error"] in ("access_denied", "invalid_request", "temporarily_unavailable")
    assert (read(http, client).status_code, host.tokens(client)) == (200, 1)


def test_what_a_hook_writes_is_committed_with_ours(host: Host) -> None:
    @host.dynreg.on_withdrawal
    def note(withdrawal: Withdrawal) -> None:
        host.db.session.add(host.token(client_id="noted"))  # written when the session is flushed

    http = host.start()
    client = registered(http, **FULL)
    assert delete(http, client).status_code == 204
    assert host.tokens({"client_id": "noted"}) == 1


def test_a_hook_finds_the_client_gone_or_changed_already(host: Host) -> None:
    found: list[list[str] | None] = []

    @host.dynreg.on_withdrawal
    def look(withdrawal: Withdrawal) -> None:
        client = host.dynreg.query_client(withdrawal.client_id)
        found.append(client.redirect_uris if client else None)

    http = host.start()
    client = registered(http, **FULL)
    replaced(http, client, **FULL | {"redirect_uris": ["https://app.example/2"]})
    assert delete(http, client).status_code == 204
    assert found == [["https://app.example/2"], None]


def test_hooks_run_in_the_order_in_which_they_were_registered(host: Host) -> None:
    order: list[str] = []
    host.dynreg.on_withdrawal(lambda withdrawal: order.append("first"))
    host.dynreg.on_withdrawal(lambda withdrawal: order.append("second"))
    http = host.start()
    assert delete(http, registered(http, **FULL)).status_code == 204
    assert order == ["first", "second"]


def test_a_hook_that_comes_too_late_is_refused(make_app: MakeApp) -> None:
    """Nobody would call it, and what was issued to a deleted client would live on."""
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    make_app(db, dynreg)
    with pytest.raises(ConfigurationError, match="before init_app"):
        dynreg.on_withdrawal(lambda withdrawal: None)
