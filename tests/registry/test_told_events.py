"""Every event of the trail is told by a signal: after the commit, and never if it is rolled back."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blinker import NamedSignal

import flask_dynreg
from flask_dynreg import ClientMetadataSchema, PolicyContext, Principal
from flask_dynreg.errors import ForbiddenError
from flask_dynreg.fields import Name
from flask_dynreg.lifecycle.clients import Registered
from flask_dynreg.lifecycle.repair import Change
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.policies.policy import Metadata
from tests.conftest import CLIENT
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id
from tests.statements import DIRECTORY, public, rsa_key, signed, trusted

SIGNALS = [signal for signal in vars(flask_dynreg).values() if isinstance(signal, NamedSignal)]
TRAIL = Path(__file__).parents[2] / "docs" / "trail.md"
DAY = 86400
CONFIG = {"DYNREG_CLIENT_LIFETIMES": {"open": {"unused": 1000 * DAY}}, "DYNREG_POLICIES": ["patience"]}
WAITS = "Waits"

Act = Callable[[], object]
"""What happens, in the session's transaction. It can be done again once that was rolled back."""
Scene = Callable[[Host], Act]
"""What has to be there before is made, and committed."""

SCENES: dict[str, tuple[str, Scene]] = {}
"""By the type of an event: the signal that tells it, and how it comes about."""


class OurMetadata(ClientMetadataSchema):
    risk_class = Name("Our handbook", "low", "high", operator=True)


def patience(metadata: Metadata, context: PolicyContext) -> Metadata:
    if metadata.get("client_name") == WAITS:
        context.require_approval("By its name.")
    return metadata


def scene(event: str, signal: str) -> Callable[[Scene], Scene]:
    def put(scene: Scene) -> Scene:
        SCENES[event] = (signal, scene)
        return scene

    return put


def updated(host: Host, registered: Registered, **metadata: Any) -> None:
    client = host.record(registered)
    host.registrar.update(client, host.registrar.check(CLIENT | metadata, client))


def changed(host: Host) -> Registered:
    """A client with an older version and an older secret."""
    registered = host.registered(client_name="One")
    updated(host, registered, client_name="Two")
    host.registrar.rotate_secret(client_id(registered), keep=DAY)
    host.session.commit()
    return registered


# ---- Clients


@scene("registered", "client-registered")
def register(host: Host) -> Act:
    return host.register


@scene("updated", "client-updated")
def update(host: Host) -> Act:
    registered = host.registered()
    return lambda: updated(host, registered, client_name="New")


@scene("update_requested", "client-update-requested")
def ask(host: Host) -> Act:
    registered = host.registered()
    return lambda: updated(host, registered, client_name=WAITS)


@scene("set_by_operator", "client-operator-metadata-set")
def set_by_operator(host: Host) -> Act:
    registered = host.registered()
    return lambda: host.dynreg.set_operator_metadata(client_id(registered), risk_class="high")


@scene("rolled_back", "client-updated")
def roll_back(host: Host) -> Act:
    registered = changed(host)
    return lambda: host.registrar.roll_back(client_id(registered), 1)


@scene("repaired", "client-updated")
def repair(host: Host) -> Act:
    this = client_id(host.registered())
    change = Change(members={"client_name": "New"})
    return lambda: host.registrar.repair(host.registrar.known_client(this), change, apply=True)


@scene("deleted", "client-deleted")
def delete(host: Host) -> Act:
    registered = host.registered()
    return lambda: host.registrar.delete(host.record(registered))


@scene("removed", "client-removed")
def remove(host: Host) -> Act:
    host.registered()
    host.clock.now += 1000 * DAY
    return lambda: host.registrar.remove_dead(host.registrar.dead(next(host.registrar.stretches.behind("")), 10))


@scene("approved", "client-approved")
def approve(host: Host) -> Act:
    registered = host.registered(client_name=WAITS)
    return lambda: host.dynreg.approve_client(client_id(registered), "known", version=1)


@scene("refused", "client-refused")
def refuse(host: Host) -> Act:
    registered = host.registered(client_name=WAITS)
    return lambda: host.dynreg.refuse_client(client_id(registered), "unknown")


@scene("suspended", "client-suspended")
def suspend(host: Host) -> Act:
    registered = host.registered()
    return lambda: host.dynreg.suspend_client(client_id(registered), "odd")


@scene("resumed", "client-resumed")
def resume(host: Host) -> Act:
    registered = host.registered()
    host.dynreg.suspend_client(client_id(registered), "odd")
    return lambda: host.dynreg.resume_client(client_id(registered), "fine")


@scene("spent_token_used", "client-spent-token-used")
def use_spent_token(host: Host) -> Act:
    registered = host.registered()
    host.dynreg.reissue_registration_access_token(client_id(registered))
    return lambda: host.registrar.note_spent_token(client_id(registered), registered.registration_access_token)


@scene("token_reissued", "client-token-reissued")
def reissue(host: Host) -> Act:
    registered = host.registered()
    return lambda: host.dynreg.reissue_registration_access_token(client_id(registered))


