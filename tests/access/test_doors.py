"""Who is signed in, and who has a client certificate."""

import base64
import datetime
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from flask import Flask, session
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect  # type: ignore[import-untyped]
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from flask_dynreg import ConfigurationError, DynamicRegistration
from tests.conformance.exchange import bearer, issue_token, unauthorized
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA, MakeApp

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
PROXY, STRANGER = "10.0.0.7", "192.0.2.1"


class Server:
    """One that knows who is signed in; `access` are its doors."""

    def __init__(self, make_app: MakeApp, *access: str, **config: Any) -> None:
        self.dynreg = DynamicRegistration(SQLAlchemy())
        self.dynreg.session_user(lambda: session.get("user"))
        settings = {"SECRET_KEY": "for the tests", "DYNREG_ACCESS": list(access), **config}
        self.app: Flask = make_app(self.dynreg._db, self.dynreg, **settings)
        self.http = self.app.test_client()

    def sign_in(self, user: str) -> None:
        with self.http.session_transaction() as cookie:
            cookie["user"] = user

    def post(self, address: str = STRANGER, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/oauth2/register", json=CLIENT, headers=named, environ_base={"REMOTE_ADDR": address})

    def facts(self, answer: TestResponse) -> tuple[Any, Any]:
        assert answer.status_code == 201, answer.text
        with self.app.app_context():
            client = self.dynreg.query_client(answer.get_json()["client_id"])
            assert client
            return client.source, client.owned_by


# ---- Who is signed in


@pytest.mark.parametrize("headers", [SAME_ORIGIN, {"Origin": ISSUER}, {**SAME_ORIGIN, "Origin": ISSUER}])
def test_who_is_signed_in_registers_a_client_of_their_own(make_app: MakeApp, headers: dict[str, str]) -> None:
    server = Server(make_app, "session")
    server.sign_in("alice")
    assert server.facts(server.post(**headers)) == ("session", "alice")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": ISSUER},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{ISSUER}.evil.example"},
        {"Origin": f"{ISSUER}:444"},
    ],
)
def test_a_page_of_another_server_registers_nothing(make_app: MakeApp, headers: dict[str, str]) -> None:
    server = Server(make_app, "session")
    server.sign_in("alice")
    unauthorized(server.post(**headers))


@pytest.mark.parametrize("issuer", ["https://as.example:443", "https://AS.example/tenant"])
def test_the_issuers_origin_is_as_browsers_write_it(make_app: MakeApp, issuer: str) -> None:
    server = Server(make_app, "session", DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": issuer})
    server.sign_in("alice")
    assert server.facts(server.post(Origin="https://as.example")) == ("session", "alice")
    unauthorized(server.post(Origin="https://as.example:8443"))


@pytest.mark.parametrize(
    ("access", "needed"),
    [
        (["session"], "a signed-in user on a page of this server"),
        (["mutual_tls"], "a client certificate"),
        (["software_statement", "session"], "a software statement or a signed-in user on a page of this server"),
        (["mutual_tls", "initial_access_token"], "an initial access token or a client certificate"),
    ],
)
def test_who_is_not_let_in_is_told_what_would_open_a_door(make_app: MakeApp, access: list[str], needed: str) -> None:
    answer = Server(make_app, *access, **MUTUAL).post()
    unauthorized(answer)
    assert answer.get_json()["error_description"] == f"Registering a client needs {needed} here."


def test_who_is_not_signed_in_registers_nothing(make_app: MakeApp) -> None:
    unauthorized(Server(make_app, "session").post(**SAME_ORIGIN))


def test_beside_the_open_door_it_gives_a_client_its_owner(make_app: MakeApp) -> None:
    server = Server(make_app, "open", "session")
    assert server.facts(server.post(**SAME_ORIGIN)) == ("open", None)
    server.sign_in("alice")
    assert server.facts(server.post(**SAME_ORIGIN)) == ("session", "alice")
    assert server.facts(server.post()) == ("open", None)


def test_a_token_that_is_not_good_is_refused_whoever_is_signed_in(make_app: MakeApp) -> None:
    server = Server(make_app, "session", "initial_access_token")
    server.sign_in("alice")
    unauthorized(server.post(**SAME_ORIGIN, **bearer("x")))
    assert server.facts(server.post(**SAME_ORIGIN, **bearer(issue_token(server.app))))[0] == "initial_access_token"


def test_where_the_door_is_shut_the_session_is_not_looked_at(make_app: MakeApp) -> None:
    server = Server(make_app, "open")
    server.sign_in("alice")
    assert server.facts(server.post(**SAME_ORIGIN)) == ("open", None)


def test_the_hosts_protection_against_forgery_is_not_in_the_way(make_app: MakeApp) -> None:
    server = Server(make_app, "session")
    CSRFProtect(server.app)
    server.sign_in("alice")
    assert server.facts(server.post(**SAME_ORIGIN)) == ("session", "alice")


def test_somebody_has_to_say_who_is_signed_in_before_the_start(make_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError, match="session_user"):
        make_app(DYNREG_ACCESS=["session"])
    server = Server(make_app, "session")
    with pytest.raises(ConfigurationError, match="before init_app"):
        server.dynreg.session_user(lambda: None)


def test_who_is_known_does_not_notice_when_strangers_use_up_the_server(make_app: MakeApp) -> None:
    server = Server(
        make_app, "open", "session", "mutual_tls", **MUTUAL, DYNREG_LIMITS=["server 1/hour", "address 3/hour"]
    )
    assert [server.post().status_code for _ in range(2)] == [201, 429]
    assert server.facts(server.post(PROXY, Client_Cert=RFC9440)) == ("mutual_tls", HOLDER)
    server.sign_in("alice")
    assert [server.post(**SAME_ORIGIN).status_code for _ in range(3)] == [201, 201, 429]  # all of one address


# ---- Who has a certificate


def certificate(*names: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in names])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now)
    return builder.sign(key, SHA256())


