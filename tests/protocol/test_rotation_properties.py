"""Whatever is lost on the way, a client that goes on with the token of its last answer is never shut out."""

import time
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import func, select

from flask_dynreg import DynamicRegistration
from flask_dynreg.lifecycle.rotation import MOST_DEAD
from flask_dynreg.registry.credentials import digest
from tests.conformance.exchange import MACHINE, Client, bearer, registered
from tests.conftest import SERVER_METADATA
from tests.statements import public, rsa_key, signed

KEYED = {**MACHINE, "token_endpoint_auth_method": "private_key_jwt", "jwks": public(rsa_key())}
ROTATING = {"never": (), "update": ("update",), "read": ("read", "update")}


def made(rotation: str) -> tuple[Flask, SQLAlchemy, DynamicRegistration]:
    app, db = Flask(__name__), SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app.config.update(
        PREFERRED_URL_SCHEME="https",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        DYNREG_ACCESS=["open"],
        DYNREG_LIMITS=[],
        DYNREG_REGISTRATION_TOKEN_ROTATION=rotation,
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    db.init_app(app)
    dynreg.init_app(app)
    with app.app_context():
        db.create_all()
    return app, db, dynreg


SERVERS = {rotation: made(rotation) for rotation in ROTATING}


class Model:
    """A server as it should be, beside the real one; and a client that has some of its answers."""

    def __init__(self, rotation: str) -> None:
        self.app, self.db, self.dynreg = SERVERS[rotation]
        self.rotating = ROTATING[rotation]
        self.http = self.app.test_client()
        self.client: Client = registered(self.http, **KEYED)
        self.confirmed: str = self.client["registration_access_token"]
        self.next: str | None = None
        self.spent: list[str] = []
        self.alarms = 0
        self.answered = [self.confirmed]
        self.own: str | None = self.confirmed

    def request(self, operation: str, number: int | None, lost: bool) -> None:
        """With one of the tokens that the client ever got, or the one it should use; its answer may get lost."""
        token = self.own if number is None else self.answered[number % len(self.answered)]
        if token is None:
            return
        url, headers = self.client["registration_client_uri"], bearer(token)
        sent = {**KEYED, "client_id": self.client["client_id"]}
        answer = (
            self.http.get(url, headers=headers)
            if operation == "read"
            else self.http.put(url, json=sent, headers=headers)
        )
        if token not in (self.confirmed, self.next):
            assert answer.status_code == 401
            if token in self.spent:
                self.spent.remove(token)
                self.alarms += 1
            return
        assert answer.status_code == 200
        told = answer.get_json()["registration_access_token"]
        if token == self.next:
            self.die(self.confirmed)
            self.confirmed, self.next = token, None
        if operation in self.rotating and self.next is None:
            assert told not in (self.confirmed, *self.spent, *self.answered)
            self.next = told
        else:
            assert told == token
        self.receive(told, token, lost)

    def recover(self, lost: bool) -> None:
        audience, now = f"{self.client['registration_client_uri']}/recover", int(time.time())
        own = {"iss": self.client["client_id"], "sub": self.client["client_id"], "jti": uuid4().hex}
        assertion = signed({**own, "aud": audience, "iat": now, "exp": now + 60})
        answer = self.http.post(audience, json={"client_assertion": assertion})
        assert answer.status_code == 200
        told = answer.get_json()["registration_access_token"]
        assert told not in (self.next, *self.spent, *self.answered)
        self.die(self.next, self.confirmed)
        self.confirmed, self.next = told, None
        self.receive(told, None, lost)

    def die(self, *tokens: str | None) -> None:
        """Those that died last are known."""
        self.spent = [*filter(None, tokens), *self.spent][:MOST_DEAD]

    def receive(self, told: str, presented: str | None, lost: bool) -> None:
        self.own = presented if lost else told
        if not lost:
            self.answered.append(told)

    def check(self) -> None:
        with self.app.app_context():
            models, client_id = self.dynreg.models, self.client["client_id"]
            table: Any = models.client.__table__
            row = self.db.session.execute(select(table).where(table.c.client_id == client_id)).one()
            alarms = select(func.count()).where(
                models.event.client_id == client_id, models.event.type == "spent_token_used"
            )
            assert self.db.session.scalar(alarms) == self.alarms
        kept = [row.registration_access_token, row.next_registration_access_token]
        assert kept == [token and digest(token) for token in (self.confirmed, self.next)]
        assert (row.spent_registration_access_token or "").split() == [*map(digest, self.spent)]
        assert self.own is None or self.own in (self.confirmed, self.next)


requests = st.tuples(st.sampled_from(["read", "update"]), st.none() | st.integers(0, 19), st.booleans())
recoveries = st.tuples(st.just("recover"), st.none(), st.booleans())


@pytest.mark.parametrize("rotation", ROTATING)
@given(steps=st.lists(requests | recoveries, max_size=20))
@example(steps=[("update", None, True)] * 3 + [("recover", None, False), ("update", 0, False), ("read", 0, False)])
@example(steps=[("update", None, False)] * 14 + [("update", number, False) for number in range(14)])
def test_a_client_is_never_shut_out(rotation: str, steps: list[tuple[str, int | None, bool]]) -> None:
    model = Model(rotation)
    for operation, number, lost in steps:
        if operation == "recover":
            model.recover(lost)
        else:
            model.request(operation, number, lost)
        model.check()
    if model.own is None:  # its new token got lost: it comes again
        model.recover(lost=False)
    model.request("read", None, lost=False)
    model.check()
    assert model.own
