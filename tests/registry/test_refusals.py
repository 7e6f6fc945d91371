"""Refusals in the trail: of who is known, and of their clients; those of strangers write nothing."""

import json
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select, text

from flask_dynreg import DynamicRegistration, Terms
from flask_dynreg.errors import RefusedMetadataError
from flask_dynreg.registry.chains import Found
from tests.conformance.exchange import Client, bearer, update
from tests.conftest import CLIENT, ISSUER, MakeApp
from tests.registry.conftest import StartHost


@pytest.fixture
def dynreg() -> DynamicRegistration:
    dynreg = DynamicRegistration(SQLAlchemy())
    dynreg.session_user(lambda: "ann")
    return dynreg


def noted(dynreg: DynamicRegistration) -> list[tuple[Any, ...]]:
    event = dynreg.models.event
    rows = dynreg._db.session.execute(
        select(event.type, event.source, event.initial_access_token_id, event.details).order_by(event.id)
    )
    return [(type_, source, token_id, json.loads(details or "{}")) for type_, source, token_id, details in rows]


def test_refusals_of_strangers_write_nothing_and_those_of_others_do(
    make_app: MakeApp, dynreg: DynamicRegistration
) -> None:
    doors = ["open", "initial_access_token", "session"]
    policies = [{"policy": "forbidden_names", "names": ["Claude"]}]
    app = make_app(dynreg._db, dynreg, DYNREG_ACCESS=doors, DYNREG_POLICIES=policies)
    http, wrong = app.test_client(), {"redirect_uris": ["ftp://secret.example"], "client_name": "Claude"}

    def refused(**headers: str) -> None:
        assert http.post("/oauth2/register", json=wrong, headers=headers).status_code in (400, 401)

    refused()
    refused(**bearer("dit_" + "x" * 43))
    refused(Cookie="session=x")
    with app.app_context():
        assert noted(dynreg) == []
        token = dynreg.issue_initial_access_token()
        dynreg._db.session.commit()
    refused(**bearer(token))
    refused(**{"Sec-Fetch-Site": "same-origin"})
    what = {"error": "invalid_redirect_uri", "members": ["redirect_uris"]}
    with app.app_context():
        first, second = noted(dynreg)[1:]
        assert first[:3] == ("registration_refused", "initial_access_token", 1) and second[1:3] == ("session", None)
        assert first[3].items() >= {"subject": "token 1", "error": what["error"]}.items()
        assert second[3].items() >= {"subject": "refusals", "owner": "ann"}.items()
        assert "secret" not in str((first, second)) and "Claude" not in str((first, second))
        assert list(dynreg.registrar.chains.verify(Found())) == []


def test_a_token_from_an_origin_that_it_is_not_for_is_noted(make_app: MakeApp, dynreg: DynamicRegistration) -> None:
    app = make_app(dynreg._db, dynreg, DYNREG_ACCESS=["initial_access_token"], DYNREG_LIMITS=["token 1/hour"])
    with app.app_context():
        token = dynreg.issue_initial_access_token(terms=Terms(origins=("https://app.example",)))
        dynreg._db.session.commit()
    headers = bearer(token) | {"Origin": "https://evil.example"}
    statuses = [app.test_client().post("/oauth2/register", json=CLIENT, headers=headers).status_code for _ in range(3)]
    assert statuses == [403, 429, 429]
    with app.app_context():
        ((type_, source, token_id, details),) = noted(dynreg)[1:]
    assert (type_, source, token_id) == ("registration_refused", "initial_access_token", 1)
    assert details == {"subject": "token 1", "error": "access_denied"}


def test_a_token_that_is_used_up_writes_nothing(make_app: MakeApp, dynreg: DynamicRegistration) -> None:
    app = make_app(dynreg._db, dynreg, DYNREG_ACCESS=["initial_access_token"], DYNREG_IDEMPOTENCY=True)
    with app.app_context():
        token = dynreg.issue_initial_access_token(uses=1, terms=Terms(origins=("https://app.example",)))
        dynreg._db.session.commit()
    http, headers = app.test_client(), bearer(token) | {"Origin": "https://app.example"}
    assert http.post("/oauth2/register", json=CLIENT, headers=headers).status_code == 201
    headers |= {"Origin": "https://evil.example", "Idempotency-Key": "k" * 22}
    assert http.post("/oauth2/register", json=CLIENT, headers=headers).status_code == 403
    with app.app_context():
        assert [event[0] for event in noted(dynreg)] == ["token_issued", "registered"]


def test_refused_changes_are_noted_but_those_of_the_clients_of_strangers(
    make_app: MakeApp, dynreg: DynamicRegistration
) -> None:
    app = make_app(dynreg._db, dynreg, DYNREG_ACCESS=["open", "initial_access_token"])
    http = app.test_client()
    with app.app_context():
        token = dynreg.issue_initial_access_token()
        dynreg._db.session.commit()
    strange = http.post("/oauth2/register", json=CLIENT).get_json()
    known = http.post("/oauth2/register", json=CLIENT, headers=bearer(token)).get_json()

    def refused(client: Client) -> list[tuple[Any, ...]]:
        with app.app_context():
            before = len(noted(dynreg))
        answers = [update(http, client, {"client_id": client["client_id"], "redirect_uris": ["ftp://secret.example"]})]
        with app.app_context():
            dynreg.suspend_client(client["client_id"], "odd")
            dynreg._db.session.commit()
        answers.append(update(http, client, CLIENT | {"client_id": client["client_id"]}))
        assert [answer.status_code for answer in answers] == [400, 403]
        with app.app_context():
            assert list(dynreg.registrar.chains.verify(Found())) == []
            return [event for event in noted(dynreg)[before:] if event[0] != "suspended"]

    assert refused(strange) == []
    this = {"subject": "token 1", "client": known["client_id"]}
    assert refused(known) == [
        (
            "change_refused",
            "initial_access_token",
            1,
            {**this, "error": "invalid_redirect_uri", "members": ["redirect_uris"]},
        ),
        ("change_refused", "initial_access_token", 1, {**this, "error": "access_denied"}),
    ]


def test_a_policy_that_refuses_is_named(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url, DYNREG_POLICIES=[{"policy": "forbidden_names", "names": ["Claude"]}])
    principal = host.registrar.tokens.find(host.dynreg.issue_initial_access_token())
    assert principal
    with pytest.raises(RefusedMetadataError) as refused:
        host.registrar.check(CLIENT | {"client_name": "Claude"}, principal=principal)
    host.registrar.note_refusal(refused.value, principal)
    host.session.commit()
    event = host.rows(host.models.event)[-1]
    assert json.loads(event["details"]) == {
        "subject": "token 1",
        "error": "invalid_client_metadata",
        "members": ["client_name"],
        "policies": ["forbidden_names"],
    }
    assert event["issuer"] == ISSUER


def test_a_host_that_has_begun_something_has_its_transaction_for_itself(
    make_app: MakeApp, dynreg: DynamicRegistration
) -> None:
    app = make_app(dynreg._db, dynreg, DYNREG_ACCESS=["initial_access_token"])
    with app.app_context():
        token = dynreg.issue_initial_access_token()
        dynreg._db.session.commit()

    @app.before_request
    def begin() -> None:
        dynreg._db.session.execute(text("CREATE TEMPORARY TABLE begun (id integer)"))

    answer = app.test_client().post("/oauth2/register", json={"redirect_uris": ["ftp://x"]}, headers=bearer(token))
    assert answer.status_code == 400
    with app.app_context():
        assert [type_ for type_, *_ in noted(dynreg)] == ["token_issued"]
