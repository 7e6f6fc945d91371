"""Clients, and changes of theirs, that wait for an operator."""

import json
from functools import partial
from typing import Any

import pytest
from blinker import NamedSignal

from flask_dynreg import (
    RaceLostError,
    client_approved,
    client_refused,
    client_resumed,
    client_suspended,
    client_update_requested,
)
from flask_dynreg.errors import RefusedMetadataError, UnapprovedStatementError
from flask_dynreg.lifecycle.clients import Registered, Withdrawal
from flask_dynreg.registry.models import RegisteredClientMixin
from tests.conftest import CLIENT
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id
from tests.statements import DIRECTORY, statement, trusted

SIGNALS = (client_approved, client_refused, client_suspended, client_resumed, client_update_requested)
PUBLIC: dict[str, Any] = {"token_endpoint_auth_method": "none", "client_name": "Mine"}


@pytest.fixture
def approving(any_database_url: str, start_host: StartHost) -> Host:
    return start_host(any_database_url, DYNREG_POLICIES=["approval"])


def instance(host: Host, registered: Registered) -> RegisteredClientMixin:
    host.session.expire_all()
    found = host.dynreg.query_client(client_id(registered))
    assert found
    return found


def approved(host: Host, **metadata: Any) -> Registered:
    registered = host.registered(**PUBLIC | metadata)
    approve(host, client_id(registered), "known to us")
    host.session.commit()
    return registered


def approve(host: Host, client_id: str, reason: str, version: int | None = None) -> None:
    """Of what is there now, unless `version` says of what."""
    host.session.expire_all()
    there = host.dynreg.query_client(client_id)
    host.dynreg.approve_client(client_id, reason, version=version or (there.version if there else 1))


def updated(host: Host, registered: Registered, **metadata: Any) -> dict[str, Any]:
    client = host.record(registered)
    information = host.registrar.update(client, host.registrar.check(CLIENT | PUBLIC | metadata, client))
    host.session.commit()
    return information


def waiting(host: Host) -> list[tuple[str, str | None, Any]]:
    return [(each.client_id, each.status_reason, each.requested) for each in host.registrar.waiting()]


def test_a_client_waits_and_is_approved(approving: Host) -> None:
    registered = approving.registered(**PUBLIC)
    client = instance(approving, registered)
    assert (client.status, client.is_active) == ("pending", False)
    assert not client.check_grant_type("authorization_code") and not client.check_response_type("code")
    assert waiting(approving) == [(client.client_id, "It is new.", None)]
    approve(approving, client.client_id, "known to us")
    approving.session.commit()
    client = instance(approving, registered)
    assert (client.status, client.status_reason, client.is_active) == ("active", "known to us", True)
    assert waiting(approving) == []
    assert [(event["type"], json.loads(event["details"] or "{}")) for event in approving.events()][1:] == [
        ("approved", {"reason": "known to us"})
    ]


def test_a_client_that_is_refused_is_never_used(approving: Host) -> None:
    registered = approving.registered(**PUBLIC)
    approving.dynreg.refuse_client(client_id(registered), "not known")
    approving.session.commit()
    assert (instance(approving, registered).status, instance(approving, registered).is_active) == ("refused", False)
    for decide in (partial(approve, approving), approving.dynreg.refuse_client, approving.dynreg.resume_client):
        with pytest.raises(ValueError, match=r"waits|suspended"):
            decide(client_id(registered), "again")


def test_a_change_of_what_users_agree_to_waits_while_the_record_stays(approving: Host) -> None:
    registered = approved(approving)
    before = instance(approving, registered).client_metadata
    fingerprint = instance(approving, registered).consent_fingerprint
    other = ["https://other.example/cb"]
    updated(approving, registered, redirect_uris=other)
    client = instance(approving, registered)
    assert client.client_metadata == before and client.is_active and client.consent_fingerprint == fingerprint
    ((waiting_id, reason, requested),) = waiting(approving)
    assert (waiting_id, reason, requested["redirect_uris"]) == (client.client_id, "It changes redirect_uris.", other)
    approve(approving, client.client_id, "fine")
    approving.session.commit()
    client = instance(approving, registered)
    assert client.redirect_uris == other and client.consent_fingerprint != fingerprint and client.is_active
    assert waiting(approving) == []


def test_a_change_that_is_refused_leaves_the_client_as_it_is(approving: Host) -> None:
    registered = approved(approving)
    before = instance(approving, registered).client_metadata
    updated(approving, registered, client_name="Another")
    approving.dynreg.refuse_client(client_id(registered), "no")
    approving.session.commit()
    client = instance(approving, registered)
    assert client.client_metadata == before and client.is_active and waiting(approving) == []


def test_what_nobody_agrees_to_is_changed_at_once_and_the_last_wish_counts(approving: Host) -> None:
    registered = approved(approving)
    updated(approving, registered, client_name="Another")
    updated(approving, registered, tos_uri="https://client.example/tos")
    assert instance(approving, registered).tos_uri == "https://client.example/tos" and waiting(approving) == []


