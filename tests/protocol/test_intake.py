"""Strict intake: what is one JSON object and one token, and what is not."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conformance.exchange import REGISTER, bearer, issue_token, read, refused, unauthorized
from tests.conftest import CLIENT, MakeApp, Register

JSON = "application/json"
URIS = b'"redirect_uris": ["https://client.example/cb"]'


def send(http: FlaskClient, body: bytes, content_type: str | None = JSON) -> TestResponse:
    return http.post(REGISTER, data=body, content_type=content_type)


def with_member(text: bytes) -> bytes:
    return b'{%b, "x": %b}' % (URIS, text)


def nested(levels: int, inmost: bytes = b"") -> bytes:
    return b"[" * levels + inmost + b"]" * levels


# ---- The size


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MAX_REQUEST_BYTES=2048).test_client()
    body = b"{%b}" % URIS
    assert send(http, body.ljust(2048)).status_code == 201
    answer = send(http, body.ljust(2049))
    assert answer.headers["Cache-Control"] == "no-store"
    assert "2048" in refused(answer, "invalid_request", status=413)["error_description"]


def test_an_update_has_the_same_limit(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MAX_REQUEST_BYTES=1024).test_client()
    client = send(http, b"{%b}" % URIS).get_json()
    headers = bearer(client["registration_access_token"])
    body = json.dumps(CLIENT | {"client_id": client["client_id"]}).ljust(1025)
    answer = http.put(client["registration_client_uri"], data=body, content_type=JSON, headers=headers)
    refused(answer, "invalid_request", status=413)


def test_a_limit_of_the_hosts_that_is_lower_holds(make_app: MakeApp) -> None:
    http = make_app(MAX_CONTENT_LENGTH=512).test_client()
    answer = send(http, (b"{%b}" % URIS).ljust(513))
    assert (answer.status_code, answer.get_json()) == (413, {"error": "invalid_request"})
    assert send(http, (b"{%b}" % URIS).ljust(512)).status_code == 201


def test_a_stranger_is_told_so_before_the_body_is_looked_at(make_app: MakeApp) -> None:
    http = make_app(DYNREG_ACCESS=["initial_access_token"], DYNREG_MAX_REQUEST_BYTES=1024).test_client()
    for body, content_type in ((b"x" * 5000, JSON), (b"{", "text/plain"), (b"", None)):
        unauthorized(send(http, body, content_type))


# ---- The media type


@pytest.mark.parametrize(
    "content_type", ["application/json;charset=UTF-8", "APPLICATION/JSON ; x=y", "application/json; charset=latin-1"]
)
def test_parameters_of_the_media_type_do_not_matter(http: FlaskClient, content_type: str) -> None:
    answer = send(http, '{"redirect_uris": ["https://client.example/cb"], "client_name": "é"}'.encode(), content_type)
    assert answer.status_code == 201 and answer.get_json()["client_name"] == "é"


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "", "json", "text/json", "application/jsonp", "application/json-patch+json", "application/json x"),
        *("application/scim+json", "application/json, text/html", "multipart/form-data; boundary=application/json"),
    ],
)
def test_every_other_media_type_is_refused(http: FlaskClient, content_type: str | None) -> None:
    answer = send(http, b"{%b}" % URIS, content_type)
    assert "application/json" in refused(answer, "invalid_request")["error_description"]


# ---- The text


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"null", b"true", b"0", b'"{}"', b"[]", b"[{}]", b"{", b"}", b"{}{}", b"{},", b"\0", b"{}\0"),
        *(b"{'a': 1}", b'{"a": 1,}', b"{a: 1}", b'{"a" 1}', b'{"a": 01}', b'{"a": +1}', b'{"a": .5}', b'{"a": 0x1}'),
        *(b'{"a": "\n"}', b'{"a": "\t"}', b'{"a": "\\x41"}', b'{"a": "\\u00g0"}', b'{"a": "\\u12"}', b"{} // x"),
        *(b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "{}".encode("utf-16-be"), "{}".encode("utf-32")),
        *(b'{"a": "\xe9"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xc0\xaf"}', b'{"a": "\xf5\x80\x80\x80"}', b'"\xff'),
        *(b"a=b", b"<x/>", b"%7B%7D", b"\x1f\x8b\x08\x00", b"[" * 60000, b'{"a":' * 10000, b"1" * 5000, b"-"),
    ],
    ids=lambda body: ascii(body[:20]),
)
def test_what_is_not_one_json_object_in_utf8_is_refused(http: FlaskClient, body: bytes) -> None:
    refused(send(http, body), "invalid_client_metadata")


@pytest.mark.parametrize(
    "member",
    [
        *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"[1e400]", b'{"y": [NaN]}', b"1" * 400 + b".0"),
        *(b"1" * 4301, b"-" + b"1" * 5000, b"[" + b"9" * 5000 + b"]"),
        *(b'{"y": 1, "y": 1}', b'[[{"y": 1, "\\u0079": 2}]]', b'{"": 1, "": 1}', b'1, "x": 1', b'1, "\\u0078": 1'),
        *(b'"\\u0000"', b'"a\\u0000b"', b'{"\\u0000": 1}', b'[["\\u0000"]]', b'1, "\\u0000": 1', b'"\0"'),
        *(b'"\\ud800"', b'"\\udc00"', b'"\\ude00\\ud83d"', b'{"\\udfff": 1}', b'["\\uD83D\\u0020"]', b'"\\ud83d"'),
        *(
            nested(16),
            nested(16, b"1"),
            b'{"y":' * 16 + b"1" + b"}" * 16,
            nested(1000),
            b"[" * 15 + b'{"y":[]}' + b"]" * 15,
        ),
    ],
    ids=lambda member: ascii(member[:24]),
)
def test_a_member_that_nobody_knows_is_looked_at_all_the_same(http: FlaskClient, member: bytes) -> None:
    refused(send(http, with_member(member)), "invalid_client_metadata")


@pytest.mark.parametrize(
    "member",
    [
        *(b"1e308", b"-0", b"-0.0", b"1e-400", b"1" * 4300, b"null", b"true", b"{}", b'{"y": {"y": {"y": 1}}}', b'""'),
        *(b'"\\ud83d\\ude00"', '"\U0001f600"'.encode(), b'"\\\\u0000"', b'"\\\\ud800"', b'"NaN"', b'"{[[[[[[[["'),
        *(nested(15), nested(15, b"1"), nested(15, b"1") + b', "y": [[], {}, 1]', b"[" + b"[]," * 50 + b"1]"),
        *(b'1, "X": 1', b'[{"y": 1}, {"y": 1}]', b'"' + b"x" * 60000 + b'"'),
    ],
    ids=lambda member: ascii(member[:24]),
)
def test_a_sound_member_that_nobody_knows_is_ignored(http: FlaskClient, member: bytes) -> None:
    answer = send(http, with_member(member))
    assert answer.status_code == 201, answer.text
    assert not {"x", "X", "y"} & answer.get_json().keys()


def test_a_refused_text_registers_nothing_and_an_update_of_it_changes_nothing(
    http: FlaskClient, register: Register
) -> None:
    client = register(client_name="Before")
    headers = bearer(client["registration_access_token"])
    for body in (b'{"client_name": "After", "client_name": "After"}', b'{"client_name": "\\u0000"}', b"[]"):
        answer = http.put(client["registration_client_uri"], data=body, content_type=JSON, headers=headers)
        refused(answer, "invalid_client_metadata")
    assert read(http, client).get_json()["client_name"] == "Before"


# ---- The token


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", " Bearer {} "])
def test_a_token_in_one_of_its_forms_is_good(make_app: MakeApp, form: str) -> None:
    app = make_app(DYNREG_ACCESS=["initial_access_token"])
    headers = {"Authorization": form.format(issue_token(app))}
    client = app.test_client().post(REGISTER, json=CLIENT, headers=headers).get_json()
    headers = {"Authorization": form.format(client["registration_access_token"])}
    assert app.test_client().get(client["registration_client_uri"], headers=headers).status_code == 200


NO_TOKEN = [
    "",
    " ",
    "Basic {}",
    "Basic eDp5",
    "{}",
    "Token {}",
    "Bearer{}",
    "DPoP {}",
    "Basic x, Bearer {}",
    ",",
    "Bearerx {}",
]
MALFORMED = [
    *("Bearer", "Bearer ", "Bearer {} x", "Bearer {} {}", "Bearer {}, Bearer {}", "Bearer {},{}", 'Bearer "{}"'),
    *(
        "Bearer\t{}",
        "Bearer ,{}",
        "Bearer: {}",
        "Bearer =",
        "Bearer {};",
        "Bearer token={}",
        "Bearer {}\u00e9",
        "Bearer ={}",
    ),
]


@pytest.mark.parametrize(
    ("form", "status"), [*((form, 401) for form in NO_TOKEN), *((form, 400) for form in MALFORMED)], ids=ascii
)
@pytest.mark.parametrize("doors", [["open"], ["initial_access_token"], ["open", "initial_access_token"]])
def test_no_other_form_is_taken_for_the_token_or_for_none(
    make_app: MakeApp, doors: list[str], form: str, status: int
) -> None:
    app = make_app(DYNREG_ACCESS=["initial_access_token"])
    http = make_app(DYNREG_ACCESS=doors).test_client()
    token = issue_token(app)
    headers = {"Authorization": form.replace("{}", token)}
    answer = http.post(REGISTER, json=CLIENT, headers=headers)
    assert answer.status_code == status and "client_id" not in answer.get_json()
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    client = app.test_client().post(REGISTER, json=CLIENT, headers=bearer(token)).get_json()
    headers = {"Authorization": form.replace("{}", client["registration_access_token"])}
    for method in ("GET", "PUT", "DELETE"):
        answer = app.test_client().open(client["registration_client_uri"], method=method, json=CLIENT, headers=headers)
        assert answer.status_code == status
    assert read(app.test_client(), client).status_code == 200


def test_two_tokens_in_two_headers_are_refused(http: FlaskClient, register: Register) -> None:
    client = register()
    token = f"Bearer {client['registration_access_token']}"
    for second in (token, "Bearer other", "Basic eDp5", ""):
        for headers in ([token, second], [second, token]):
            pairs = [("Authorization", value) for value in headers]
            answer = http.get(client["registration_client_uri"], headers=pairs)
            assert answer.status_code in (400, 401), headers
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_token_in_the_url_is_refused(http: FlaskClient, register: Register) -> None:
    client = register()
    token, uri = client["registration_access_token"], client["registration_client_uri"]
    answer = http.get(f"{uri}?access_token={token}")
    unauthorized(answer)
    for query in (f"access_token={token}", "access_token=", "access_token", "x=y&access_token=other"):
        answer = http.get(f"{uri}?{query}", headers=bearer(token))
        refused(answer, "invalid_request")
        assert token not in answer.text
    for answer in (
        http.post(f"{REGISTER}?access_token={token}", json=CLIENT),
        http.delete(f"{uri}?access_token={token}"),
    ):
        unauthorized(answer)
    assert http.get(f"{uri}?x=y", headers=bearer(token)).status_code == 200


def test_a_token_in_the_body_is_none(make_app: MakeApp) -> None:
    app = make_app(DYNREG_ACCESS=["initial_access_token"])
    token = issue_token(app)
    for options in ({"data": {"access_token": token}}, {"json": CLIENT | {"access_token": token}}):
        unauthorized(app.test_client().post(REGISTER, **options))


# ---- All that is wrong


def test_all_that_is_wrong_is_told_at_once(http: FlaskClient) -> None:
    sent: dict[str, Any] = {
        "client_name": 5,
        "client_name#fr": ["x"],
        "contacts": ["ok", 7, ""],
        "grant_types": "authorization_code",
        "jwks": {"keys": [{"kty": "oct", "k": "AAAA"}, 7]},
        "logo_uri": "/logo.png",
        "redirect_uris": ["https://ok.example/cb", "javascript:alert(1)", 1],
        "software_id": "\u202e",
        "token_endpoint_auth_method": "tls_client_auth",
    }
    body = refused(http.post(REGISTER, json=sent), "invalid_redirect_uri")
    pointers = [problem["pointer"] for problem in body["errors"]]
    assert sorted(pointers) == [
        "/client_name",
        "/client_name#fr",
        "/contacts/1",
        "/contacts/2",
        "/grant_types",
        "/jwks/keys/0",
        "/jwks/keys/1",
        "/logo_uri",
        "/redirect_uris/2",
        "/software_id",
        "/token_endpoint_auth_method",
    ]
    assert pointers[0].startswith("/redirect_uris")
    assert body["error_description"] == f"redirect_uris: {body['errors'][0]['description']}"
    for problem in body["errors"]:
        assert set(problem) == {"pointer", "description", "section"}
        assert problem["description"].startswith("must ") and problem["description"].endswith(".")
        assert problem["section"].startswith(("RFC ", "OpenID "))


def test_sound_values_of_the_right_type_are_judged_together(http: FlaskClient) -> None:
    sent = {
        "redirect_uris": ["https://ok.example/cb", "http://a.example/cb", "https://ok.example/cb#x", "myapp:/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": "http://ok.example/keys",
        "response_types": ["token"],
    }
    body = refused(http.post(REGISTER, json=sent), "invalid_redirect_uri")
    assert [problem["pointer"] for problem in body["errors"]] == [
        "/redirect_uris/1",
        "/redirect_uris/2",
        "/redirect_uris/3",
        "/jwks_uri",
        "/response_types",
    ]


def test_a_member_that_cannot_be_read_hides_nothing_of_the_others(http: FlaskClient) -> None:
    sent = {"redirect_uris": ["javascript:alert(1)"], "application_type": "mobile", "grant_types": 5, "jwks_uri": "x"}
    body = refused(http.post(REGISTER, json=sent), "invalid_redirect_uri")
    pointers = {problem["pointer"] for problem in body["errors"]}
    assert pointers == {"/redirect_uris/0", "/application_type", "/grant_types", "/jwks_uri"}


def test_an_update_tells_what_is_wrong_of_both_kinds(http: FlaskClient, register: Register) -> None:
    client = register()
    sent = {"client_id": "other", "client_secret": "wrong", "client_id_issued_at": 1, "client_name": 5, **CLIENT}
    headers = bearer(client["registration_access_token"])
    body = refused(http.put(client["registration_client_uri"], json=sent, headers=headers), "invalid_client_metadata")
    pointers = [problem["pointer"] for problem in body["errors"]]
    assert pointers == ["/client_id", "/client_secret", "/client_id_issued_at", "/client_name"]


def test_the_text_of_an_error_holds_nothing_of_the_request(http: FlaskClient) -> None:
    canary = '<cAnArY>"\\\u00e9'
    for sent in (
        {"redirect_uris": [canary], "client_name": "\u202e" + canary, canary: canary, f"client_name#{canary}": 5},
        {"redirect_uris": ["https://a.example/<cAnArY>"], "token_endpoint_auth_method": "cAnArY"},
        {"redirect_uris": [canary, 5], "grant_types": [canary], "response_types": canary, "jwks": {canary: canary}},
    ):
        text = json.dumps(refused(http.post(REGISTER, json=sent), "invalid_redirect_uri"))
        assert "cAnArY" not in text and "\\u00e9" not in text
