"""RFC 7591 section 2.3: software statements, as the registration endpoint takes and answers them."""

import base64
import json
import time
from typing import Any

import pytest
from authlib.oauth2.rfc7591 import InvalidRedirectURIError, UnapprovedSoftwareStatementError
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, RegistrationEndpoint
from tests.conformance.exchange import (
    REDIRECT_URI,
    Client,
    bearer,
    issue_token,
    post,
    read,
    refused,
    registered,
    update,
)
from tests.conformance.requirements import requirement
from tests.conftest import ISSUER, MakeApp
from tests.statements import DIRECTORY, ec_key, forged, okp_key, public, rsa_key, signed, statement, trusted

OTHER_DIRECTORY = "https://other-directory.example"
STATED_URI = "https://stated.example/cb"
INVALID, UNAPPROVED = "invalid_software_statement", "unapproved_software_statement"


@pytest.fixture
def http(make_app: MakeApp) -> FlaskClient:
    issuers = [trusted(), trusted(OTHER_DIRECTORY, rsa_key("other"))]
    return make_app(DYNREG_STATEMENT_ISSUERS=issuers).test_client()


def sent(http: FlaskClient, software_statement: object, **metadata: Any) -> Client:
    """The client information after a registration with the statement."""
    return registered(http, redirect_uris=[REDIRECT_URI], software_statement=software_statement, **metadata)


def is_refused(http: FlaskClient, software_statement: object, error: str = INVALID) -> None:
    metadata = {"redirect_uris": [REDIRECT_URI], "software_statement": software_statement}
    body = refused(post(http, metadata), error)
    assert [problem["pointer"] for problem in body["errors"]] == ["/software_statement"]


@requirement("RFC7591-2-31", "RFC7591-3.1.1-03", "RFC7591-5-11")
def test_what_a_statement_says_wins(http: FlaskClient) -> None:
    stated = statement(client_name="Stated", redirect_uris=[STATED_URI])
    client = sent(http, stated, client_name="Sent", software_id="sent", client_uri="https://sent.example")
    for answer in (client, read(http, client).get_json()):
        assert (answer["client_name"], answer["redirect_uris"]) == ("Stated", [STATED_URI])
        assert (answer["software_id"], answer["client_uri"]) == ("4NRB1-0XZABZI9E6-5SM3R", "https://sent.example")


@requirement("RFC7591-3.2.1-13")
@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}, {"alg": "PS256", "x": "not known"}])
def test_the_statement_is_returned_byte_for_byte(http: FlaskClient, header: dict[str, Any]) -> None:
    stated = statement(header=header, client_name="Stat\u00e9")
    client = sent(http, stated)
    answers = [client, read(http, client).get_json(), update(http, client, client).get_json()]
    assert [answer["software_statement"] for answer in answers] == [stated] * 3


