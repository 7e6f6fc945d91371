"""RFC 7591 section 2.2: what people read, in their languages, and the pages it leads to."""

import json

import pytest
from flask.testing import FlaskClient

from tests.conformance.exchange import CONFIDENTIAL, REGISTER, post, read, refused
from tests.conformance.requirements import requirement
from tests.conftest import Register

PAGES = ("client_uri", "logo_uri", "tos_uri", "policy_uri")


@requirement("RFC7591-2.2-03", "RFC7591-2.2-01")
@pytest.mark.parametrize(
    "name",
    [
        "\u30af\u30e9\u30a4\u30a2\u30f3\u30c8\u540d",
        "e\u0301",
        "\u00e9",
        "\u06cc\u200c\u06a9",
        "\U0001f469\u200d\U0001f4bb",
        " Mine & <b> ",
    ],
)
def test_names_are_kept_as_they_are(http: FlaskClient, register: Register, name: str) -> None:
    names = {"client_name": name, "client_name#en": "Mine", "client_name#ja-Jpan-JP": name}
    client = register(**names)
    assert {key: client[key] for key in names} == names
    again = read(http, client).get_json()
    assert {key: again[key] for key in names} == names


@pytest.mark.parametrize("character", "\x00\x01\n\x7f\x85\u200b\u2028\u2029\u202e\u2060\u2066\u2069\ufeff")
def test_text_that_deceives_readers_is_refused(http: FlaskClient, character: str) -> None:
    answer = post(http, {**CONFIDENTIAL, "client_name": f"My{character}App"})
    refused(answer, "invalid_client_metadata", "invalid_request")


@requirement("RFC7591-2.2-02")
def test_one_language_has_one_value(http: FlaskClient, register: Register) -> None:
    for tags in (("fr", "FR"), ("FR", "fr"), ("ja-jpan", "ja-Jpan")):
        body = json.dumps({**CONFIDENTIAL, **{f"client_name#{tag}": "a" for tag in tags}})
        refused(http.post(REGISTER, data=body, content_type="application/json"), "invalid_client_metadata")
    assert register(**{"client_name#FR": "a"})["client_name#FR"] == "a"


@pytest.mark.parametrize("name", ["client_name#", "client_name#x_y", "client_name#fr#de", "redirect_uris#fr"])
def test_what_is_no_language_tag_makes_an_unknown_name(register: Register, name: str) -> None:
    assert name not in register(**{name: "a"})


@requirement("RFC7591-2-17", "RFC7591-2-18", "RFC7591-2.2-05")
@pytest.mark.parametrize("tag", ["", "#fr"])
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "/about",
        "not a url",
        "https://",
        "https:app.example",
        "https://user@app.example/",
        "ftp://app.example/",
        'https://app.example/"><script>',
    ],
)
def test_an_address_that_is_no_web_page_is_refused(http: FlaskClient, name: str, tag: str, value: str) -> None:
    body = refused(post(http, {**CONFIDENTIAL, name + tag: value}), "invalid_client_metadata")
    assert name in body["error_description"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("value", ["http://app.example/", "https://other.example/#top", "http://localhost:3000"])
def test_addresses_of_pages_may_lead_elsewhere(register: Register, name: str, value: str) -> None:
    assert register(**{name: value})[name] == value


@pytest.mark.parametrize("nothing", ["", None])
@pytest.mark.parametrize(
    "name",
    [*PAGES, "client_name", "client_name#fr", "scope", "jwks_uri", "jwks", "contacts", "software_id", "grant_types"],
)
def test_nothing_is_the_same_as_absent(register: Register, name: str, nothing: str | None) -> None:
    client = register(**{name: nothing})
    assert client.get(name, ["authorization_code"]) == ["authorization_code"]
