"""The lives of clients, step by step, with a model beside the server: whoever does what the protocol says is never locked out."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from flask_dynreg import DynamicRegistration
from flask_dynreg.lifecycle.rotation import MOST_DEAD
from flask_dynreg.registry.chains import Found
from tests.conformance.exchange import bearer
from tests.conftest import CLIENT, MakeApp

UNUSED, IDLE, RETENTION = 5_000, 20_000, 50_000
SECRET, WINDOW, OVERLAP = 6_000, 2_000, 1_500
CONFIG: dict[str, Any] = {
    "DYNREG_REGISTRATION_TOKEN_ROTATION": "update",
    "DYNREG_CLIENT_LIFETIMES": {"open": {"unused": UNUSED, "idle": IDLE}},
    "DYNREG_TOMBSTONE_RETENTION": RETENTION,
    "DYNREG_CLIENT_SECRET_LIFETIME": SECRET,
    "DYNREG_CLIENT_SECRET_ROTATION_WINDOW": WINDOW,
    "DYNREG_CLIENT_SECRET_OVERLAP": OVERLAP,
    "DYNREG_AUDIT_KEYS": [urlsafe_b64encode(b"k" * 32).decode()],
    "DYNREG_HISTORY": 3,
}


@dataclass(eq=False)
class Life:
    """What a client knows of itself, and what is to be true of it."""

    client_id: str
    uri: str
    token: str
    secret: str
    secret_ends_at: int
    changed_at: int
    name: str | None = None
    used_at: int | None = None
    ended_at: int | None = None
    before: str | None = None
    """The token before, which is good until the last one is used."""
    lost: str | None = None
    """A token in an answer that got lost."""
    known_dead: list[str] = field(default_factory=list)
    unknown_dead: list[str] = field(default_factory=list)
    alarms: int = 0
    is_suspended: bool = False

    def is_over(self, now: int) -> bool:
        if self.is_suspended:
            return False
        return now >= (self.changed_at + UNUSED if self.used_at is None else max(self.changed_at, self.used_at) + IDLE)


class Lives(RuleBasedStateMachine):
    app: Flask
    dynreg: DynamicRegistration
    clock: list[int]

    lives = Bundle("lives")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Life] = []
        self.http = self.app.test_client()

    @property
    def now(self) -> int:
        return self.clock[0]

    @rule(target=lives)
    def register(self) -> Life:
        client = self.http.post("/oauth2/register", json=CLIENT).get_json()
        life = Life(
            client["client_id"],
            client["registration_client_uri"],
            client["registration_access_token"],
            client["client_secret"],
            client["client_secret_expires_at"],
            self.now,
        )
        self.known.append(life)
        return life

    def answered(self, life: Life, answer: Any, *, lost: bool) -> None:
        if life.ended_at is not None:
            assert answer.status_code == 401
            return
        assert answer.status_code == 200, answer.text
        told = answer.get_json()
        assert told.get("client_name") == life.name
        if life.before:  # the last one was used
            self.die(life, life.before)
            life.before = None
        if lost:
            if told["registration_access_token"] != life.token:
                life.lost = told["registration_access_token"]
            return
        if told["registration_access_token"] != life.token:
            life.before, life.token = life.token, told["registration_access_token"]
        if "client_secret" in told:
            life.secret, life.secret_ends_at = told["client_secret"], told["client_secret_expires_at"]

    def die(self, life: Life, *tokens: str | None) -> None:
        """The last one first: so many are known."""
        dead = [*filter(None, tokens), *life.known_dead]
        life.known_dead, life.unknown_dead = dead[:MOST_DEAD], life.unknown_dead + dead[MOST_DEAD:]

    @rule(life=lives, lost=st.booleans())
    def read(self, life: Life, lost: bool) -> None:
        self.answered(life, self.http.get(life.uri, headers=bearer(life.token)), lost=lost)

    @rule(life=lives, name=st.sampled_from(["One", "Two", "Three"]), lost=st.booleans())
    def update(self, life: Life, name: str, lost: bool) -> None:
        sent = {**CLIENT, "client_id": life.client_id, "client_secret": life.secret, "client_name": name}
        if life.ended_at is None and life.is_suspended:
            assert self.http.put(life.uri, json=sent, headers=bearer(life.token)).status_code == 403
            return
        if life.ended_at is None:
            life.name, life.changed_at = name, self.now
        self.answered(life, self.http.put(life.uri, json=sent, headers=bearer(life.token)), lost=lost)

    @rule(life=lives)
    def suspend_or_resume(self, life: Life) -> None:
        if life.ended_at is not None:
            return
        with self.app.app_context():
            decide = self.dynreg.resume_client if life.is_suspended else self.dynreg.suspend_client
            decide(life.client_id, "for now")
            self.dynreg._db.session.commit()
        life.is_suspended, life.changed_at = not life.is_suspended, self.now

    @rule(life=lives, data=st.data())
    def steal(self, life: Life, data: st.DataObject) -> None:
        """Somebody has one that is dead. Of those that are known, an operator is told once."""
        if not life.known_dead + life.unknown_dead:
            return
        token = data.draw(st.sampled_from(life.known_dead + life.unknown_dead))
        if life.ended_at is None and token in life.known_dead:
            life.alarms += 1
            life.known_dead.remove(token)
            life.unknown_dead.append(token)
        for _ in range(2):
            assert self.http.get(life.uri, headers=bearer(token)).status_code == 401

    @rule(life=lives)
    def reissue(self, life: Life) -> None:
        """The confirmed token dies, and the next one, whoever has it."""
        if life.ended_at is not None:
            return
        with self.app.app_context():
            token = self.dynreg.reissue_registration_access_token(life.client_id)
            self.dynreg._db.session.commit()
        self.die(life, *([life.token, life.before] if life.before else [life.lost, life.token]))
        life.token, life.before, life.lost = token, None, None

    @rule(life=lives)
    def use(self, life: Life) -> None:
        with self.app.app_context():
            client = self.dynreg.query_client(life.client_id)
            assert (client is None) == (life.ended_at is not None)
            if client is None or life.is_suspended:
                return
            if self.now < life.secret_ends_at:
                assert client.check_client_secret(life.secret)
            client.touch()
            self.dynreg._db.session.commit()
            life.used_at = client.last_used_at

    @rule(seconds=st.sampled_from([1, 1_000, 3_000, 7_000, 25_000]))
    def wait(self, seconds: int) -> None:
        self.clock[0] += seconds

    @rule()
    def clean_up(self) -> None:
        with self.app.app_context():
            self.dynreg.clean_up(batch=2)
        for life in self.known:
            if life.ended_at is None and life.is_over(self.now):
                life.ended_at = self.now

    @rule(life=consumes(lives))
    def delete(self, life: Life) -> None:
        status = self.http.delete(life.uri, headers=bearer(life.token)).status_code
        assert status == (204 if life.ended_at is None else 401)
        life.ended_at = self.now if life.ended_at is None else life.ended_at

    @rule(life=lives)
    def roll_back(self, life: Life) -> None:
        with self.app.app_context():
            registrar = self.dynreg.registrar
            if life.ended_at is not None or life.is_suspended or not life.name:
                return
            first = registrar.versions(life.client_id)[0]
            if first.metadata is None or first.metadata.get("client_name") == life.name:
                return
            registrar.roll_back(life.client_id, first.version)
            self.dynreg._db.session.commit()
            life.name, life.changed_at = first.metadata.get("client_name"), self.now

    @invariant()
    def who_lives_gets_in_and_who_is_gone_does_not(self) -> None:
        with self.app.app_context():
            for life in self.known:
                found = self.dynreg.query_client(life.client_id)
                assert (found is None) == (life.ended_at is not None)
                if found is not None:
                    assert found.client_name == life.name
                    client = self.dynreg.registrar.authenticate(life.client_id, life.token)
                    live = {client.registration_access_token, client.next_registration_access_token} - {None}
                    assert 1 <= len(live) <= 2
                    assert len(json.loads(client.older_client_secrets or "[]")) <= 3
                    events = self.dynreg.registrar.chains.events.of(life.client_id)
                    assert [event["type"] for event in events].count("spent_token_used") == life.alarms
                elif life.ended_at is not None and self.now < life.ended_at + RETENTION:
                    assert self.dynreg.removal(life.client_id)

    @invariant()
    def the_trail_is_sound(self) -> None:
        with self.app.app_context():
            assert list(self.dynreg.registrar.chains.verify(Found())) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_lives(make_app: MakeApp, request: pytest.FixtureRequest, kind: str) -> None:
    clock = [1_000_000]
    dynreg = DynamicRegistration(SQLAlchemy(), clock=lambda: clock[0])
    url = request.getfixturevalue(f"{kind}_url")
    app = make_app(dynreg._db, dynreg, SQLALCHEMY_DATABASE_URI=url, **CONFIG)
    machine = type("Machine", (Lives,), {"app": app, "dynreg": dynreg, "clock": clock})
    examples = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=examples)
