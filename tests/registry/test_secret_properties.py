"""Whatever gets lost and whenever a client comes: the secret that it has is good until its end, and nothing that is over is."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import read, registered, update
from tests.conftest import CLIENT, SERVER_METADATA
from tests.registry.host import Clock

KEYS = ["A" * 43 + "="]
FOR_EVER = 10**12


class Server:
    """An app with the three clocks; `overlap` is what an update keeps the older secrets for."""

    def __init__(self, lifetime: int, window: int, overlap: int, *keys: str) -> None:
        self.clock, self.overlap, db = Clock(), overlap, SQLAlchemy()
        self.dynreg = DynamicRegistration(db, clock=self.clock)
        self.app = Flask(__name__)
        self.app.config.update(
            PREFERRED_URL_SCHEME="https",
            SQLALCHEMY_DATABASE_URI="sqlite://",
            DYNREG_ACCESS=["open"],
            DYNREG_LIMITS=[],
            DYNREG_SERVER_METADATA=SERVER_METADATA,
            DYNREG_SECRET_KEYS=list(keys),
            DYNREG_CLIENT_SECRET_LIFETIME=lifetime,
            DYNREG_CLIENT_SECRET_ROTATION_WINDOW=window,
            DYNREG_CLIENT_SECRET_OVERLAP=overlap,
        )
        db.init_app(self.app)
        self.dynreg.init_app(self.app)
        self.db = db
        with self.app.app_context():
            db.create_all()


class Life:
    """A client and what it was told. `ends` is until when each secret may be good: that of the one it has must be."""

    def __init__(self, server: Server) -> None:
        self.server, self.http = server, server.app.test_client()
        self.client = registered(self.http, **CLIENT)
        self.has = str(self.client["client_secret"])
        self.received = [self.client]
        self.ends: dict[str, int] = {}
        self.newest = self.has
        self._issued(self.client, server.overlap)

    def _issued(self, told: Mapping[str, Any], keep: int) -> None:
        now = self.server.clock.now
        self.ends = {secret: min(end, now + keep) for secret, end in self.ends.items()}
        self.newest = told["client_secret"]
        self.ends[self.newest] = told["client_secret_expires_at"] or FOR_EVER

    def advance(self, seconds: int) -> None:
        self.server.clock.now += seconds

    def put_again_and_again(self, which: str, lost: bool, times: int) -> None:
        for _ in range(times):
            self.put(which, lost)
            self.check()

    def put(self, which: str, lost: bool) -> None:
        """An update with the last secret that the client has, with the first that it ever had, or with none."""
        known = self.received[0] if which == "first" else self.received[-1]
        sent = dict(known) if which != "none" else {**CLIENT, "client_id": self.client["client_id"]}
        presented, now = sent.get("client_secret"), self.server.clock.now
        answer = update(self.http, self.client, sent)
        if answer.status_code == 400:
            assert presented is not None and (presented != self.has or now >= self.ends[self.has])
            return
        if presented is not None:
            self.has = str(presented)  # the update says: of another it knows nothing
        told = answer.get_json()
        is_new = told.get("client_secret") not in (None, *self.ends)
        if is_new:
            self._issued(told, self.server.overlap)
        if presented is not None and not lost:
            assert is_new or presented == self.newest
        if is_new and not lost:
            self.received.append(told)
            self.has = self.newest

    def drop(self) -> None:
        with self.server.app.app_context():
            self.server.dynreg.drop_older_client_secrets(self.client["client_id"])
            self.server.db.session.commit()
        now = self.server.clock.now
        self.ends = {secret: end if secret == self.newest else min(end, now) for secret, end in self.ends.items()}

    def check(self) -> None:
        now = self.server.clock.now
        with self.server.app.app_context():
            found = self.server.dynreg.query_client(self.client["client_id"])
            assert found
            good = {secret for secret in self.ends if found.check_client_secret(secret)}
        assert len(good) <= 4
        assert good <= {secret for secret, end in self.ends.items() if now < end}
        assert self.has in good or now >= self.ends[self.has]
        told = read(self.http, self.client).get_json().get("client_secret")
        assert told in ((self.newest,) if KEYS[0] in self.server.app.config["DYNREG_SECRET_KEYS"] else (None,))


CLOCKS = [(100, 30, 30), (100, 30, 7), (100, 99, 100), (100, 0, 0), (100, 0, 50), (0, 0, 50)]
SERVERS = {f"{clocks}": Server(*clocks) for clocks in CLOCKS} | {"encrypted": Server(100, 30, 30, *KEYS)}

which = st.sampled_from(["last", "first", "none"])
steps = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([1, 5, 10, 29, 30, 40, 71, 100, 150])),
    st.tuples(st.just("put"), which, st.booleans()),
    st.tuples(st.just("put_again_and_again"), which, st.booleans(), st.integers(2, 6)),
    st.tuples(st.just("drop")),
)


@pytest.mark.parametrize("server", SERVERS)
@settings(max_examples=40)
@given(st.lists(steps, max_size=12))
def test_the_secret_that_a_client_has_is_good_until_its_end(server: str, sequence: list[tuple[Any, ...]]) -> None:
    life = Life(SERVERS[server])
    life.check()
    for name, *arguments in sequence:
        getattr(life, name)(*arguments)
        life.check()