def passed_on(certificate: x509.Certificate) -> str:
    """RFC 9440"""
    return f":{base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()}:"


CERTIFICATE = certificate("A client")
RFC9440 = passed_on(CERTIFICATE)
PEM = quote(CERTIFICATE.public_bytes(Encoding.PEM).decode())
HOLDER = "CN=A client"
MUTUAL = {"DYNREG_CERTIFICATE_HEADER": "Client-Cert", "DYNREG_TRUSTED_PROXIES": ["10.0.0.0/8", "2001:db8::/32"]}


@pytest.fixture
def mutual(make_app: MakeApp) -> Server:
    return Server(make_app, "mutual_tls", **MUTUAL)


@pytest.mark.parametrize("value", [RFC9440, PEM])
@pytest.mark.parametrize("proxy", [PROXY, "2001:db8::1", f"::ffff:{PROXY}"])
def test_who_has_a_certificate_registers(mutual: Server, value: str, proxy: str) -> None:
    assert mutual.facts(mutual.post(proxy, Client_Cert=value)) == ("mutual_tls", HOLDER)


@pytest.mark.parametrize("names", [[], ["x" * 60] * 5])
def test_where_no_subject_is_to_be_kept_it_is_known_by_its_thumbprint(mutual: Server, names: list[str]) -> None:
    other = certificate(*names)
    answer = mutual.post(PROXY, Client_Cert=passed_on(other))
    assert mutual.facts(answer) == ("mutual_tls", f"sha256:{other.fingerprint(SHA256()).hex()}")


def test_nobody_but_the_proxy_is_believed(mutual: Server) -> None:
    for address in (STRANGER, "127.0.0.1", "", "10.0.0.7.evil.example"):
        unauthorized(mutual.post(address, Client_Cert=RFC9440))
    unauthorized(mutual.post(STRANGER, Client_Cert=RFC9440, X_Forwarded_For=PROXY))


def test_behind_proxy_fix_the_proxy_is_still_who_sent_it(mutual: Server) -> None:
    mutual.app.wsgi_app = ProxyFix(mutual.app.wsgi_app)  # type: ignore[method-assign]
    answer = mutual.post(PROXY, Client_Cert=RFC9440, X_Forwarded_For=STRANGER)
    assert mutual.facts(answer) == ("mutual_tls", HOLDER)
    unauthorized(mutual.post(STRANGER, Client_Cert=RFC9440, X_Forwarded_For=PROXY))


@pytest.mark.parametrize("value", ["", "x", "::", ":AAAA:", ":%:", RFC9440[:-9], PEM[:-40], "-" * 20000, "\u00e9"])
def test_what_is_no_certificate_lets_nobody_in(mutual: Server, value: str) -> None:
    unauthorized(mutual.post(PROXY, Client_Cert=value))


@pytest.mark.parametrize(
    ("sound", "changed"),
    [
        (b"A client", b"A clien\xff"),  # no UTF-8
        (b"\x0c\x08A client", b"\x03\x08A client"),  # no text
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),  # version 8
    ],
)
def test_a_certificate_that_cannot_be_read_to_its_end_lets_nobody_in(
    mutual: Server, sound: bytes, changed: bytes
) -> None:
    before, _, subject = CERTIFICATE.public_bytes(Encoding.DER).rpartition(sound)
    broken = base64.b64encode(before + changed + subject).decode()
    unauthorized(mutual.post(PROXY, Client_Cert=f":{broken}:"))


def test_where_the_door_is_shut_the_header_says_nothing(make_app: MakeApp) -> None:
    server = Server(make_app, "open", **MUTUAL)
    assert server.facts(server.post(PROXY, Client_Cert=RFC9440)) == ("open", None)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"DYNREG_CERTIFICATE_HEADER": "Client-Cert"}, "DYNREG_TRUSTED_PROXIES"),
        ({"DYNREG_ACCESS": ["mutual_tls"]}, "DYNREG_CERTIFICATE_HEADER"),
    ],
)
def test_who_is_to_be_believed_is_said_before_the_start(
    make_app: MakeApp, settings: dict[str, Any], names: str
) -> None:
    with pytest.raises(ConfigurationError, match=names):
        make_app(**settings)
