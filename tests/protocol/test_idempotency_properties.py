"""Whatever is sent again by whom: an answer goes to nobody but who was given it, and for nothing but what they had sent."""

from itertools import count

from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import bearer, issue_token
from tests.conftest import CLIENT, SERVER_METADATA

BODIES = [CLIENT, CLIENT | {"client_name": "Other"}, {"redirect_uris": ["x"]}]
UNSOUND = 2
EXAMPLES = count()


def made() -> tuple[Flask, DynamicRegistration, SQLAlchemy]:
    app, db = Flask(__name__), SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app.config.update(
        PREFERRED_URL_SCHEME="https",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        DYNREG_ACCESS=["open", "initial_access_token"],
        DYNREG_IDEMPOTENCY=True,
        DYNREG_LIMITS=[],
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    db.init_app(app)
    dynreg.init_app(app)
    with app.app_context():
        db.create_all()
    return app, dynreg, db


APP, DYNREG, DB = made()
TOKENS = [None, issue_token(APP), issue_token(APP)]


def send(http: FlaskClient, principal: int, key: str, body: int) -> tuple[int, bytes]:
    token = TOKENS[principal]
    headers = {"Idempotency-Key": key} | (bearer(token) if token else {})
    answer = http.post("/oauth2/register", json=BODIES[body], headers=headers)
    return answer.status_code, answer.data


def clients() -> int:
    with APP.app_context():
        return int(DB.session.scalar(select(func.count()).select_from(DYNREG.models.client)) or 0)


requests = st.tuples(st.integers(0, len(TOKENS) - 1), st.integers(0, 2), st.integers(0, len(BODIES) - 1))


@given(sequence=st.lists(requests, max_size=12))
def test_an_answer_goes_to_whom_it_was_given(sequence: list[tuple[int, int, int]]) -> None:
    http, example, before = APP.test_client(), next(EXAMPLES), clients()
    registered: dict[tuple[int, int], tuple[int, bytes]] = {}
    for principal, number, body in sequence:
        status, answer = send(http, principal, f"key-{number}-of-the-example-{example}", body)
        if (principal, number) not in registered:
            assert status == (400 if body == UNSOUND else 201)
            if status == 201:
                assert answer not in [other for _, other in registered.values()]
                registered[principal, number] = body, answer
        elif registered[principal, number][0] == body:
            assert (status, answer) == (201, registered[principal, number][1])
        else:
            assert status == 422
    assert clients() - before == len(registered)