def test_what_a_change_withdraws_ends_when_it_is_approved(any_database_url: str, start_host: StartHost) -> None:
    withdrawn: list[Withdrawal] = []
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"], on_withdrawal=withdrawn.append)
    registered = approved(host)
    updated(host, registered, redirect_uris=["https://other.example/cb"])
    assert withdrawn == []
    approve(host, client_id(registered), "fine")
    host.session.commit()
    assert [each.redirect_uris for each in withdrawn] == [frozenset(CLIENT["redirect_uris"])]


def test_a_secret_that_a_change_needs_comes_to_the_client_alone(approving: Host) -> None:
    registered = approved(approving)
    wish = {"token_endpoint_auth_method": "client_secret_basic"}
    assert "client_secret" not in updated(approving, registered, **wish)
    approve(approving, client_id(registered), "fine")
    approving.session.commit()
    client = instance(approving, registered)
    assert client.token_endpoint_auth_method == "client_secret_basic" and client.client_secret is None
    secret = updated(approving, registered, **wish)["client_secret"]
    assert instance(approving, registered).check_client_secret(secret)


def test_a_change_that_todays_policies_refuse_is_not_approved(any_database_url: str, start_host: StartHost) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    registered = approved(host)
    updated(host, registered, client_name="Claude")
    names = {"policy": "forbidden_names", "names": ["Claude"]}
    today = start_host(any_database_url, DYNREG_POLICIES=["approval", names])
    with pytest.raises(RefusedMetadataError) as caught:
        approve(today, client_id(registered), "fine")
    assert [problem.pointer for problem in caught.value.problems] == ["/client_name"]
    today.session.rollback()
    assert instance(today, registered).client_name == "Mine"
    today.dynreg.refuse_client(client_id(registered), "no")
    today.session.commit()
    assert waiting(today) == []


@pytest.mark.parametrize("is_new", [True, False])
def test_what_todays_policies_would_narrow_is_not_approved(
    any_database_url: str, start_host: StartHost, is_new: bool
) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    registered = host.registered(**PUBLIC, scope="mcp:write") if is_new else approved(host)
    if not is_new:
        updated(host, registered, scope="mcp:write")
    ceiling = {"policy": "scope_ceiling", "scopes": ["mcp:read"]}
    today = start_host(any_database_url, DYNREG_POLICIES=["approval", ceiling])
    with pytest.raises(ValueError, match="something else"):
        approve(today, client_id(registered), "fine")
    today.session.rollback()
    assert instance(today, registered).is_active is not is_new


def test_a_wish_that_changes_while_it_is_looked_at_is_not_approved(
    any_database_url: str, start_host: StartHost
) -> None:
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    registered = approved(host)
    updated(host, registered, client_name="Harmless")

    def meddling(metadata: Any, context: Any) -> Any:
        with host.app.app_context():  # as another worker would
            updated(host, registered, client_name="Other")
        return metadata

    today = start_host(any_database_url, DYNREG_POLICIES=["approval", "meddling"], policies={"meddling": meddling})
    with pytest.raises(RaceLostError):
        approve(today, client_id(registered), "fine")
    today.session.rollback()
    assert instance(today, registered).client_name == "Mine"


def test_who_waits_with_a_statement_of_an_issuer_that_is_not_trusted_any_more_is_not_approved(
    any_database_url: str, start_host: StartHost
) -> None:
    trusting = start_host(any_database_url, DYNREG_POLICIES=["approval"], DYNREG_STATEMENT_ISSUERS=[trusted()])
    registered = trusting.registered(**PUBLIC, software_statement=statement())
    today = start_host(any_database_url, DYNREG_POLICIES=["approval"])
    with pytest.raises(UnapprovedStatementError):
        approve(today, client_id(registered), "fine")
    today.session.rollback()
    assert not instance(today, registered).is_active


def test_an_operator_suspends_and_resumes(host: Host) -> None:
    registered = host.registered()
    for decide, status in ((host.dynreg.suspend_client, "suspended"), (host.dynreg.resume_client, "active")):
        decide(client_id(registered), "why")
        host.session.commit()
        client = instance(host, registered)
        assert (client.status, client.status_reason, client.is_active) == (status, "why", status == "active")
        with pytest.raises(ValueError, match="must be"):
            decide(client_id(registered), "again")
    assert [event["type"] for event in host.events()] == ["registered", "suspended", "resumed"]


def test_nothing_is_decided_of_a_client_that_is_not_there(host: Host) -> None:
    for decide in (
        partial(approve, host),
        host.dynreg.refuse_client,
        host.dynreg.suspend_client,
        host.dynreg.resume_client,
    ):
        with pytest.raises(LookupError):
            decide("gone", "why")