@scene("recovered", "client-recovered")
def recover(host: Host) -> Act:
    this = client_id(host.registered(token_endpoint_auth_method="private_key_jwt", jwks=public(rsa_key())))
    claims = {"iss": this, "sub": this, "aud": "here", "jti": "1", "iat": host.clock.now, "exp": host.clock.now + 60}
    return lambda: host.registrar.recover(this, signed(claims), "here")


@scene("secret_rotated", "client-secret-rotated")
def rotate(host: Host) -> Act:
    registered = host.registered()
    return lambda: host.dynreg.rotate_client_secret(client_id(registered))


@scene("older_secrets_dropped", "client-older-secrets-dropped")
def drop(host: Host) -> Act:
    registered = changed(host)
    return lambda: host.dynreg.drop_older_client_secrets(client_id(registered))


# ---- What is no client


@scene("token_issued", "event-noted")
def issue(host: Host) -> Act:
    return host.dynreg.issue_initial_access_token


@scene("token_revoked", "event-noted")
def revoke(host: Host) -> Act:
    host.dynreg.issue_initial_access_token()
    ((token),) = host.dynreg.initial_access_tokens()
    return lambda: host.dynreg.revoke_initial_access_token(token.id)


@scene("issuer_added", "event-noted")
def add_issuer(host: Host) -> Act:
    return lambda: host.registrar.issuers.add(StatementIssuer.from_json(trusted()))


@scene("issuer_changed", "event-noted")
def change_issuer(host: Host) -> Act:
    host.registrar.issuers.add(StatementIssuer.from_json(trusted()))
    return lambda: host.registrar.issuers.replace(StatementIssuer.from_json(trusted(software_ids=[])))


@scene("issuer_withdrawn", "event-noted")
def withdraw_issuer(host: Host) -> Act:
    host.registrar.issuers.add(StatementIssuer.from_json(trusted()))
    return lambda: host.registrar.issuers.remove(DIRECTORY)


@scene("registration_closed", "event-noted")
def close(host: Host) -> Act:
    return lambda: host.dynreg.close_registration("Maintenance")


@scene("registration_opened", "event-noted")
def open_again(host: Host) -> Act:
    host.dynreg.close_registration("Maintenance")
    return host.dynreg.open_registration


@scene("registration_refused", "event-noted")
def refuse_registration(host: Host) -> Act:
    holder = Principal("initial_access_token", initial_access_token_id=7)
    return lambda: host.registrar.note_refusal(ForbiddenError("No."), holder)


@scene("change_refused", "event-noted")
def refuse_change(host: Host) -> Act:
    this, holder = client_id(host.registered()), Principal("initial_access_token", initial_access_token_id=7)
    return lambda: host.registrar.note_refusal(ForbiddenError("No."), holder, this)


@scene("operation_refused", "event-noted")
def refuse_operation(host: Host) -> Act:
    return lambda: host.registrar.note_forbidden("ann", "clients:delete")


@scene("pruned", "event-noted")
@scene("trail_pruned", "event-noted")
def prune(host: Host) -> Act:
    changed(host)
    return lambda: list(host.registrar.retention.prune(host.clock.now + 1))


@scene("versions_erased", "event-noted")
def erase(host: Host) -> Act:
    changed(host)
    host.registrar.retention._history = 0
    return lambda: list(host.registrar.retention.erase_older())


# ---- Each of them


def in_the_table() -> set[str]:
    """The events of which the documentation tells."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TRAIL.read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_scenes_are_those_of_the_table() -> None:
    assert in_the_table() == SCENES.keys()


@contextmanager
def told_by(host: Host) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    hearers = {signal: lambda sender, _name=signal.name, **said: told.append((_name, said)) for signal in SIGNALS}
    for signal, hearer in hearers.items():
        signal.connect(hearer, host.app)
    yield told
    for signal, hearer in hearers.items():
        signal.disconnect(hearer, host.app)


@pytest.mark.parametrize("event", SCENES)
def test_an_event_is_told_after_its_commit_and_never_if_it_is_rolled_back(
    sqlite_url: str, start_host: StartHost, event: str
) -> None:
    signal, scene = SCENES[event]
    host = start_host(sqlite_url, schema=OurMetadata, policies={"patience": patience}, **CONFIG)
    act = scene(host)
    host.session.commit()

    def written() -> int:
        return [row["type"] for row in host.rows(host.models.event)].count(event)

    before = written()
    with told_by(host) as told:
        act()
        assert told == []
        host.session.rollback()
        host.session.commit()
        assert (told, written()) == ([], before)
        act()
        assert told == []
        host.session.commit()
        assert written() > before
    ((name, said),) = told
    assert name == signal
    if name == "event-noted":
        assert said["type"] == ("trail_pruned" if event == "pruned" else event)
    else:
        assert said["client_id"] in {row["client_id"] for row in host.events() if row["type"] == event}