@requirement("RFC8725-3.12-01")
@pytest.mark.parametrize(
    "typ", ["client-authentication+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "", 5]
)
def test_a_jwt_of_another_kind_is_no_statement(http: FlaskClient, typ: object) -> None:
    is_refused(http, statement(header={"typ": typ}))


@requirement("RFC7591-3.2.1-14")
def test_what_it_says_is_at_the_top_as_well(http: FlaskClient) -> None:
    stated: dict[str, Any] = {
        "client_name": "Stated",
        "software_id": "s",
        "software_version": "2",
        "client_name#fr": "D\u00e9clar\u00e9",
    }
    client = sent(http, statement(**stated))
    assert stated.items() <= client.items()
    assert not {"iss", "iat", "exp", "aud", "jti", "sub"} & client.keys()


@requirement("RFC7591-2-32")
def test_versions_are_compared_as_they_are_written(http: FlaskClient) -> None:
    versions = ["1.0", "1.00", "1"]
    assert [sent(http, statement(software_version=version))["software_version"] for version in versions] == versions


@requirement("RFC7591-2.3-04", "RFC7591-3.2.1-04", "RFC7591-5-14")
def test_a_statement_serves_many_instances(http: FlaskClient) -> None:
    stated = statement()
    clients = [sent(http, stated) for _ in range(2)]
    assert len({client["client_id"] for client in clients}) == 2
    assert len({client["client_secret"] for client in clients}) == 2
    assert {client["software_id"] for client in clients} == {"4NRB1-0XZABZI9E6-5SM3R"}


@requirement("RFC7591-3.1.1-01")
def test_a_server_that_trusts_nobody_ignores_statements(make_app: MakeApp) -> None:
    for value in (statement(client_name="Stated"), "x", {"a": 1}, 1, None, ""):
        client = sent(make_app().test_client(), value, client_name="Sent")
        assert client["client_name"] == "Sent" and not {"software_statement", "software_id"} & client.keys()


@requirement("RFC7591-3.1.1-02")
@pytest.mark.parametrize("value", [{}, [], 1, True, [statement()], {"payload": "", "signatures": []}])
def test_a_statement_is_a_string(http: FlaskClient, value: object) -> None:
    is_refused(http, value)


def test_null_and_empty_are_no_statement(http: FlaskClient) -> None:
    for value in (None, ""):
        assert "software_statement" not in sent(http, value)


# ---- The signature


@requirement("RFC7591-2.3-03")
def test_rs256_is_taken(http: FlaskClient) -> None:
    assert sent(http, statement(header={"alg": "RS256"}))


@requirement("RFC7591-2.3-01", "RFC7515-5.2-01", "RFC7515-5.2-02", "RFC7591-3.2.2-07")
def test_what_is_not_signed_is_no_statement(http: FlaskClient) -> None:
    claims, pem = {"iss": DIRECTORY}, rsa_key().as_pem(private=False)
    for header, mac_key in (
        ({"alg": "none"}, None),
        ({"alg": "None"}, pem),
        ({"alg": "RS256"}, None),
        ({"alg": "HS256"}, pem),
        ({"alg": "HS256", "kid": "directory"}, b"secret"),
        ({"alg": "RS256"}, pem),
        ({}, pem),
        ({"alg": ["RS256"]}, pem),
        ({"alg": None}, pem),
    ):
        is_refused(http, forged(header, claims, mac_key))
    is_refused(http, statement().rpartition(".")[0] + ".")
    is_refused(http, f"{statement()[:-8]}AAAAAAAA")


@requirement("RFC7515-5.2-02")
@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("RS384", rsa_key()), ("ES256K", ec_key("k", "secp256k1")), ("ES384", ec_key("384", "P-384"))],
)
def test_an_algorithm_is_one_that_is_accepted(make_app: MakeApp, algorithm: str, key: Any) -> None:
    stated = statement(key, {"alg": algorithm})
    is_refused(make_app(DYNREG_STATEMENT_ISSUERS=[trusted(key=key)]).test_client(), stated)
    http = make_app(DYNREG_STATEMENT_ISSUERS=[trusted(key=key, algorithms=[algorithm])]).test_client()
    assert sent(http, stated)["software_statement"] == stated
    is_refused(http, statement())


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("PS256", rsa_key()), ("ES256", ec_key()), ("EdDSA", okp_key()), ("Ed25519", okp_key())],
)
def test_modern_algorithms_are_taken_as_well(make_app: MakeApp, algorithm: str, key: Any) -> None:
    http = make_app(DYNREG_STATEMENT_ISSUERS=[trusted(key=key)]).test_client()
    assert sent(http, statement(key, {"alg": algorithm}))


@requirement("RFC8725-3.8-01")
def test_the_key_is_the_issuers(http: FlaskClient) -> None:
    other = rsa_key("other")
    is_refused(http, statement(other))
    is_refused(http, statement(other, {"kid": "directory"}))
    is_refused(http, statement(other, {"jwk": public(other)["keys"][0], "jku": "https://evil.example/jwks"}))
    assert sent(http, statement(other, iss=OTHER_DIRECTORY))


@requirement("RFC7591-3.2.2-08")
@pytest.mark.parametrize("iss", ["https://nobody.example", f"{DIRECTORY}/", DIRECTORY.upper(), "\u00e9"])
def test_an_issuer_is_one_that_is_trusted(http: FlaskClient, iss: str) -> None:
    is_refused(http, statement(iss=iss), UNAPPROVED)
    is_refused(http, statement(rsa_key("nobody"), iss=iss), UNAPPROVED)


@requirement("RFC7515-4.1.11-01")
@pytest.mark.parametrize(
    "header", [{"crit": ["x"], "x": 1}, {"crit": ["x"]}, {"crit": []}, {"crit": ["exp"], "exp": 1}, {"b64": True}]
)
def test_what_is_critical_is_refused(http: FlaskClient, header: dict[str, Any]) -> None:
    is_refused(http, statement(header=header))


@requirement("RFC7591-2.3-02")
@pytest.mark.parametrize("iss", [None, "", 1, [DIRECTORY], {}])
def test_a_statement_has_an_issuer(http: FlaskClient, iss: object) -> None:
    is_refused(http, statement(iss=iss))


@requirement("RFC8725-3.12-01")
def test_an_id_token_and_a_client_assertion_are_no_statements(http: FlaskClient) -> None:
    now = int(time.time())
    is_refused(http, statement(sub="alice", aud="a client", exp=now + 60, nonce="x"))
    software = ec_key("software")
    assertion = {"iss": "a client", "sub": "a client", "aud": ISSUER, "exp": now + 60, "jti": "1"}
    is_refused(http, signed(assertion, software, alg="ES256"), UNAPPROVED)


# ---- The claims


@requirement("RFC7519-4.1.4-01", "RFC7519-4.1.5-01")
@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 3600},
        {"exp": 0},
        {"exp": "soon"},
        {"exp": True},
        {"nbf": int(time.time()) + 3600},
        {"nbf": "now"},
        {"iat": int(time.time()) + 3600},
        {"iat": [1]},
        {"sub": 1},
        {"jti": {}},
    ],
)
def test_a_statement_is_in_force(http: FlaskClient, claims: dict[str, Any]) -> None:
    is_refused(http, statement(**claims))


