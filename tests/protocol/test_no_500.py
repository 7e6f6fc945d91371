"""No bytes whatsoever make the endpoints fail: every answer is a success or an OAuth error."""

from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from tests.conftest import MakeApp
from tests.hostile import json_values
from tests.protocol.hostile import (
    CANARY,
    MEMBERS,
    REGISTER,
    REQUESTS,
    WELL_KNOWN,
    WRONG,
    Asked,
    authorizations,
    bodies,
    content_types,
    field_values,
    is_sound,
    json_bodies,
    lengths,
    methods,
    octets,
    written,
)
from tests.statements import signed, trusted

# The app is the same for all examples: what one of them leaves behind must not matter to the next.
many = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
some = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = {"CONTENT_TYPE": "application/json"}


class Target:
    """An app, and a client that is registered there."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        http = app.test_client()
        self.client: dict[str, Any] = http.post(REGISTER, json=REQUESTS[0]).get_json()
        self.path = f"/oauth2/clients/{self.client['client_id']}"
        self.token: str = self.client["registration_access_token"]

    def post(self, body: bytes) -> None:
        is_sound(Asked("POST", REGISTER, body, fields=JSON).of(self.app))

    def put(self, body: bytes) -> None:
        """The client can be read as soundly afterwards as before."""
        fields = JSON | {"HTTP_AUTHORIZATION": f"Bearer {self.token}"}
        is_sound(Asked("PUT", self.path, body, fields=fields).of(self.app))
        kept = Asked("GET", self.path, fields=fields).of(self.app)
        assert kept.status == 200
        is_sound(kept)


@pytest.fixture
def target(make_app: MakeApp) -> Target:
    return Target(make_app(DYNREG_ACCESS=["open", "initial_access_token"]))


@pytest.fixture
def postgresql(make_app: MakeApp, postgresql_url: str) -> Target:
    """It takes no U+0000, no lone surrogates and no text that is too long. A commit need not wait for the disk."""
    url = make_url(postgresql_url).update_query_dict({"options": "-csynchronous_commit=off"})
    return Target(make_app(SQLALCHEMY_DATABASE_URI=url))


@many
@given(body=bodies)
def test_any_body_of_a_registration(target: Target, body: bytes) -> None:
    target.post(body)


@many
@given(body=json_bodies | st.binary(max_size=200))
def test_any_body_of_an_update(target: Target, body: bytes) -> None:
    target.put(body)


@some
@given(body=json_bodies)
def test_any_body_on_a_strict_database(postgresql: Target, body: bytes) -> None:
    postgresql.post(body)
    postgresql.put(body)


@pytest.mark.parametrize("name", MEMBERS)
def test_any_member_of_any_type(target: Target, name: str) -> None:
    every_type(target, name)


@pytest.mark.parametrize("name", ["client_name", "scope", "contacts", "redirect_uris", "jwks", CANARY])
def test_any_member_of_any_type_on_a_strict_database(postgresql: Target, name: str) -> None:
    every_type(postgresql, name)


def every_type(target: Target, name: str) -> None:
    sound = {"redirect_uris": ["https://a.example/cb"], "client_id": target.client["client_id"]}
    for value in WRONG if name == "jwks" else [value for value in WRONG if "keys" not in str(value)[:8]]:
        members = list((sound | {name: value}).items())
        target.post(written(members))
        target.put(written(members))


CLAIMS = [
    *(
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "software_id",
        "redirect_uris",
        "software_redirect_uris",
        "scope",
    ),
    *("grant_types", "jwks", "client_name", "client_name#fr", "software_statement", "client_id", CANARY),
]
TIMES = st.dictionaries(st.sampled_from(["exp", "iat", "nbf"]), st.integers() | st.floats(allow_nan=False))
ISSUERS: list[dict[str, Any]] = [
    trusted(),
    trusted("once", one_time=True, max_age=100),
    trusted("rules", limits=["redirect_uris", "scope", "grant_types"], defaults=["client_name"], scopes=["mcp:read"]),
    trusted("map", map={"software_redirect_uris": "redirect_uris"}, claims=["redirect_uris", "jwks"]),
    trusted("signed", signed_requests={"keys": "jwks", "required": False}),
]


@pytest.fixture
def trusting(make_app: MakeApp, postgresql_url: str) -> Target:
    url = make_url(postgresql_url).update_query_dict({"options": "-csynchronous_commit=off"})
    return Target(make_app(SQLALCHEMY_DATABASE_URI=url, DYNREG_STATEMENT_ISSUERS=ISSUERS))


@many
@given(
    issuer=st.sampled_from([known["issuer"] for known in ISSUERS]),
    claims=st.dictionaries(st.sampled_from(CLAIMS), json_values, max_size=5),
    times=TIMES,
)
def test_whatever_a_trusted_issuer_signs(
    trusting: Target, issuer: str, claims: dict[str, Any], times: dict[str, float]
) -> None:
    text = signed({"iss": issuer, "jti": repr(claims), **claims, **times})
    uris = ("redirect_uris", ["https://a.example/cb"])
    trusting.post(written([uris, ("software_statement", text)]))
    trusting.put(written([uris, ("software_statement", text), ("client_id", trusting.client["client_id"])]))
    is_sound(Asked("POST", REGISTER, text.encode(), fields={"CONTENT_TYPE": "application/jwt"}).of(trusting.app))


@some
@given(asked=st.data())
def test_any_header(target: Target, asked: st.DataObject) -> None:
    tokens = (target.token, "dynreg_iat_x", "dynreg_rat_" + "x" * 49)
    fields = {
        "CONTENT_TYPE": asked.draw(content_types),
        "HTTP_AUTHORIZATION": asked.draw(authorizations(*tokens)),
        **asked.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "HTTP_ORIGIN": field_values,
                    "HTTP_ACCEPT": field_values,
                    "HTTP_TRANSFER_ENCODING": st.just("chunked") | field_values,
                    "HTTP_CONTENT_ENCODING": st.just("gzip") | field_values,
                    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": field_values,
                    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": field_values,
                    "HTTP_COOKIE": field_values,
                    "HTTP_EXPECT": field_values,
                    "HTTP_X_FORWARDED_HOST": field_values,
                },
            )
        ),
    }
    method, path = asked.draw(st.sampled_from([("POST", REGISTER), ("GET", target.path), ("PUT", target.path)]))
    is_sound(Asked(method, path, asked.draw(json_bodies), fields=fields).of(target.app))


@some
@given(body=json_bodies, length=lengths, chunked=st.booleans())
def test_any_content_length(target: Target, body: bytes, length: str, chunked: bool) -> None:
    fields: dict[str, Any] = JSON | {"HTTP_AUTHORIZATION": f"Bearer {target.token}"}
    if chunked:
        fields |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    is_sound(Asked("POST", REGISTER, body, content_length=length, fields=JSON).of(target.app))
    is_sound(Asked("PUT", target.path, body, content_length=length, fields=fields).of(target.app))


@pytest.mark.parametrize("id", ["a\nb", "\n", "/x", "//", "a/b", "a//", ".", "..", "%2f", "\x00", "\xff", "x" * 5000])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_odd_client_id_is_an_unknown_one(target: Target, method: str, id: str) -> None:
    fields = JSON | {"HTTP_AUTHORIZATION": f"Bearer {target.token}"}
    answer = Asked(method, f"/oauth2/clients/{id}", b"{}", fields=fields).of(target.app)
    is_sound(answer)
    assert answer.status == 401


@many
@given(method=methods, id=octets.filter(bool), query=field_values, body=json_bodies, token=st.data())
def test_any_client_id(target: Target, method: str, id: str, query: str, body: bytes, token: st.DataObject) -> None:
    fields = JSON | {"HTTP_AUTHORIZATION": token.draw(authorizations(target.token))}
    answer = Asked(method, f"/oauth2/clients/{id}", body, query, fields=fields).of(target.app)
    is_sound(answer, is_head=method == "HEAD")
    assert answer.status in (204, 400, 401, 405)


@some
@given(method=methods, query=field_values, body=bodies)
def test_any_method_and_query(target: Target, method: str, query: str, body: bytes) -> None:
    for path in (REGISTER, WELL_KNOWN, target.path):
        answer = Asked(method, path, body, query, fields=dict(JSON)).of(target.app)
        is_sound(answer, is_head=method == "HEAD")
