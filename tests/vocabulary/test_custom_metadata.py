"""Names of a host's own, by a subclass of the schema: for clients, or for operators alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates, validates_schema
from marshmallow.validate import Length, OneOf, Range, Regexp

from flask_dynreg import ClientMetadataSchema, ConfigurationError
from flask_dynreg.fields import Flag, Items, Member, Name, Seconds, SecureURL, Text
from tests.conformance.exchange import Client, read
from tests.hostile import json_values
from tests.vocabulary.provider import BASE, DEFAULTS, Provider, provider, same, told

HANDBOOK = "Our handbook, page 7"


def no_caf_babe(value: str) -> None:
    if "cafe" in value:
        raise ValidationError('Not "caf\u00e9" \\ please.')


def careless(value: Any) -> bool:
    return bool(value["floor"].upper() and 1 / (len(value) - 2))


class Careless(Member):
    """Says nothing of what it does not expect."""

    def check(self, value: Any) -> None:
        if value["a"]["b"] > 5:
            raise ValidationError({"a/b": ["must be at most 5."]})


class Address(Schema):
    city = fields.String(required=True)


class OurMetadata(ClientMetadataSchema):
    """Every way in which a host may say what a member is."""

    department = Text(HANDBOOK, tagged=True, longest=20)
    tier = Name(HANDBOOK, "bronze", "gold", default="bronze")
    team_urls = Items(SecureURL(HANDBOOK))
    session_seconds = Seconds(HANDBOOK)
    beta = Flag(HANDBOOK, needs="beta_program")
    alpha = Flag(HANDBOOK, needs="alpha_program")
    floor = fields.Integer(strict=True, validate=Range(max=99), metadata={"section": HANDBOOK})
    colour = fields.String(validate=[OneOf(["red", "blue"])])
    cost_centre = fields.String(data_key="x-cost-centre", validate=Regexp(r"[0-9]{4}\Z"))
    drink = fields.String(validate=no_caf_babe)
    address = fields.Nested(Address)
    room = fields.Raw(validate=careless)
    desk = Careless(HANDBOOK, tagged=True)
    tags = fields.List(fields.String(validate=Length(max=5)))
    approved = fields.Boolean(metadata={"operator": True})
    risk_class = Name(HANDBOOK, "low", "high", operator=True)
    note = fields.String(data_key="x-note", metadata={"operator": True})
    score = Careless(HANDBOOK, operator=True)


OPERATORS = {"approved": True, "risk_class": "high", "x-note": "Ask Ann."}
SOUND: dict[str, list[Any]] = {
    "department": ["Sales \u65e5", "x" * 20],
    "tier": ["gold"],
    "team_urls": [["https://team.example/"], ["https://a.example/", "https://b.example/"]],
    "session_seconds": [0, 60],
    "beta": [True, False],
    "floor": [7, -3],
    "colour": ["red"],
    "x-cost-centre": ["1234"],
    "drink": ["tea"],
    "address": [{"city": "Bonn"}],
    "room": [{"floor": "x"}],
    "desk": [{"a": {"b": 5}}],
    "tags": [["a", "b"], []],
}
UNSOUND: dict[str, list[Any]] = {
    "department": [7, "x" * 21, "\u202e", ["x"]],
    "tier": ["silver", 7, ["gold"]],
    "team_urls": ["https://team.example/", ["http://team.example/"], [7], {}],
    "session_seconds": ["60", -1, True],
    "beta": ["true", 1],
    "floor": [100, "seven", 7.5, []],
    "colour": ["green", 7, []],
    "x-cost-centre": ["123", "12345", 7, {}],
    "drink": ["cafe", 7],
    "address": ["Bonn", {}, {"city": 7}, {"city": "Bonn", "x": 1}],
    "room": ["x", 7, {}, {"floor": 7}, {"floor": "x", "b": 1}, [], ["x"]],
    "desk": ["x", 7, {}, [], {"a": None}, {"a": {"b": "7"}}, {"a": {"b": 6}}],
    "tags": ["a", [7], ["abcdef"], {}],
}


@pytest.fixture(scope="module")
def host() -> Iterator[Provider]:
    with provider(schema=OurMetadata, server={"beta_program": True}) as server:
        yield server


def kept(host: Provider, client: Client) -> dict[str, Any]:
    """What is in the record, as the host's code sees it."""
    with host.app.app_context():
        found = host.dynreg.query_client(client["client_id"])
        assert found is not None
        return {name: value for name, value in found.client_metadata.items() if name in OPERATORS}


