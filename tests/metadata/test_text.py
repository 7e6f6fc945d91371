"""Text for people, the language tags it comes with (RFC 7591 section 2.2), and pages about the client."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metadata.checking import APP, REDIRECT

TEXTS = ["client_name", "software_id", "software_version"]
PAGES = ["client_uri", "logo_uri", "tos_uri", "policy_uri"]
TAGGED = ["client_name", *PAGES]

# Controls, what turns text around, what cannot be seen, and halves of characters.
DANGEROUS = [
    *map(chr, [*range(0x00, 0x20), *range(0x7F, 0xA0)]),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\u200b\u2060\ufeff\u2028\u2029",
    *"\ud800\udbff\udc00\udfff",
]


def registered(**sent: Any) -> dict[str, Any]:
    return APP.registered(**REDIRECT, **sent)


def pointers(**sent: Any) -> list[str]:
    return APP.pointers(**REDIRECT, **sent)


@pytest.mark.parametrize("member", [*TEXTS, "client_name#ja"])
@pytest.mark.parametrize(
    "text",
    [
        "x",
        " x ",
        "Na\u00efve caf\u00e9",
        unicodedata.normalize("NFD", "Na\u00efve caf\u00e9"),
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a ZWNJ
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, with ZWJs
        "\u05e9\u05dc\u05d5\u05dd 1.0",
        "<script>alert('x')</script> \"&amp;\\",
        "%s {0} ${x} '; DROP TABLE x; --",
        "\U0010fffd" * 255,
        "e\u0301" * 127,
    ],
)
def test_text_is_registered_character_by_character(member: str, text: str) -> None:
    assert registered(**{member: text})[member] == text


@pytest.mark.parametrize("char", DANGEROUS)
def test_what_deceives_a_reader_is_refused_wherever_it_stands(char: str) -> None:
    for member in [*TEXTS, "client_name#ja"]:
        for text in (f"a{char}b", f"{char}b", f"a{char}"):
            assert pointers(**{member: text}) == [f"/{member}"]
    assert pointers(contacts=["a@b.example", f"a{char}b"]) == ["/contacts/1"]


def test_text_has_at_most_255_characters() -> None:
    for member in [*TEXTS, "client_name#ja"]:
        assert registered(**{member: "\u00e9" * 255})[member] == "\u00e9" * 255
        assert pointers(**{member: "\u00e9" * 256}) == [f"/{member}"]
    assert pointers(contacts=["x" * 255]) == []
    assert pointers(contacts=["x" * 256]) == ["/contacts/0"]


@given(st.text(max_size=300))
def test_any_text_is_registered_as_it_is_or_refused_by_name(text: str) -> None:
    found = pointers(client_name=text)
    assert found in ([], ["/client_name"])
    if not found and text.strip():
        assert registered(client_name=text)["client_name"] == text
        assert not set(text) & set(DANGEROUS)


# ---- Pages


@pytest.mark.parametrize("member", [*PAGES, "logo_uri#fr"])
@pytest.mark.parametrize(
    "uri",
    [
        "https://client.example",
        "https://client.example/terms?x=1#section-2",
        "http://client.example/logo.png",
        "http://localhost:3000/logo.png",
        "http://192.168.0.1/logo.png",
        "https://elsewhere.example/../logo.png",
        "HTTPS://Client.Example/",
        "https://client.example/" + "x" * (2048 - 23),
    ],
)
def test_a_page_may_be_on_any_host(member: str, uri: str) -> None:
    assert registered(**{member: uri})[member] == uri


@pytest.mark.parametrize("member", [*PAGES, "logo_uri#fr"])
@pytest.mark.parametrize(
    "uri",
    [
        1,
        True,
        [],
        ["https://client.example"],
        {"uri": "https://client.example"},
        "logo.png",
        "/logo.png",
        "//client.example/logo.png",
        "client.example",
        "https://",
        "https:///logo.png",
        "https:client.example",
        "javascript:alert(1)",
        "javascript://client.example/%0aalert(1)",
        "data:image/svg+xml,<svg/>",
        "file:///etc/passwd",
        "ftp://client.example/",
        "com.example.app:/logo",
        "https://user@client.example/",
        "https://user:password@client.example/",
        "https://client.example:port/",
        "https://client.example:0/",
        "https://client.example/a b",
        'https://client.example/"onerror=',
        "https://client.example/<x>",
        "https://client.example\\x",
        "https://cl\u00efent.example/",
        "https://client.example/\u202e",
        " https://client.example/",
        "https://client.example/\n",
        "https://client.example/%zz",
        "https://0x7f.1/",
        "https://client.example/" + "x" * (2049 - 23),
    ],
)
def test_what_is_no_page_is_refused(member: str, uri: Any) -> None:
    assert pointers(**{member: uri}) == [f"/{member}"]


# ---- Language tags


@pytest.mark.parametrize("member", TAGGED)
@pytest.mark.parametrize(
    "tag",
    [
        "ja",
        "DE",
        "fil",
        "en-GB",
        "en-gb",
        "es-419",
        "zh-Hant",
        "ja-Jpan-JP",
        "zh-cmn-Hans-CN",
        "de-CH-1901",
        "sl-rozaj-biske-1994",
        "en-a-bbb-x-a-ccc",
        "de-u-co-phonebk",
        "x-whatever",
        "en-x-" + "-".join(["12345678"] * 6),
    ],
)
def test_a_member_for_people_may_have_a_language_and_its_tag_is_kept_as_it_is_spelt(member: str, tag: str) -> None:
    name = f"{member}#{tag}"
    sent = {member: "https://client.example/", name: "https://client.example/x"}
    answer = registered(**sent)
    assert {key: answer[key] for key in sent} == sent


@pytest.mark.parametrize(
    "name",
    [
        "client_name#",
        "client_name##ja",
        "client_name#ja#fr",
        "client_name#x_y",
        "client_name# ja",
        "client_name#ja ",
        "client_name#ja\n",
        "client_name#-",
        "client_name#ja-",
        "client_name#j",
        "client_name#x",
        "client_name#123",
        "client_name#abcdefghi",
        "client_name#en-",
        "client_name#\u0434\u0435",
        "client_name#ja\0",
        "client_name#en-x-" + "-".join(["12345678"] * 7),
        "Client_Name#ja",
        "client_name/ja",
        "#ja",
        "redirect_uris#fr",
        "grant_types#fr",
        "scope#fr",
        "contacts#fr",
        "jwks#fr",
        "jwks_uri#fr",
        "software_id#fr",
        "software_version#fr",
        "application_type#fr",
        "token_endpoint_auth_method#fr",
    ],
)
@pytest.mark.parametrize("value", ["x", 1, None, {"a": ["\0"]}])
def test_a_tag_that_is_none_or_on_another_member_makes_a_name_that_nobody_knows(name: str, value: Any) -> None:
    assert registered(**{name: value}) == registered()


def test_a_tag_is_there_once_in_whatever_spelling() -> None:
    assert pointers(**{"client_name#ja": "x", "client_name#JA": "y"}) == ["/client_name#JA"]
    assert pointers(**{"client_name#en-gb": "x", "client_name#en-GB": "x"}) == ["/client_name#en-GB"]
    assert pointers(**{"client_name#ja": "x", "client_uri#ja": "https://client.example/"}) == []
    assert pointers(**{"client_name": "x", "client_name#ja": "x", "client_name#fr": "x"}) == []


def test_there_are_at_most_64_tagged_members() -> None:
    tagged = {f"client_name#x-{number}": "x" for number in range(65)}
    assert pointers(**tagged) == ["/client_name#x-64"]
    tagged.popitem()
    assert registered(**tagged).items() >= tagged.items()


@pytest.mark.parametrize("value", [None, ""])
def test_a_tagged_member_without_a_value_is_absent(value: str | None) -> None:
    assert "client_name#ja" not in registered(**{"client_name#ja": value})


@pytest.mark.parametrize("value", [1, True, ["x"], {"ja": "x"}])
def test_a_tagged_member_is_a_string(value: Any) -> None:
    assert pointers(**{"client_name#ja": value}) == ["/client_name#ja"]


@given(st.text(max_size=70), st.sampled_from([*TAGGED, "redirect_uris", "scope", "x"]))
def test_whatever_a_name_is_it_is_kept_as_it_is_or_ignored(tag: str, member: str) -> None:
    name = f"{member}#{tag}"
    answer = registered(**{name: "https://client.example/"})
    assert answer.get(name, "https://client.example/") == "https://client.example/"
    assert answer.keys() - {name} == registered().keys()
    if name in answer:
        assert (
            member in TAGGED
            and tag.isascii()
            and len(tag) <= 64
            and set(tag) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
        )
