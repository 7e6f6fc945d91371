"""Bodies and headers as only a socket can send them, to the quickstart under gunicorn."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import parse_headers
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import CLIENT

LIMIT = 65536
BODY = json.dumps(CLIENT).encode()


class Connection:
    """To a server, kept alive from one request to the next."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=60)
        self.answers = self.socket.makefile("rb")

    def head(self, *fields: str, method: str = "POST", path: str = "/oauth2/register") -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Content-Type: application/json", *fields, "", ""]
        self.socket.sendall("\r\n".join(lines).encode("latin-1"))

    def chunk(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> tuple[int, Any]:
        status = int(self.answers.readline().split()[1])
        fields = parse_headers(self.answers)
        assert fields.get_content_type() == "application/json"
        assert fields["Cache-Control"] == "no-store"
        return status, json.loads(self.answers.read(int(fields["Content-Length"])))


@pytest.fixture
def connection(quickstart_server: str) -> Iterator[Connection]:
    connection = Connection(quickstart_server)
    with closing(connection.socket), closing(connection.answers):
        yield connection


def register_with_length(connection: Connection) -> tuple[int, Any]:
    connection.head(f"Content-Length: {len(BODY)}")
    connection.socket.sendall(BODY)
    return connection.answer()


def test_a_length_over_the_limit_is_413(connection: Connection) -> None:
    connection.head(f"Content-Length: {LIMIT + 1}")
    connection.socket.sendall(BODY.ljust(LIMIT + 1))
    status, body = connection.answer()
    assert (status, body["error"]) == (413, "invalid_request")
    assert register_with_length(connection)[0] == 201


def test_a_chunked_body_is_read_to_its_end(connection: Connection) -> None:
    connection.head("Transfer-Encoding: chunked")
    for start in range(0, len(BODY), 7):
        connection.chunk(BODY[start : start + 7])
    connection.chunk(b"")
    status, body = connection.answer()
    assert (status, body["redirect_uris"]) == (201, CLIENT["redirect_uris"])


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT * 2, LIMIT * 8])
def test_a_chunked_body_over_the_limit_is_413(connection: Connection, size: int) -> None:
    """The server cuts it off at nothing: its start alone would be a good registration."""
    connection.head("Transfer-Encoding: chunked")
    connection.chunk(BODY)
    for _ in range(0, size - len(BODY), 8192):
        connection.chunk(b" " * 8192)
    connection.chunk(b"")
    status, body = connection.answer()
    assert (status, body["error"]) == (413, "invalid_request")
    assert register_with_length(connection)[0] == 201


def test_a_chunked_body_of_just_the_limit_is_taken(connection: Connection) -> None:
    connection.head("Transfer-Encoding: chunked")
    for part in (BODY, b" " * (LIMIT - len(BODY)), b""):
        connection.chunk(part)
    assert connection.answer()[0] == 201


def test_a_body_that_ends_too_early_registers_nothing(connection: Connection) -> None:
    connection.head(f"Content-Length: {len(BODY) + 1}")
    connection.socket.sendall(BODY)
    connection.socket.shutdown(socket.SHUT_WR)
    status, body = connection.answer()
    assert status == 400 and "client_id" not in body


def test_a_chunked_body_that_ends_too_early_registers_nothing(connection: Connection) -> None:
    connection.head("Transfer-Encoding: chunked")
    connection.socket.sendall(b"%x\r\n%b" % (len(BODY) + 1, BODY))
    connection.socket.shutdown(socket.SHUT_WR)
    status, body = connection.answer()
    assert status == 400 and "client_id" not in body


def test_a_request_without_a_body_is_refused(connection: Connection) -> None:
    for fields in ([], ["Content-Length: 0"]):
        connection.head(*fields)
        status, body = connection.answer()
        assert (status, body["error"]) == (400, "invalid_client_metadata")


def test_two_authorization_headers_are_never_a_guess(connection: Connection) -> None:
    client = register_with_length(connection)[1]
    path, good = (
        f"/oauth2/clients/{client['client_id']}",
        f"Authorization: Bearer {client['registration_access_token']}",
    )
    connection.head(good, method="GET", path=path)
    assert connection.answer()[0] == 200
    for other in (good, "Authorization: Bearer other", "Authorization: Basic eDp5", "authorization:"):
        for fields in ([good, other], [other, good]):
            connection.head(*fields, method="GET", path=path)
            assert connection.answer()[0] in (400, 401), fields


@pytest.mark.parametrize("value", ["Bearer \xe9", "\xff", "Bearer \x80\x81", "Bearer " + "x" * 7000])
def test_odd_bytes_in_the_header_are_no_token(connection: Connection, value: str) -> None:
    connection.head(f"Authorization: {value}", f"Content-Length: {len(BODY)}")
    connection.socket.sendall(BODY)
    status, body = connection.answer()
    assert status in (400, 401) and "client_id" not in body
