"""The types and the sizes of client metadata (RFC 7591 section 2), and what counts as absent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import json_objects, json_values, text
from tests.metadata.checking import APP, REDIRECT
from tests.metadata.keys import ec_jwk

VALUES: dict[str, Any] = {
    "redirect_uris": ["https://client.example/cb"],
    "token_endpoint_auth_method": "client_secret_post",
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "client_name": "A client",
    "client_uri": "https://client.example/",
    "logo_uri": "https://client.example/logo.png",
    "scope": "mcp:read",
    "contacts": ["a@client.example", "+1 555 0100"],
    "tos_uri": "https://client.example/tos",
    "policy_uri": "https://client.example/policy",
    "jwks_uri": "https://client.example/jwks",
    "jwks": {"keys": [ec_jwk()]},
    "software_id": "4NRB1-0XZABZI9E6-5SM3R",
    "software_version": "2.1",
    "application_type": "web",
}
ARRAYS = ["redirect_uris", "grant_types", "response_types", "contacts"]
DEFAULTS = {
    "redirect_uris": ["https://client.example/cb"],
    "grant_types": ["authorization_code"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "client_secret_basic",
}

members = st.sampled_from([*VALUES, "client_name#ja", "logo_uri#de-CH"])


def registered(**sent: Any) -> dict[str, Any]:
    return APP.registered(**REDIRECT | sent)


def pointers(**sent: Any) -> list[str]:
    return APP.pointers(**REDIRECT | sent)


def is_of(pointer: str, member: str) -> bool:
    return pointer == f"/{member}" or pointer.startswith(f"/{member}/")


@pytest.mark.parametrize("member", VALUES)
def test_every_member_is_registered_as_it_is(member: str) -> None:
    assert json.dumps(registered(**{member: VALUES[member]})[member]) == json.dumps(VALUES[member])


@pytest.mark.parametrize("member", VALUES)
@pytest.mark.parametrize("value", [True, False, 0, 1, 1.5, {}, {"x": 1}, [1], [None], [[]], [{}], ["x", 1]])
def test_a_value_of_the_wrong_type_is_refused_by_its_name(member: str, value: Any) -> None:
    found = pointers(**{member: value})
    assert found and all(is_of(pointer, member) for pointer in found)


@pytest.mark.parametrize("member", ARRAYS)
@pytest.mark.parametrize("value", ["x", "code", '["code"]', "https://client.example/cb"])
def test_a_bare_string_is_no_array(member: str, value: str) -> None:
    assert pointers(**{member: value}) == [f"/{member}"]


@pytest.mark.parametrize("member", [member for member in VALUES if member not in ARRAYS])
def test_an_array_is_no_single_value(member: str) -> None:
    assert pointers(**{member: [VALUES[member]]}) == [f"/{member}"]


@pytest.mark.parametrize("member", ARRAYS)
@pytest.mark.parametrize("item", [None, "", " ", "\t", 1, True, [], {}])
def test_every_item_of_an_array_that_is_no_text_is_named(member: str, item: Any) -> None:
    assert pointers(**{member: [item, *VALUES[member], item]}) == [
        f"/{member}/0",
        f"/{member}/{len(VALUES[member]) + 1}",
    ]


@pytest.mark.parametrize("member", [*VALUES, "client_name#ja"])
def test_null_counts_as_absent(member: str) -> None:
    sent = {"redirect_uris": REDIRECT["redirect_uris"], "grant_types": ["client_credentials"], "response_types": []}
    if member == "redirect_uris":
        assert APP.registered(**sent | {member: None}) == APP.registered(**sent | {member: []})
    else:
        assert registered(**{member: None}) == registered() == DEFAULTS


@pytest.mark.parametrize("member", [member for member in [*VALUES, "client_name#ja"] if member not in ARRAYS])
def test_empty_text_counts_as_absent_in_a_single_valued_member(member: str) -> None:
    assert registered(**{member: ""}) == DEFAULTS


@pytest.mark.parametrize("member", ["token_endpoint_auth_method", "jwks_uri", "client_uri", "application_type", "jwks"])
def test_blank_text_is_no_value_of_the_protocol(member: str) -> None:
    assert pointers(**{member: " "}) == [f"/{member}"]


@pytest.mark.parametrize("member", ["client_name", "software_id", "software_version", "client_name#ja"])
def test_blank_text_says_nothing_to_people(member: str) -> None:
    assert member not in registered(**{member: " \u3000"})


def test_an_empty_array_says_what_an_absent_one_says_where_there_must_be_something() -> None:
    assert registered(grant_types=[]) == registered(contacts=[]) == DEFAULTS
    assert APP.pointers(redirect_uris=[]) == ["/redirect_uris"]
    assert pointers(response_types=[]) == ["/response_types"]


@pytest.mark.parametrize("value", [None, 1, "x", [], {"x": ["\0"]}])
@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "__proto__",
        "Redirect_URIs",
        "redirect_uris ",
        "client_id",
        "client_secret",
        "client_id_issued_at",
        "client_secret_expires_at",
        "registration_access_token",
        "registration_client_uri",
        "id_token_signed_response_alg",
        "sector_identifier_uri",
        "require_pushed_authorization_requests",
        "issuer",
        "version",
        "\u0000",
        "a/b~c",
    ],
)
def test_a_name_that_is_no_client_metadata_here_is_ignored_whatever_its_value(name: str, value: Any) -> None:
    assert registered(**{name: value}) == DEFAULTS


@pytest.mark.parametrize(
    ("member", "fits", "too_much"),
    [
        ("redirect_uris", ["https://client.example/cb"] * 100, ["https://client.example/cb"] * 101),
        ("grant_types", ["authorization_code"] * 100, ["authorization_code"] * 101),
        ("response_types", ["code"] * 100, ["code"] * 101),
        ("contacts", ["x"] * 100, ["x"] * 101),
        ("scope", "x " * 4096, "x " * 4096 + "x"),
        ("client_name", "x" * 255, "x" * 256),
        ("software_id", "x" * 255, "x" * 256),
        ("software_version", "x" * 255, "x" * 256),
        ("client_uri", "https://client.example/" + "x" * 2025, "https://client.example/" + "x" * 2026),
        ("jwks_uri", "https://client.example/" + "x" * 2025, "https://client.example/" + "x" * 2026),
    ],
)
def test_what_is_just_small_enough_is_registered_and_what_is_not_is_refused(
    member: str, fits: Any, too_much: Any
) -> None:
    assert pointers(**{member: fits}) == []
    assert pointers(**{member: too_much}) == [f"/{member}"]


@pytest.mark.parametrize(
    ("member", "fits", "too_much"),
    [
        ("redirect_uris", "https://client.example/" + "x" * 2025, "https://client.example/" + "x" * 2026),
        ("grant_types", "x" * 255, "x" * 256),
        ("grant_types", "x", "\u00e9"),
        ("response_types", "x" * 255, "x" * 256),
        ("response_types", "x", "x\n"),
        ("contacts", "x" * 255, "x" * 256),
    ],
)
def test_an_item_of_an_array_has_its_limits_too(member: str, fits: str, too_much: str) -> None:
    assert pointers(**{member: [*VALUES[member], fits]}) == []
    assert pointers(**{member: [*VALUES[member], too_much]}) == [f"/{member}/{len(VALUES[member])}"]


@given(members, json_values)
def test_any_value_is_registered_as_it_is_or_absent_or_refused_by_its_name(member: str, value: Any) -> None:
    found = pointers(**{member: value})
    assert all(is_of(pointer, member) for pointer in found)
    if not found:
        answer = registered(**{member: value})
        if member in answer and member not in DEFAULTS:
            assert json.dumps(answer[member]) == json.dumps(value)
        assert answer.keys() <= DEFAULTS.keys() | {member}


@given(st.dictionaries(members | text, json_values) | json_objects)
def test_whatever_is_sent_the_answer_is_well_formed(sent: dict[str, Any]) -> None:
    error = APP.refusal(**sent)
    if error is None:
        answer = APP.registered(**sent)
        assert None not in answer.values() and "" not in answer.values()
        assert {name.partition("#")[0] for name in answer} <= VALUES.keys()
        assert all(isinstance(answer[member], list) for member in ("redirect_uris", "grant_types", "response_types"))
        return
    status, body, _ = error()
    assert status == 400 and body["error"] in ("invalid_client_metadata", "invalid_redirect_uri")
    assert body["error_description"].isascii() and body["error_description"].isprintable()
    assert not set(body["error_description"]) & set('"\\')
    assert {problem["pointer"].split("/")[1].partition("#")[0] for problem in body["errors"]} <= VALUES.keys()


@given(st.dictionaries(members, json_values, max_size=6))
def test_what_is_sent_is_not_changed(sent: dict[str, Any]) -> None:
    before = json.dumps(sent)
    APP.refusal(**sent)
    assert json.dumps(sent) == before