@pytest.mark.parametrize("name", SOUND)
def test_a_name_of_the_host_is_client_metadata_like_any_other(host: Provider, name: str) -> None:
    for value in SOUND[name]:
        client = host.registered({**BASE, name: value})
        assert same(client[name], value)
        assert host.updated(client, client) == client
        assert host.updated(client, BASE).get(name) == ("bronze" if name == "tier" else None)


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_value_is_refused_in_well_formed_words(host: Provider, name: str) -> None:
    for value in UNSOUND[name]:
        answer = host.post({**BASE, name: value})
        assert host.refused(answer)[0].split("/")[1] == name
        text = answer.get_json()["error_description"]
        assert text.isascii() and text.isprintable() and not set(text) & set('"\\')


@pytest.mark.parametrize("name", ["floor", "department"])
def test_the_section_of_the_host_is_told(host: Provider, name: str) -> None:
    (problem,) = host.post({**BASE, name: []}).get_json()["errors"]
    assert problem["section"] == HANDBOOK


def test_a_type_that_fails_is_told_to_the_host_alone(host: Provider, caplog: pytest.LogCaptureFixture) -> None:
    answer = host.post({**BASE, "desk#de": {"a": "secret"}})
    assert host.refused(answer) == ["/desk#de"]
    assert answer.get_json()["error_description"] == "desk#de: must be a value of its type."
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.name == "flask_dynreg" and told.getMessage() == "The type of desk#de in the schema failed: TypeError"
    assert not told.exc_info


@pytest.mark.parametrize("name", SOUND)
def test_null_and_empty_text_count_as_absent(host: Provider, name: str) -> None:
    for nothing in (None, ""):
        assert host.metadata({**BASE, name: nothing}) == {**DEFAULTS, "tier": "bronze"}


def test_a_name_of_the_host_may_have_language_tags(host: Provider) -> None:
    assert host.metadata({**BASE, "department#ja": "\u65e5"})["department#ja"] == "\u65e5"
    assert host.pointers({**BASE, "department#ja": "x" * 21}) == ["/department#ja"]
    assert "colour#ja" not in host.metadata({**BASE, "colour#ja": "red"})


def test_a_name_of_the_host_goes_with_a_feature(host: Provider) -> None:
    assert "alpha" not in host.metadata({**BASE, "alpha": 7})
    with provider(schema=OurMetadata) as server:
        assert "beta" not in server.metadata({**BASE, "beta": 7})


def test_names_of_the_attributes_are_no_names(host: Provider) -> None:
    assert told(host.registered({**BASE, "cost_centre": "1234", "note": "x"})) == {**DEFAULTS, "tier": "bronze"}


# ---- Operators' names


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operators_name_is_not_taken_from_a_client_and_that_is_noted(host: Provider, name: str) -> None:
    values: list[Any] = [OPERATORS[name], 7, "\u202e", None, {"x": []}]
    for value in values:
        client = host.registered({**BASE, name: value})
        assert told(client) == {**DEFAULTS, "tier": "bronze"}
        assert kept(host, client) == {}
        host.updated(client, {**BASE, name: value})
        assert kept(host, client) == {}
        assert [details["ignored"] for details in host.details(client)] == [[name], [name]]


def test_an_operators_name_is_kept_over_updates_and_never_shown(host: Provider) -> None:
    client = host.registered({**BASE, "tier": "gold"})
    host.set_by_operator(client, **OPERATORS)
    assert read(host.http, client).get_json() == client
    for sent in (client, BASE, {**BASE, **OPERATORS, "risk_class": "low"}, {**BASE, "approved": None}):
        updated = host.updated(client, sent)
        assert not OPERATORS.keys() & updated.keys()
        assert kept(host, client) == OPERATORS
    assert [details.get("ignored") for details in host.details(client)] == [
        *(None, None, None, None),  # registered, set, and updated by what the client was told
        sorted(OPERATORS),
        ["approved"],
    ]


