"""Strategies for what a stranger may send, and what every answer to it has to look like."""

import json
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from flask import Flask
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from werkzeug.test import run_wsgi_app

from tests.corpus.entries import CORPUS

REGISTER, WELL_KNOWN = "/oauth2/register", "/.well-known/oauth-authorization-server"
PRINTABLE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
CANARY = '<cAnArY>\u00e9\u202e"\\'

REQUESTS: list[dict[str, Any]] = [entry["request"] for entry in CORPUS]
MEMBERS = [
    *("redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types", "client_name", "client_uri"),
    *("logo_uri", "scope", "contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id", "software_version"),
    *("application_type", "client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at"),
    *("registration_access_token", "registration_client_uri", "software_statement", "subject_type", "request_uris"),
    *("client_name#fr", "logo_uri#de-CH", "client_uri#", "redirect_uris#fr", "access_token", "errors", "", CANARY),
]
"""Every name that means something to somebody."""

KEY: dict[str, Any] = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "1"}
ODD: list[Any] = [None, 1, [], [1], [CANARY], {}, "", "AA", CANARY, "x" * 5000]
WRONG: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**400, 2**63, -(2**64), 1e300),
    *("", " ", "x", CANARY, "\x00", "\ud800", "x" * 20_000, "https://a.example/cb", "none"),
    *([], [[]], [None], [True], [0], [""], ["x"], [CANARY], ["\x00"], [["https://a.example/cb"]], ["x"] * 500),
    *({}, {"": None}, {CANARY: CANARY}, {"keys": None}, {"keys": []}, {"keys": [None]}, {"keys": [{}]}),
    *({"keys": [{"kty": kty}, {"kty": kty}]} for kty in ("RSA", "EC", "OKP", "oct", "x")),
    *({"keys": [KEY | {name: value}]} for name in (*KEY, "use", "alg", "key_ops", "x5c", "x5t") for value in ODD),
    *({"keys": [{"kty": "RSA", "n": value, "e": "AQAB"}]} for value in ODD),
    *({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": value}]} for value in ODD),
]

text = st.text(st.characters(), max_size=40)  # lone surrogates and U+0000 among it
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**50),
    st.floats(),
    text,
    st.sampled_from(
        ["https://a.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb", "authorization_code", "none"]
    ),
)
values = st.one_of(
    st.sampled_from(WRONG),
    st.sampled_from([value for request in REQUESTS for value in request.values()]),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)),
)
names = st.one_of(st.sampled_from(MEMBERS), text, st.tuples(st.sampled_from(MEMBERS), text).map("#".join))


def written(members: list[tuple[str, Any]]) -> bytes:
    """A JSON object in which a member may be there twice."""
    return ("{" + ",".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members) + "}").encode()


@st.composite
def mutated(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """The request of a real client with some members changed, left out, added or doubled."""
    members = [pair for pair in draw(st.sampled_from(REQUESTS)).items() if draw(st.integers(0, 9))]
    changed = draw(st.dictionaries(st.sampled_from([name for name, _ in members] or [""]), values, max_size=3))
    members = [(name, changed.get(name, value)) for name, value in members]
    return members + draw(st.lists(st.tuples(names, values), max_size=3))


nested = st.builds(
    lambda opening, depth, closing: (opening * depth + closing * depth).encode(),
    st.sampled_from(["[", '{"a":', '{"redirect_uris":[', '[{"":']),
    st.integers(1, 20_000),
    st.sampled_from(["", "]", "}", "]}", "1}"]),
)
json_bodies = st.one_of(values.map(lambda value: json.dumps(value).encode()), mutated().map(written), nested)
encoded = st.tuples(json_bodies, st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig", "utf-7"])).map(
    lambda pair: pair[0].decode().encode(pair[1])
)
bodies = st.one_of(st.binary(max_size=2000), json_bodies, encoded)

octets = st.binary(max_size=60).map(lambda value: value.decode("latin-1"))  # as WSGI hands on what it was sent
field_values = octets.map(lambda value: re.sub("[\r\n\0]", "", value))
content_types = st.one_of(
    field_values,
    st.just("application/json"),
    field_values.map("application/json; charset={}".format),
    field_values.map("application/json{}".format),
)
lengths = st.one_of(st.integers(-5, 100_000).map(str), st.integers(10**20, 10**400).map(str), field_values)
methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"]),
    st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True),
)


def authorizations(*tokens: str) -> st.SearchStrategy[str]:
    """Anything, and what looks like one of these tokens."""
    near = st.sampled_from(tokens) | st.tuples(st.sampled_from(tokens), field_values).map("".join)
    return st.one_of(
        field_values,
        st.tuples(st.sampled_from(["Bearer ", "bearer\t", "Basic ", ""]), near | field_values).map("".join),
    )


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())


@dataclass
class Asked:
    """A request as a WSGI server hands it on: nothing of it was checked."""

    method: str
    path: str
    body: bytes = b""
    query: str = ""
    content_length: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    """By the names of CGI, such as HTTP_AUTHORIZATION."""

    def of(self, app: Flask) -> Answer:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": "as.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "as.example",
            "CONTENT_LENGTH": str(len(self.body)) if self.content_length is None else self.content_length,
            "wsgi.url_scheme": "https",
            "wsgi.input": BytesIO(self.body),
            "wsgi.errors": BytesIO(),
            "wsgi.version": (1, 0),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **self.fields,
        }
        chunks, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
        return Answer(int(status[:3]), list(headers), b"".join(chunks))


def is_sound(answer: Answer, *, is_head: bool = False) -> None:
    """Success, or an error of the client's in OAuth JSON that repeats nothing of what was sent."""
    assert 200 <= answer.status < 300 or 400 <= answer.status < 500, answer
    if answer.status == 204:
        assert answer.body == b"" and not answer.header("Content-Type")
        return
    assert answer.header("Content-Type") == "application/json"
    if is_head:
        return
    body = json.loads(answer.body, parse_constant=lambda name: 1 / 0)
    assert isinstance(body, dict)
    if answer.status >= 400:
        assert answer.header("Cache-Control") == "no-store"
        assert PRINTABLE.fullmatch(body["error"])
        assert PRINTABLE.fullmatch(body.get("error_description", "-"))
        assert answer.body.isascii() and b"cAnArY" not in answer.body
        assert (answer.status == 401) == bool(
            answer.header("WWW-Authenticate").startswith("Bearer ")
        ) or answer.status == 400
        assert (answer.status == 405) == bool(answer.header("Allow"))
    else:
        assert None not in body.values() and "" not in body.values()
