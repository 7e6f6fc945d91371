"""What operators set about a client: `dynreg.set_operator_metadata`, and what a host writes about an instance of its model."""

from collections.abc import Iterator

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import ClientMetadataSchema, DynamicRegistration, RaceLostError
from flask_dynreg.fields import Name, Text
from flask_dynreg.lifecycle.clients import Registered
from tests.conftest import MakeApp
from tests.hosts import heard
from tests.registry.host import Clock, Host, define_notes


class OurMetadata(ClientMetadataSchema):
    department = Text("Our handbook")
    risk_class = Name("Our handbook", "low", "high", operator=True)


@pytest.fixture
def host(any_database_url: str, make_app: MakeApp, clock: Clock) -> Iterator[Host]:
    db = SQLAlchemy()
    note = define_notes(db)
    dynreg = DynamicRegistration(db, clock=clock, schema=OurMetadata)
    app = make_app(db, dynreg, DYNREG_ACCESS=["open"], SQLALCHEMY_DATABASE_URI=any_database_url)
    with app.app_context():
        yield Host(app, db, dynreg, clock, note)


def set_risk(host: Host, registered: Registered, value: str | None) -> None:
    host.dynreg.set_operator_metadata(registered.client.client_id, risk_class=value)


def test_what_an_operator_sets_is_part_of_the_callers_transaction(host: Host) -> None:
    registered = host.registered(department="Sales")
    host.session.add(host.Note(text="pending"))
    with heard(host.db.engine) as words:
        set_risk(host, registered, "high")
    assert "COMMIT" not in words and host.notes() == [] and host.clients()[0]["version"] == 1
    host.session.rollback()
    assert host.record(registered).version == 1 and len(host.events()) == 1
    host.clock.now += 60
    set_risk(host, registered, "high")
    host.session.commit()
    record = host.record(registered)
    assert (record.version, record.client_metadata["risk_class"], record.client_metadata["department"]) == (
        *(2, "high"),
        "Sales",
    )
    assert host.clients()[0]["updated_at"] == host.clock.now
    told = host.events()[1]
    assert (told["type"], told["client_id"], told["occurred_at"], host.details()[1]) == (
        *("set_by_operator", record.client_id, host.clock.now),
        {"members": ["risk_class"]},
    )


def test_what_changes_nothing_writes_nothing(host: Host) -> None:
    registered = host.registered()
    set_risk(host, registered, None)
    host.dynreg.set_operator_metadata(registered.client.client_id)
    set_risk(host, registered, "low")
    set_risk(host, registered, "low")
    host.session.commit()
    assert host.record(registered).version == 2 and len(host.events()) == 2


@pytest.mark.parametrize("client_id", ["unknown", "", "\u00e9", "x" * 300])
def test_a_client_that_is_not_there_is_not_found(host: Host, client_id: str) -> None:
    with pytest.raises(LookupError):
        host.dynreg.set_operator_metadata(client_id, risk_class="low")
    registered = host.registered()
    host.registrar.delete(host.record(registered))
    with pytest.raises(LookupError):
        set_risk(host, registered, "low")


def test_an_update_of_the_client_meanwhile_is_not_undone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    registered = host.registered()
    find = host.registrar._clients.find

    def found_before_an_update(client_id: str) -> object:
        found = find(client_id)
        with host.app.app_context():
            monkeypatch.undo()
            host.registrar.update(host.record(registered), host.checked(client_name="New"))
            host.session.commit()
        return found

    monkeypatch.setattr(host.registrar._clients, "find", found_before_an_update)
    with pytest.raises(RaceLostError):
        set_risk(host, registered, "high")
    host.session.rollback()
    assert host.record(registered).client_metadata.get("risk_class") is None
    set_risk(host, registered, "high")
    host.session.commit()
    record = host.record(registered)
    assert (record.client_name, record.version) == ("New", 3)


def test_a_change_that_the_host_has_begun_is_kept(host: Host) -> None:
    registered = host.registered()
    instance = host.dynreg.query_client(registered.client.client_id)
    assert instance
    instance.set_client_metadata({**instance.client_metadata, "client_name": "Mine"})
    set_risk(host, registered, "low")
    assert (instance.client_name, instance.client_metadata["risk_class"]) == ("Mine", "low")
    host.session.commit()
    record = host.record(registered)
    assert (record.client_name, record.client_metadata["risk_class"], record.version) == ("Mine", "low", 3)


# ---- What a host writes about an instance


def test_what_a_host_writes_makes_a_new_version(host: Host) -> None:
    registered = host.registered()
    instance = host.dynreg.query_client(registered.client.client_id)
    assert instance and instance.version == 1
    instance.set_client_metadata({**instance.client_metadata, "client_name": "Mine"})
    host.session.flush()
    assert instance.version == 2
    instance.set_client_metadata(instance.client_metadata)
    instance.set_client_metadata({**instance.client_metadata, "client_name": "Ours"})
    host.session.commit()
    assert instance.version == 3
    with pytest.raises(RaceLostError):
        host.registrar.update(registered.client, host.checked())


def test_a_new_version_is_newer_than_what_was_written_meanwhile(host: Host) -> None:
    registered = host.registered()
    instance = host.dynreg.query_client(registered.client.client_id)
    assert instance
    metadata = instance.client_metadata
    host.session.commit()
    assert instance.version == 1
    host.session.rollback()
    instance.set_client_metadata({**metadata, "client_name": "Mine"})
    with host.app.app_context():
        host.registrar.update(host.record(registered), host.checked(client_name="New"))
        host.session.commit()
    host.session.commit()
    assert host.record(registered).version == 3


def test_a_client_that_a_host_makes_is_in_its_first_version(host: Host) -> None:
    client = host.models.client(client_id="Made-1")  # type: ignore[call-arg]
    client.set_client_metadata({"redirect_uris": []})
    host.session.add(client)
    client.set_client_metadata({"redirect_uris": ["https://client.example/cb"]})
    host.session.commit()
    assert client.version == 1