def test_an_operator_sets_and_removes_a_member_at_a_time(host: Provider) -> None:
    client = host.registered(BASE)
    host.set_by_operator(client, approved=False)
    host.set_by_operator(client, risk_class="low", **{"x-note": "Ask Ann."})
    assert kept(host, client) == {"approved": False, "risk_class": "low", "x-note": "Ask Ann."}
    host.set_by_operator(client, approved=True, risk_class=None)
    assert kept(host, client) == {"approved": True, "x-note": "Ask Ann."}
    assert host.details(client)[1:] == [
        {"members": names} for names in (["approved"], ["risk_class", "x-note"], ["approved", "risk_class"])
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("department", "Sales"), ("client_name", "Mine"), ("redirect_uris", None), ("scope", "mcp:admin")),
        *(("note", "x"), ("risk_class#de", "low"), ("client_secret", "x"), ("unknown", None)),
        *(
            ("score", "x"),
            ("score", {}),
            ("risk_class", "middle"),
            ("risk_class", 7),
            ("approved", "perhaps"),
            ("x-note", ["x"]),
        ),
    ],
)
def test_what_no_operator_sets_is_named_and_changes_nothing(host: Provider, name: str, value: Any) -> None:
    client = host.registered(BASE)
    with pytest.raises(ValueError, match=f"^{name}\\b"):
        host.set_by_operator(client, **{"approved": True, name: value})
    assert kept(host, client) == {} and len(host.details(client)) == 1


def test_a_tagged_operators_name_is_unknown(host: Provider) -> None:
    client = host.registered({**BASE, "risk_class#ja": "low"})
    assert told(client) == {**DEFAULTS, "tier": "bronze"} and kept(host, client) == {}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.dictionaries(st.sampled_from([*SOUND, *OPERATORS, "department#fr", "alpha"]), json_values, max_size=4))
def test_any_value_under_any_name_of_the_host_is_kept_or_refused(host: Provider, sent: dict[str, Any]) -> None:
    answer = host.post({**BASE, **sent})
    if answer.status_code != 201:
        host.refused(answer)
        return
    client = answer.get_json()
    assert not client.keys() & {*OPERATORS, "alpha"}
    said = {name: value for name, value in sent.items() if value is not None and value != ""}
    assert all(same(client[name], said[name]) for name in said.keys() & client.keys())
    assert host.updated(client, client) == client


# ---- Schemas that are wrong


def with_fields(**members: Any) -> type[Schema]:
    return type("Wrong", (ClientMetadataSchema,), members)


def nothing(self: Schema, value: Any, **options: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        (with_fields(client_secret=Text(HANDBOOK)), "client_secret"),
        (with_fields(secret=fields.String(data_key="client_secret")), "client_secret"),
        (with_fields(client_id=Text(HANDBOOK, operator=True)), "client_id"),
        (with_fields(registration_access_token=fields.String()), "registration_access_token"),
        (with_fields(check=validates_schema(nothing)), "hooks"),
        (with_fields(check=validates("client_name")(nothing)), "hooks"),
        (with_fields(change=pre_load(nothing)), "hooks"),
        (with_fields(change=post_load(nothing)), "hooks"),
        (with_fields(department=fields.String(required=True)), "department"),
        (with_fields(department=fields.String(load_default="Sales")), "department"),
        (with_fields(department=fields.String(data_key="x-department", required=True)), "department"),
        (with_fields(department=fields.String(dump_only=True)), "department"),
        (with_fields(Meta=type("Meta", (), {"dump_only": ("client_name",)})), "client_name"),
        (type("Bare", (Schema,), {"department": Text(HANDBOOK)}), "ClientMetadataSchema"),
    ],
)
def test_a_wrong_schema_stops_the_start(schema: type[Schema], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named), provider(schema=schema):
        pass
