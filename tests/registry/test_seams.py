"""Where the parts of a client's life meet: secrets, tokens, clocks, versions and seals."""

from typing import Any

import pytest

from flask_dynreg.lifecycle.clients import Registered
from flask_dynreg.registry.chains import Found
from tests.conftest import CLIENT
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id
from tests.registry.test_approval import PUBLIC, approve

KEYS = ["bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU=", "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w="]


def takes(host: Host, registered: Registered, secret: str | None) -> bool:
    host.session.expire_all()
    client = host.dynreg.query_client(client_id(registered))
    assert client
    return client.check_client_secret(secret)


def put(host: Host, registered: Registered, secret: str | None, **metadata: Any) -> dict[str, Any]:
    client = host.record(registered)
    information = host.registrar.update(client, host.registrar.check({**CLIENT, **metadata}, client), secret)
    host.session.commit()
    return information


def test_what_an_operator_has_promised_of_secrets_holds(host: Host) -> None:
    registered = host.registered()
    first = registered.client_secret
    second = host.dynreg.rotate_client_secret(client_id(registered), keep=3600)
    host.session.commit()
    assert "client_secret" not in put(host, registered, first, client_name="New")
    assert takes(host, registered, first) and takes(host, registered, second)
    host.clock.now += 3600
    assert not takes(host, registered, first) and takes(host, registered, second)
    third = put(host, registered, first, client_name="Newer")["client_secret"]  # it has never heard of the second
    assert takes(host, registered, third)


def test_older_secrets_are_dropped_while_all_are_encrypted_anew(any_database_url: str, start_host: StartHost) -> None:
    old = start_host(any_database_url, DYNREG_SECRET_KEYS=KEYS[1:])
    registered = old.registered()
    secret = registered.client_secret
    old.dynreg.rotate_client_secret(client_id(registered), keep=3600)
    old.session.commit()
    both = start_host(any_database_url, DYNREG_SECRET_KEYS=KEYS)
    newest = both.registrar.information(both.record(registered))["client_secret"]
    client = both.registrar.known_client(client_id(registered))
    with both.app.app_context():
        assert both.app.test_cli_runner().invoke(args=["dynreg", "secrets", "reencrypt"]).exit_code == 0
    both.registrar.secrets.forget_older(client)
    assert both.registrar._clients.replace(client, 1, both.registrar._event("older_secrets_dropped", client))
    both.session.commit()
    new = start_host(any_database_url, DYNREG_SECRET_KEYS=KEYS[:1])
    assert takes(new, registered, newest) and not takes(new, registered, secret)


def test_a_token_does_not_end_while_the_client_cannot_know_another(
    any_database_url: str, start_host: StartHost
) -> None:
    settings = {"DYNREG_REGISTRATION_TOKEN_ROTATION": "update", "DYNREG_REGISTRATION_TOKEN_LIFETIME": 1000}
    host = start_host(any_database_url, **settings)
    registered = host.registered()
    token = registered.registration_access_token
    host.registrar.renewed(host.record(registered), token, "update")  # an answer that gets lost
    host.session.commit()
    host.clock.now += 5000
    assert host.registrar.renewed(host.record(registered), token, "update") == token


def test_who_waits_longer_than_a_lifetime_begins_when_it_is_approved(
    any_database_url: str, start_host: StartHost
) -> None:
    host = start_host(
        any_database_url,
        DYNREG_POLICIES=["approval", {"policy": "lifetime", "seconds": 1000}],
        DYNREG_REGISTRATION_TOKEN_LIFETIME=1000,
        DYNREG_CLIENT_LIFETIMES={"open": {"unused": 1000, "pending": 9000}},
    )
    registered = host.registered(**PUBLIC)
    host.clock.now += 5000
    assert host.record(registered).status == "pending"
    approve(host, client_id(registered), "fine")
    host.session.commit()
    host.clock.now += 900
    client = host.record(registered)
    assert client.is_active
    host.registrar.update(
        client, host.registrar.check({**CLIENT, **PUBLIC, "tos_uri": "https://client.example"}, client)
    )
    host.session.commit()
    host.session.close()
    assert host.record(registered).is_active
    assert host.dynreg.clean_up().removed.total() == 0
    host.clock.now += 1000
    assert host.dynreg.clean_up().removed.total() == 1


def test_a_client_that_waits_is_not_unused(any_database_url: str, start_host: StartHost) -> None:
    clocks = {"open": {"unused": 1000, "idle": 1000, "pending": 9000}}
    host = start_host(any_database_url, DYNREG_POLICIES=["approval"], DYNREG_CLIENT_LIFETIMES=clocks)
    host.registered(**PUBLIC)
    host.clock.now += 5000
    assert host.dynreg.clean_up().removed.total() == 0
    host.clock.now += 4000
    assert list(host.dynreg.clean_up().removed) == [("open", "pending")]


def test_a_version_that_no_event_tells_of_is_not_guessed(host: Host) -> None:
    registered = host.registered()
    put(host, registered, None, client_name="B")
    client = host.dynreg.query_client(client_id(registered))
    assert client
    client.set_client_metadata({**client.client_metadata, "client_name": "HOST"})
    host.session.commit()
    put(host, registered, None, client_name="D")
    versions = host.registrar.versions(client_id(registered))
    assert [(each.version, each.metadata and each.metadata.get("client_name")) for each in versions] == [
        (1, None),
        (2, None),
        (4, "D"),
    ]
    assert versions[0].metadata is not None and versions[1].metadata is None
    with pytest.raises(ValueError, match="not kept"):
        host.registrar.roll_back(client_id(registered), 2)


def test_a_seal_explains_what_was_pruned_in_several_years(host: Host) -> None:
    registered = host.registered()
    for name in "abc":
        put(host, registered, None, client_name=name)
        host.clock.now += 100
    for _ in range(2):
        host.clock.now += 50
        result = host.app.test_cli_runner().invoke(args=["dynreg", "audit", "prune", "--older-than", "200"])
        assert result.exit_code == 0, result.output
        host.clock.now += 100
    subjects = [row["details"] for row in host.rows(host.models.event) if row["type"] == "trail_pruned"]
    assert len(subjects) == 2 and list(host.registrar.chains.verify(Found())) == []
