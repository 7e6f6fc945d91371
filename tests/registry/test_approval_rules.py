"""What is approved is judged as what it is: a registration or a change, by today's policies and issuers."""

from typing import Any

import pytest

from flask_dynreg import client_approved
from flask_dynreg.errors import ForbiddenError, RaceLostError, RefusedMetadataError, UnapprovedStatementError
from flask_dynreg.metadata.jwts import parsed
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.policies.policy import refused
from tests.conftest import CLIENT, ISSUER
from tests.registry.conftest import StartHost
from tests.registry.host import OPEN, client_id
from tests.registry.test_approval import PUBLIC, approve, approved, instance, updated, waiting
from tests.statements import DIRECTORY, public, rsa_key, signed, statement, trusted


def only(operation: str) -> Any:
    """A policy that refuses another operation."""

    def policy(metadata: Any, context: Any) -> Any:
        assert (context.client is None) == (context.operation == "register")
        if context.operation != operation:
            raise refused("client_name", f"must not be there: it is no {operation}.")
        return metadata

    return policy


def short(metadata: Any, context: Any) -> Any:
    if context.operation == "register":
        context.limit_lifetime(1000)
        context.require_approval("It is new.")
    return metadata


def test_a_new_client_is_judged_as_one_that_registers(any_database_url: str, start_host: StartHost) -> None:
    policies = {"only_register": only("register"), "only_update": only("update")}
    registered = start_host(any_database_url, DYNREG_POLICIES=["approval"]).registered(**PUBLIC)
    strict = start_host(any_database_url, DYNREG_POLICIES=["approval", "only_update"], policies=policies)
    with pytest.raises(RefusedMetadataError):
        approve(strict, client_id(registered), "fine")
    strict.session.rollback()
    today = start_host(any_database_url, DYNREG_POLICIES=["approval", "only_register"], policies=policies)
    approve(today, client_id(registered), "fine")
    assert instance(today, registered).is_active


def test_what_a_registration_was_good_for_stays_so(any_database_url: str, start_host: StartHost) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["short"], policies={"short": short})
    registered = host.registered(**PUBLIC)
    before = instance(host, registered).expires_at
    approve(host, client_id(registered), "fine")
    assert instance(host, registered).expires_at == before is not None


def test_who_registered_by_a_signed_request_is_approved(any_database_url: str, start_host: StartHost) -> None:
    rules = {"issuer": "software_id", "keys": "jwks", "algorithms": ["RS256"]}
    settings = {"DYNREG_POLICIES": ["approval"], "DYNREG_STATEMENT_ISSUERS": [trusted(signed_requests=rules)]}
    host, key = start_host(any_database_url, **settings), rsa_key("client")
    text = statement(software_id="ours", jwks=public(key), redirect_uris=CLIENT["redirect_uris"])
    now = host.registrar.credentials.now()
    claims = {"iss": "ours", "aud": ISSUER, "iat": now, "exp": now + 300, "jti": "once", "software_statement": text}
    request = parsed(signed(claims | PUBLIC, key))
    checked = host.registrar.check(request.claims, signed=request)
    registered = host.registrar.register(host.registrar.new_client_information(checked), checked, OPEN)
    host.session.commit()
    assert len(waiting(host)) == 1
    approve(host, client_id(registered), "fine")
    assert instance(host, registered).is_active


def test_a_wish_is_not_approved_once_its_issuer_is_withdrawn(any_database_url: str, start_host: StartHost) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    host.registrar.issuers.add(StatementIssuer.from_json(trusted()))
    host.session.commit()
    registered = approved(host)
    updated(host, registered, software_statement=statement(client_name="Vouched"))
    elsewhere = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    with elsewhere.app.app_context():
        assert elsewhere.registrar.issuers.remove(DIRECTORY)
        elsewhere.session.commit()
    with host.app.app_context():
        with pytest.raises(RaceLostError):  # this process has not heard of it yet
            approve(host, client_id(registered), "fine")
        host.session.rollback()
        with pytest.raises(UnapprovedStatementError):
            approve(host, client_id(registered), "fine")
        host.session.rollback()
        assert instance(host, registered).client_name == "Mine"


def test_where_there_is_no_room_nothing_is_written_and_told(any_database_url: str, start_host: StartHost) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"], DYNREG_QUOTAS={"software_id": 1})
    registered = approved(host, software_id="b")
    host.registered(**PUBLIC, software_id="a")
    updated(host, registered, software_id="a", client_name="Another")
    told: list[str] = []

    def tell(sender: Any, client_id: str, **_: Any) -> None:
        told.append(client_id)

    with client_approved.connected_to(tell, host.app):
        with pytest.raises(ForbiddenError):
            approve(host, client_id(registered), "fine")
        host.session.commit()  # a host that goes on all the same
    client = instance(host, registered)
    assert (client.client_name, told) == ("Mine", []) and client.requested
    assert [event["type"] for event in host.events()][-1] == "update_requested"


def test_what_another_policy_takes_away_does_not_wait(any_database_url: str, start_host: StartHost) -> None:
    ceiling = {"policy": "scope_ceiling", "scopes": ["mcp:read"]}
    for policies in (["approval", ceiling], [ceiling, "approval"]):
        host = start_host(any_database_url, DYNREG_POLICIES=policies)
        registered = approved(host, scope="mcp:read mcp:write")
        updated(host, registered, scope="mcp:read mcp:write", tos_uri="https://client.example/tos")
        assert waiting(host) == [] and instance(host, registered).tos_uri


def test_why_a_client_is_suspended_stays_when_its_wish_is_refused(any_database_url: str, start_host: StartHost) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    registered = approved(host)
    updated(host, registered, client_name="Another")
    host.dynreg.suspend_client(client_id(registered), "abuse found")
    host.dynreg.refuse_client(client_id(registered), "no new name")
    client = instance(host, registered)
    assert (client.status, client.status_reason, client.requested) == ("suspended", "abuse found", None)