@requirement("RFC7519-4.1.3-01")
@pytest.mark.parametrize("aud", ["https://other.example", f"{ISSUER}/", [], [1], {}, "", ["https://other.example"]])
def test_a_statement_for_others_is_refused(http: FlaskClient, aud: object) -> None:
    is_refused(http, statement(aud=aud))


@pytest.mark.parametrize("aud", [ISSUER, ["https://other.example", ISSUER]])
def test_a_statement_for_this_server_is_taken(http: FlaskClient, aud: object) -> None:
    assert sent(http, statement(aud=aud, exp=int(time.time()) + 60, nbf=int(time.time()), jti="1"))


def encoded(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


@requirement("RFC7519-7.2-01")
def test_what_is_no_jwt_is_refused_as_a_whole(http: FlaskClient) -> None:
    header, payload, signature = statement().split(".")
    for broken in (
        *("x", "..", "a.b.c", f"{header}.{payload}", f"{header}.{payload}.{signature}.", f"{header}..{signature}"),
        *(
            f" {statement()}",
            f"{statement()}\n",
            f"{header}.{payload}.{signature}=",
            f"{header}=.{payload}.{signature}",
        ),
        *(f"{header}. {payload}.{signature}", f"{header}.{payload}\u00e9.{signature}", f"{statement()} {statement()}"),
        f"{encoded('[]')}.{payload}.{signature}",
        f"{encoded('{')}.{payload}.{signature}",
        "eyJhbGciOiJSUzI1NiJ9" + "." + payload + "." + "A" * 60000,
    ):
        is_refused(http, broken)
    for claims in ("[]", "1", '"x"', "", "{", "null", b"\xff", f'{{"iss":"{DIRECTORY}","iss":"{DIRECTORY}"}}'):
        is_refused(http, signed(claims))
    is_refused(http, signed(f'{{"iss":"{DIRECTORY}","x":{"[" * 50 + "]" * 50}}}'))
    is_refused(http, signed(f'{{"iss":"{DIRECTORY}","exp":1e400}}'))


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://app.example/cb"}, "invalid_redirect_uri"),
        ({"client_name": 1}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "urn:x:unknown"}, "invalid_client_metadata"),
    ],
)
def test_claims_are_checked_like_any_member(http: FlaskClient, claims: dict[str, Any], error: str) -> None:
    metadata = {"redirect_uris": [REDIRECT_URI], "software_statement": statement(**claims)}
    body = refused(post(http, metadata), error)
    assert body["errors"][0]["pointer"].split("/")[1] == next(iter(claims))


def test_what_the_server_sets_is_not_taken_from_a_statement(http: FlaskClient) -> None:
    own: dict[str, Any] = {
        "client_id": "mine",
        "client_secret": "mine",
        "client_id_issued_at": 1,
        "client_secret_expires_at": 1,
        "registration_access_token": "mine",
        "registration_client_uri": "https://mine.example",
        "software_statement": "mine",
    }
    client = sent(http, statement(**own))
    assert not own.items() & json.loads(json.dumps(client)).items()


@requirement("RFC7591-5-12")
def test_a_host_decides_on_token_statement_and_metadata_together(make_app: MakeApp) -> None:
    """A host whose initial access tokens are each for one software, with redirect URIs of its own."""
    db = SQLAlchemy()

    class TokensForSoftware(RegistrationEndpoint):
        def save_client(self, client_info: Any, client_metadata: Any, request: Any) -> Any:
            token = db.session.get_one(dynreg.models.initial_access_token, request.credential.initial_access_token_id)
            stated = request.checked.statement
            if stated is None or stated.claims["software_id"] != token.label:
                raise UnapprovedSoftwareStatementError("software_statement must be of the software of the token.")
            if not all(uri.startswith(f"https://{token.label}.example/") for uri in client_metadata["redirect_uris"]):
                raise InvalidRedirectURIError("redirect_uris must be those of the software of the token.")
            return super().save_client(client_info, client_metadata, request)

    dynreg = DynamicRegistration(db, registration_endpoint=TokensForSoftware)
    settings = {"DYNREG_ACCESS": ["initial_access_token"], "DYNREG_STATEMENT_ISSUERS": [trusted()]}
    app = make_app(db, dynreg, **settings)
    http, headers = app.test_client(), bearer(issue_token(app, label="one", uses=1))
    sound = {"redirect_uris": ["https://one.example/cb"], "software_statement": statement(software_id="one")}
    other = sound | {"software_statement": statement(software_id="two")}
    without = {"redirect_uris": sound["redirect_uris"], "software_id": "one"}
    for metadata in (other, without):
        refused(post(http, metadata, **headers), UNAPPROVED)
    refused(post(http, sound | {"redirect_uris": [REDIRECT_URI]}, **headers), "invalid_redirect_uri")
    refused(post(http, sound), "invalid_token", "invalid_request", status=401)
    assert post(http, sound, **headers).status_code == 201
    refused(post(http, sound, **headers), "invalid_token", status=401)