def test_what_nobody_has_looked_at_is_not_approved(approving: Host) -> None:
    registered = approved(approving)
    updated(approving, registered, client_name="Harmless")
    ((shown),) = approving.registrar.waiting()
    updated(approving, registered, client_name="Other")
    with pytest.raises(ValueError, match="version must be"):
        approve(approving, client_id(registered), "fine", shown.version)
    approving.session.rollback()
    assert instance(approving, registered).client_name == "Mine"
    ((shown),) = approving.registrar.waiting()
    approve(approving, client_id(registered), "fine", shown.version)
    assert instance(approving, registered).client_name == "Other"


def test_what_is_approved_is_under_todays_policies(any_database_url: str, start_host: StartHost) -> None:
    registered = approved(start_host(any_database_url, DYNREG_POLICIES=["approval"]))
    policies = ["approval", "require_pkce", {"policy": "lifetime", "seconds": 1000}]
    today = start_host(any_database_url, DYNREG_POLICIES=policies)
    updated(today, registered, client_name="Another")
    approve(today, client_id(registered), "fine")
    client = instance(today, registered)
    assert client.is_under("require_pkce") and client.expires_at == client.client_id_issued_at + 1000


def test_who_waits_and_is_suspended_with_others_waits_again(any_database_url: str, start_host: StartHost) -> None:
    settings = {"DYNREG_POLICIES": ["approval"], "DYNREG_STATEMENT_ISSUERS": [trusted()]}
    host = start_host(any_database_url, **settings, DYNREG_QUOTAS={"pending": 1})
    registered = host.registered(**PUBLIC, software_statement=statement())
    for suspended in (1, 0):
        these = [client_id(registered)]
        assert host.registrar.suspend_stated(these, DIRECTORY, None, "not trusted any more", "ann") == suspended
    assert instance(host, registered).status == "suspended" and waiting(host) == []
    with pytest.raises(ValueError, match="waits"):
        approve(host, client_id(registered), "fine")
    host.dynreg.resume_client(client_id(registered), "trusted again")
    assert instance(host, registered).status == "pending" and len(waiting(host)) == 1
    approve(host, client_id(registered), "fine")
    assert instance(host, registered).is_active
    assert [row["clients"] for row in host.rows(host.models.quota)] == [1]
    host.session.commit()
    assert [row["clients"] for row in host.rows(host.models.quota)] == [0]
    (told,) = (json.loads(event["details"]) for event in host.events() if event["type"] == "suspended")
    assert told == {"reason": "not trusted any more", "by": "ann"}


def test_a_wish_of_a_suspended_client_waits_until_it_is_resumed(approving: Host) -> None:
    registered = approved(approving)
    updated(approving, registered, client_name="Another")
    approving.dynreg.suspend_client(client_id(registered), "odd")
    assert waiting(approving) == []
    with pytest.raises(ValueError, match="waits"):
        approve(approving, client_id(registered), "fine")
    approving.dynreg.resume_client(client_id(registered), "fine")
    assert len(waiting(approving)) == 1 and instance(approving, registered).is_active


def test_a_reason_is_no_longer_than_is_kept(any_database_url: str, start_host: StartHost) -> None:
    def wordy(metadata: Any, context: Any) -> Any:
        context.require_approval("w" * 300)
        return metadata

    host = start_host(any_database_url, DYNREG_POLICIES=["wordy"], policies={"wordy": wordy})
    registered = host.registered(**PUBLIC)
    assert instance(host, registered).status_reason == "w" * 255
    for reason in ("x" * 256, ""):
        with pytest.raises(ValueError, match="reason must be"):
            approve(host, client_id(registered), reason)


def test_the_trail_says_who_has_decided(host: Host) -> None:
    registered = host.registered()
    host.dynreg.suspend_client(client_id(registered), "odd", by="ann")
    host.session.commit()
    assert json.loads(host.events()[-1]["details"]) == {"reason": "odd", "by": "ann"}


def test_who_loses_a_race_decides_nothing(approving: Host) -> None:
    registered = approving.registered(**PUBLIC)
    stale = approving.record(registered)
    approving.dynreg.refuse_client(client_id(registered), "no")
    with pytest.raises(RaceLostError):
        approving.registrar.delete(stale)


def test_the_owner_can_be_told(approving: Host) -> None:
    told: list[tuple[str, Any, Any]] = []

    def hearer(signal: NamedSignal) -> Any:
        return lambda sender, owner, client_id, reason=None: told.append((signal.name, owner, reason))

    hearers = {signal: hearer(signal) for signal in SIGNALS}
    for signal, receiver in hearers.items():
        signal.connect(receiver, approving.app)
    created = approving.dynreg.create_client(CLIENT | PUBLIC, owner="them")
    approving.session.commit()
    client = approving.registrar.authenticate(created["client_id"], created["registration_access_token"])
    approving.registrar.update(client, approving.registrar.check(CLIENT | PUBLIC | {"client_name": "New"}, client))
    approving.session.commit()
    approve(approving, client.client_id, "fine")
    approving.dynreg.suspend_client(client.client_id, "odd")
    assert told == [("client-update-requested", "them", None)]
    approving.session.commit()
    assert told[1:] == [("client-approved", "them", "fine"), ("client-suspended", "them", "odd")]
