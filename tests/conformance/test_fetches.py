"""RFC 7591 section 5: whom the server asks for a document that a client names, and what it makes of the answer."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration
from tests.conformance.conftest import quickstart_in
from tests.conformance.exchange import MACHINE, REDIRECT_URI, Client, post, refused, registered, server_metadata
from tests.conformance.requirements import requirement
from tests.conformance.test_client_assertions import RSA, claims, is_refused, sent, signed
from tests.conformance.visitor import Visitor
from tests.conftest import MakeApp
from tests.documents import PUBLIC, Documents, Listener, answering, listening, published, request_head, secured

KEYS = {"keys": [RSA.as_dict(private=False)]}
INSIDE = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"]
OTHER = "93.184.215.15"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def documents() -> Iterator[Documents]:
    with published() as documents:
        yield documents


@pytest.fixture
def inside(documents: Documents) -> Iterator[Listener]:
    """A service within the network, that nobody ever comes to."""
    with listening(answering(OK + b"Content-Length: 2\r\n\r\n[]")) as listener:
        documents.network.places |= dict.fromkeys(INSIDE, listener.place)
        yield listener
        assert listener.contacts == 0
        assert {address for address, _ in documents.network.connected} <= {PUBLIC}


@pytest.fixture
def visitor(documents: Documents, tmp_path: Path) -> Iterator[Visitor]:
    """Of a quickstart that fetches from the network of the test."""
    with quickstart_in(tmp_path, documents.fetcher) as app:
        yield Visitor(app)


@pytest.fixture
def http(make_app: MakeApp, documents: Documents) -> FlaskClient:
    db = SQLAlchemy()
    metadata = server_metadata(subject_types_supported=["public", "pairwise"])
    return make_app(
        db, DynamicRegistration(db, fetcher=documents.fetcher), DYNREG_SERVER_METADATA=metadata
    ).test_client()


def with_keys_at(visitor: Visitor, url: str) -> Client:
    return visitor.register(**MACHINE, token_endpoint_auth_method="private_key_jwt", jwks_uri=url)


def token(visitor: Visitor, client: Client) -> TestResponse:
    return sent(visitor, signed(claims(client)))


def told_nothing(answer: TestResponse, *secrets: str) -> None:
    """It is refused for now, and whoever asked learns nothing of the network."""
    assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
    assert not any(secret in answer.text for secret in secrets)


@requirement("RFC7591-2-26")
@pytest.mark.parametrize(
    "document", [b"<!DOCTYPE html><title>Keys</title>", b"", [], {"keys": {}}, {"keys": []}, RSA.as_dict(private=False)]
)
def test_what_is_no_key_set_lets_nobody_in(visitor: Visitor, documents: Documents, document: Any) -> None:
    client = with_keys_at(visitor, "https://client.example/jwks.json")
    documents.put(client["jwks_uri"], document, content_type="text/html")
    is_refused(token(visitor, client))
    assert documents.asked == [client["jwks_uri"]]
    sound = with_keys_at(visitor, "https://client.example/sound.json")
    documents.put(sound["jwks_uri"], KEYS)
    assert token(visitor, sound).status_code == 200


@requirement("RFC7591-5-15")
@pytest.mark.parametrize("name", ["jwks_uri", "sector_identifier_uri"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"]
)
def test_an_address_within_a_network_is_not_registered(
    http: FlaskClient, documents: Documents, inside: Listener, name: str, host: str
) -> None:
    metadata = {"redirect_uris": [REDIRECT_URI], name: f"https://{host}/document.json"}
    body = refused(post(http, metadata), "invalid_client_metadata")
    assert [problem["pointer"] for problem in body["errors"]] == [f"/{name}"]
    assert not documents.network.looked_up and not documents.network.connected


@requirement("RFC7591-5-15")
@pytest.mark.parametrize("address", INSIDE)
def test_a_name_of_an_address_within_a_network_leads_nowhere(
    visitor: Visitor, documents: Documents, inside: Listener, address: str
) -> None:
    documents.network.addresses["client.example"] = [address]
    told_nothing(token(visitor, with_keys_at(visitor, "https://client.example/jwks.json")), address)
    assert documents.network.connected == []


@requirement("RFC7591-5-15")
@pytest.mark.parametrize("location", ["https://10.0.0.1/", "http://127.0.0.1/", "https://inside.example/"])
def test_a_redirect_into_a_network_leads_nowhere(
    visitor: Visitor, documents: Documents, inside: Listener, location: str
) -> None:
    documents.network.addresses["inside.example"] = ["10.0.0.1"]
    client = with_keys_at(visitor, "https://client.example/jwks.json")
    documents.put(client["jwks_uri"], b"", status=302, location=location)
    told_nothing(token(visitor, client), location)
    assert documents.asked == [client["jwks_uri"]]


@requirement("RFC7591-5-15")
def test_pages_logos_and_requests_are_not_looked_at(http: FlaskClient, documents: Documents, inside: Listener) -> None:
    names = ("logo_uri", "client_uri", "tos_uri", "policy_uri")
    pages = {name: f"https://127.0.0.1/{name}" for name in names}
    registered(http, redirect_uris=[REDIRECT_URI], **pages, request_uris=["https://client.example/request.jwt"])
    assert not documents.network.looked_up and not documents.network.connected


@requirement("OIDCREG-5-04")
def test_the_document_of_a_sector_is_fetched_as_others_are(
    http: FlaskClient, documents: Documents, inside: Listener
) -> None:
    def error(uri: str) -> Any:
        metadata = {"redirect_uris": [REDIRECT_URI], "sector_identifier_uri": uri}
        (problem,) = refused(post(http, metadata), "invalid_client_metadata")["errors"]
        assert problem["pointer"] == "/sector_identifier_uri"
        return problem["description"]

    for uri in ("http://sector.example/uris.json", "https://127.0.0.1/uris.json", "https://localhost/uris.json"):
        assert error(uri)
    assert not documents.network.looked_up and not documents.network.connected
    documents.network.addresses |= {f"{number}.example": [address] for number, address in enumerate(INSIDE)}
    documents.network.addresses["nobody.example"] = []
    names = [f"{number}.example" for number in range(len(INSIDE))]
    assert len({error(f"https://{name}/uris.json") for name in (*names, "nobody.example")}) == 1
    assert documents.network.connected == []
    documents.put("https://moved.example/uris.json", b"", status=302, location="https://0.example/uris.json")
    assert error("https://moved.example/uris.json")
    documents.put("https://sector.example/uris.json", [REDIRECT_URI])
    assert registered(http, redirect_uris=[REDIRECT_URI], sector_identifier_uri="https://sector.example/uris.json")


def pour(connection: ssl.SSLSocket, over: threading.Event) -> None:
    """A document without an end."""
    request_head(connection)
    connection.sendall(OK + b"Content-Type: application/json\r\n\r\n")
    while not over.is_set():
        connection.sendall(b" " * 10_000)


@requirement("RFC7591-5-16")
def test_a_document_without_an_end_is_left(visitor: Visitor, documents: Documents) -> None:
    documents.network.addresses["endless.example"] = [OTHER]
    with listening(secured(pour)) as listener:
        documents.network.places[OTHER] = listener.place
        told_nothing(token(visitor, with_keys_at(visitor, "https://endless.example/jwks.json")))
        assert listener.contacts == 1
        assert listener.wait_until_alone(5)


@requirement("RFC7591-5-16")
def test_no_redirect_is_followed_and_nothing_is_told_to_who_is_asked(visitor: Visitor, documents: Documents) -> None:
    visitor.http.set_cookie("session", "of-the-visitor")
    round_and_round = with_keys_at(visitor, "https://round.example/jwks.json")
    documents.put(round_and_round["jwks_uri"], b"", status=307, location=round_and_round["jwks_uri"])
    told_nothing(token(visitor, round_and_round))
    client = with_keys_at(visitor, "https://client.example/jwks.json")
    documents.put(client["jwks_uri"], KEYS, set_cookie="session=1; Path=/", cache_control="max-age=0")
    assert [token(visitor, client).status_code for _ in range(2)] == [200, 200]
    assert documents.asked == [round_and_round["jwks_uri"], client["jwks_uri"]]
    for head in documents.heads:
        names = {line.partition(":")[0].lower() for line in head.splitlines()[1:] if line}
        assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert client["client_id"] not in head
