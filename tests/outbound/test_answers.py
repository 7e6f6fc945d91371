"""What hosts answer, and what is taken of it."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg.outbound import Fetched, FetchError, GuardedFetcher
from tests.conformance.requirements import requirement
from tests.documents import PUBLIC, Network, Speak, answering, certificate_authority, listening, secured
from tests.outbound.refusals import refusal

URL = "https://client.example/jwks.json"
MALFORMED = "The answer must be complete, and well-formed HTTP."
TOO_LARGE = "The document is too large."
STATUS = "The answer must have status 200; no redirect is followed."
CODING = "The answer must have no Content-Encoding."
TLS = "The host must have TLS 1.2 or later, and a valid certificate for its name."
MOST = GuardedFetcher.BYTES


def ok(head: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode("latin-1") + body


def chunks(*bodies: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies)


def fetched(speak: Speak) -> Fetched:
    network = Network()
    with listening(speak) as listener:
        network.places[PUBLIC] = listener.place
        return network.fetcher()(URL)


def refused(speak: Speak) -> str:
    """Also that it is tried again later, and that there was one request, no more."""
    network = Network()
    with listening(speak) as listener:
        network.places[PUBLIC] = listener.place
        error = refusal(network.fetcher(), URL)
        assert error.retry_after == 10
        assert listener.contacts == 1
    return str(error)


# ---- Sound ones


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(ok("Content-Length: 2\r\n", b"{}"), b"{}", id="a length"),
        pytest.param(ok("Content-Length: 0\r\n", b""), b"", id="nothing"),
        pytest.param(ok("Content-Length: 2\r\n", b"{}and more than it said"), b"{}", id="more than it said"),
        pytest.param(ok(f"Content-Length: {MOST}\r\n", b"x" * MOST), b"x" * MOST, id="the largest"),
        pytest.param(ok("Transfer-Encoding: chunked\r\n", chunks(b"{", b"}", b"")), b"{}", id="chunks"),
        pytest.param(
            ok("Transfer-Encoding: Chunked\r\n", b"2;a=b\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n"),
            b"{}",
            id="chunks with all there is",
        ),
        pytest.param(ok("Transfer-Encoding: chunked\r\n", chunks(b"x" * MOST, b"")), b"x" * MOST, id="one large chunk"),
        pytest.param(
            ok("Transfer-Encoding: chunked\r\n", chunks(*[b"x" * 512] * 128, b"")), b"x" * MOST, id="many chunks"
        ),
        pytest.param(ok("", b"{}"), b"{}", id="until the end"),
        pytest.param(ok("", b"x" * MOST), b"x" * MOST, id="the largest until the end"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n{}", b"{}", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}", id="no reason"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", id="first a 100"
        ),
        pytest.param(
            ok("Content-Encoding: Identity\r\nContent-Length: 2\r\n", b"{}"), b"{}", id="an encoding that is none"
        ),
        pytest.param(ok("X: " + "x" * 12000 + "\r\nContent-Length: 2\r\n", b"{}"), b"{}", id="a large head"),
    ],
)
def test_a_document_comes_as_it_is(answer: bytes, body: bytes) -> None:
    assert fetched(answering(answer)).body == body


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        ("", ""),
        ("Content-Type: application/json\r\n", "application/json"),
        ("Content-Type: Application/JWK-Set+JSON ; charset=UTF-8\r\n", "application/jwk-set+json"),
        ("Content-Type:\r\n", ""),
    ],
)
def test_the_media_type(head: str, media_type: str) -> None:
    assert fetched(answering(ok(head + "Content-Length: 2\r\n", b"{}"))).media_type == media_type


def test_how_long_it_may_be_kept() -> None:
    assert fetched(answering(ok("Content-Length: 2\r\nCache-Control: max-age=60\r\n", b"{}"))).max_age == 60
    assert fetched(answering(ok("Content-Length: 2\r\n", b"{}"))).max_age is None


# ---- Other ones


@pytest.mark.parametrize(
    "status", [201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404]
)
def test_only_200_counts(status: int) -> None:
    location = "Location: https://other.example/\r\n"
    answer = f"HTTP/1.1 {status} Told\r\n{location}Content-Length: 2\r\n\r\n{{}}"
    assert refused(answering(answer.encode())) == STATUS


@pytest.mark.parametrize("status", [101, 103, 410, 429, 500, 502, 503, 504, 999])
def test_nor_do_others(status: int) -> None:
    assert refused(answering(f"HTTP/1.1 {status} Told\r\n\r\n".encode())) == STATUS


@requirement("RFC7591-5-16")
@pytest.mark.parametrize("location", ["https://127.0.0.1/", "http://client.example/", "/other", URL])
def test_no_redirect_is_followed(location: str) -> None:
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    assert refused(answering(answer.encode())) == STATUS


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "deflate", "br", "zstd", "x", "", "identity, gzip", "gzip, identity"]
)
def test_no_coding_is_taken(coding: str) -> None:
    body = gzip.compress(b"{}")
    head = f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n"
    assert refused(answering(ok(head, body))) == CODING


def test_no_second_coding_is_overlooked() -> None:
    head = "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n"
    assert refused(answering(ok(head, b"{}"))) == CODING


LARGE = {
    "a length": ok(f"Content-Length: {MOST + 1}\r\n", b"x" * (MOST + 1)),
    "a great length": ok("Content-Length: 99999999999\r\n", b"x" * 200_000),
    "two chunks": ok("Transfer-Encoding: chunked\r\n", chunks(b"x" * MOST, b"x", b"")),
    "small chunks": ok("Transfer-Encoding: chunked\r\n", chunks(*[b"x"] * 30_000, b"")),
    "a great chunk": ok("Transfer-Encoding: chunked\r\n", b"fffffffff\r\n" + b"x" * 200_000),
    "trailers": ok("Transfer-Encoding: chunked\r\n", chunks(b"{}") + b"0\r\n" + b"X: y\r\n" * 20_000),
    "one byte more until the end": ok("", b"x" * (MOST + 1)),
    "much more until the end": ok("", b"x" * 200_000),
    "no end of 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    "headers": ok("X: " + "y" * 60_000 + "\r\nY: " + "y" * 60_000 + "\r\n", b""),
    "one header": ok("X: " + "y" * 90_000 + "\r\n", b""),
}


@requirement("RFC7591-5-16")
@pytest.mark.parametrize("answer", LARGE.values(), ids=LARGE)
def test_a_document_that_is_too_large_is_left(answer: bytes) -> None:
    assert refused(answering(answer)) in (TOO_LARGE, MALFORMED)  # a line has a largest size of its own


@pytest.mark.parametrize("body", [b"", b"{", b"x" * 1000])
def test_a_document_of_fewer_bytes_than_were_announced(body: bytes) -> None:
    assert refused(answering(ok("Content-Length: 1001\r\n", body))) == MALFORMED


NOT_HTTP = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "the document alone": b"{}",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status in words": b"HTTP/1.1 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "another version": b"HTTP/2 200 OK\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "quite another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "no end of the head": b"HTTP/1.1 200 OK\r\nX: y",
    "no empty line": b"HTTP/1.1 200 OK\r\nX: y\r\n",
    "many headers": ok("X: y\r\n" * 200, b"{}"),
    "no header": ok("this is no header\r\nContent-Length: 2\r\n", b"{}"),
    "a fold at first": ok(" folded: first\r\nContent-Length: 2\r\n", b"{}"),
    "two lengths": ok("Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"),
    "no chunk": ok("Transfer-Encoding: chunked\r\n", b""),
    "no end of a chunk": ok("Transfer-Encoding: chunked\r\n", b"2\r\n{}"),
    "no last chunk": ok("Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n"),
    "a negative chunk": ok("Transfer-Encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk without size": ok("Transfer-Encoding: chunked\r\n", b"x\r\n{}\r\n0\r\n\r\n"),
    "a chunk of another size": ok("Transfer-Encoding: chunked\r\n", b"5\r\n{}\r\n0\r\n\r\n"),
    "a chunk of extensions": ok("Transfer-Encoding: chunked\r\n", b";" * 70_000),
}


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP)
def test_an_answer_that_is_not_well_formed(answer: bytes) -> None:
    assert refused(answering(answer)) == MALFORMED


@pytest.mark.parametrize("length", ["-1", "+2", "x", "2, 2", "2 2", "2_0", "0x2", "", "9" * 5000])
def test_a_length_that_is_no_number(length: str) -> None:
    assert refused(answering(ok(f"Content-Length: {length}\r\n", b"{}"))) == MALFORMED


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, chunked", "identity", ""])
def test_a_transfer_coding_other_than_chunked(coding: str) -> None:
    assert refused(answering(ok(f"Transfer-Encoding: {coding}\r\n", b"{}"))) == MALFORMED


def test_an_end_that_tls_did_not_announce_may_be_anybody_s() -> None:
    def cut_off(connection: ssl.SSLSocket, over: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(ok("", b'{"keys": []}'))
        connection.shutdown(socket.SHUT_RDWR)

    assert refused(secured(cut_off)) == MALFORMED


def test_a_host_that_hangs_up_on_the_request() -> None:
    def hang_up(connection: ssl.SSLSocket, over: threading.Event) -> None:
        connection.recv(4096)
        connection.shutdown(socket.SHUT_RDWR)

    assert refused(secured(hang_up)) == MALFORMED


# ---- TLS


@pytest.mark.parametrize(
    "context",
    [
        certificate_authority().new_context("other.example"),
        certificate_authority().new_context("*.client.example"),
        certificate_authority().new_context("example"),
        certificate_authority().new_context(PUBLIC),
        certificate_authority().new_context("client.example", days=-1),
        certificate_authority().new_context("client.example", signs_itself=True),
    ],
    ids=["another name", "names below it", "the name above it", "its address", "expired", "signed by itself"],
)
def test_a_host_has_to_prove_its_name(context: ssl.SSLContext) -> None:
    heard: list[bytes] = []

    def hear(connection: ssl.SSLSocket, over: threading.Event) -> None:
        heard.append(connection.recv(4096))

    assert refused(secured(hear, context)) == TLS
    assert b"".join(heard) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_of_today_will_do(version: ssl.TLSVersion) -> None:
    context = certificate_authority().new_context("client.example")
    context.minimum_version = context.maximum_version = version
    assert fetched(answering(ok("Content-Length: 2\r\n", b"{}"), context)).body == b"{}"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_tls_of_yesterday_will_not() -> None:
    context = certificate_authority().new_context("client.example")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert refused(answering(ok("Content-Length: 2\r\n", b"{}"), context)) == TLS


def test_a_host_without_tls_gets_no_request() -> None:
    heard: list[bytes] = []

    def plain(connection: socket.socket, over: threading.Event) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(ok("Content-Length: 2\r\n", b"{}"))

    assert refused(plain) == TLS
    assert b"GET" not in heard[0]


def test_a_host_that_hangs_up() -> None:
    assert refused(lambda connection, over: None) == TLS


def test_what_the_system_trusts_is_trusted_by_default() -> None:
    network = Network()
    with listening(answering(ok("Content-Length: 2\r\n", b"{}"))) as listener:
        network.places[PUBLIC] = listener.place
        fetch = network.fetcher(context=None)
        assert str(refusal(fetch, URL)) == TLS


# ---- Anything


class Parrot:
    """Answers what it is told."""

    def __init__(self) -> None:
        self.answer = b""

    def __call__(self, connection: ssl.SSLSocket, over: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(self.answer)
        connection.unwrap()


@pytest.fixture(scope="module")
def parrot() -> Iterator[tuple[Parrot, Network]]:
    parrot, network = Parrot(), Network()
    with listening(secured(parrot)) as listener:
        network.places[PUBLIC] = listener.place
        yield parrot, network


HEADERS = st.sampled_from(
    [
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "Content-Encoding",
        "Cache-Control",
        "Expires",
        "Date",
        "Age",
        "X",
    ]
)
VALUES = st.sampled_from(
    [
        *(
            "2",
            "chunked",
            "max-age=1",
            "max-age",
            'no-cache="x',
            "=",
            ",",
            "Mon, 01 Jan 2029 00:00:00 +99999999999999999",
        ),
        *(
            "Mon, 01 Jan 99999 00:00:00 GMT",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "multipart/mixed; boundary=x",
            "9" * 5000,
        ),
        *('text/plain; charset="', "a*=utf-8''%ff", "=?utf-8?q?x?="),
    ]
) | st.text(st.characters(max_codepoint=255), max_size=20)
LINES = st.tuples(HEADERS, VALUES).map(lambda pair: f"{pair[0]}: {pair[1]}\r\n".encode("latin-1"))
ANSWERS = st.builds(
    lambda start, lines, body: start + b"".join(lines) + b"\r\n" + body,
    st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 \r\n", b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\n"]),
    st.lists(LINES | st.binary(max_size=20), max_size=5),
    st.binary(max_size=40) | st.just(chunks(b"{}", b"")),
)


@given(ANSWERS | st.binary(max_size=200))
def test_whatever_is_answered_is_a_document_or_a_refusal(parrot: tuple[Parrot, Network], answer: bytes) -> None:
    told, network = parrot
    told.answer = answer
    with suppress(FetchError):
        found = network.fetcher()(URL)
        assert found.body in answer or b"chunked" in answer.lower()
        assert found.max_age is None or 0 <= found.max_age <= 2**31
