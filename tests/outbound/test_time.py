"""Hosts that are slow, at every step: a fetch ends in time, and so does what it has begun."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.documents import (
    PATIENCE,
    PUBLIC,
    Network,
    listening,
    request_head,
    secured,
)
from tests.outbound.refusals import refusal

URL = "https://client.example/jwks.json"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = "There are more documents to be fetched than this server fetches at a time."
LATE = "The host must be faster: the document did not come in time."
SECONDS = 0.3
MUCH_LATER = 5.0
PULSE = 0.02


def drip(connection: socket.socket, over: threading.Event, *, first: bytes = b"", each: bytes = b"x") -> None:
    """Byte by byte, as long as somebody takes them: no single read ever waits long."""
    connection.sendall(first)
    while not over.wait(PULSE):
        connection.sendall(each)


def slow(first: bytes, each: bytes) -> Callable[[ssl.SSLSocket, threading.Event], None]:
    def speak(connection: ssl.SSLSocket, over: threading.Event) -> None:
        request_head(connection)
        drip(connection, over, first=first, each=each)

    return speak


def slow_at_last(connection: ssl.SSLSocket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
    hear(connection, over)


def hear(connection: socket.socket, over: threading.Event) -> None:
    """Says nothing as long as somebody is there."""
    while connection.recv(4096):
        pass


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert SECONDS <= time.monotonic() - began < MUCH_LATER


HOSTS = {
    "nothing in the handshake": hear,
    # A record of TLS that is announced as long, and comes byte by byte.
    "the handshake byte by byte": lambda connection, over: drip(
        connection, over, first=b"\x16\x03\x03\x3f\xff\x02", each=b"\0"
    ),
    "no answer": secured(hear),
    "the status byte by byte": secured(slow(b"HTTP/1.1 200 ", b"x")),
    "the head byte by byte": secured(slow(b"HTTP/1.1 200 OK\r\nX: ", b"x")),
    "a header now and then": secured(slow(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")),
    "100 again and again": secured(slow(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "the body byte by byte": secured(slow(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x")),
    "the body until the end": secured(slow(b"HTTP/1.1 200 OK\r\n\r\n", b"x")),
    "a chunk now and then": secured(slow(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")),
    "an extension of a chunk": secured(slow(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x")),
    "trailers": secured(slow(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n")),
    "the last byte": secured(slow_at_last),
}


@requirement("RFC7591-5-16")
@pytest.mark.parametrize("speak", HOSTS.values(), ids=HOSTS)
def test_a_slow_host_is_left_in_time(speak: Any, network: Network) -> None:
    with listening(speak) as listener:
        network.places[PUBLIC] = listener.place
        with soon():
            error = refusal(network.fetcher(seconds=SECONDS), URL)
        assert str(error) == LATE
        assert error.retry_after == 10
        assert listener.wait_until_alone(MUCH_LATER)


def test_a_slow_look_up_is_left_in_time_and_counts_until_it_ends(network: Network) -> None:
    found = threading.Event()

    def resolve(host: str, port: int) -> Any:
        if "slow" in host:
            found.wait(PATIENCE)
        return network.resolve(host, port)

    fetch = network.fetcher(resolve=resolve, seconds=SECONDS)
    with soon():
        error = refusal(fetch, "https://slow.example/", "client")
        assert (str(error), error.retry_after) == (LATE, 10)
    refusal(fetch, "https://slower.example/", "client")
    busy = refusal(fetch, URL, "client")
    assert (str(busy), busy.retry_after) == (BUSY, 1)
    assert network.looked_up == []
    found.set()
    began = time.monotonic()
    while str(refusal(fetch, URL, "client")) == BUSY:
        assert time.monotonic() - began < PATIENCE
    # To what was found too late there was no connection.
    assert sorted(network.looked_up) == ["client.example.", "slow.example.", "slower.example."]
    assert network.connected == [(PUBLIC, 443)]


def test_a_host_that_takes_no_connection_is_left_in_time(network: Network) -> None:
    waited: list[float] = []

    def connect(address: tuple[str, int], seconds: float) -> socket.socket:
        waited.append(seconds)
        threading.Event().wait(seconds)
        raise TimeoutError

    network.addresses["client.example"] = ["8.8.8.8", "8.8.4.4", "1.1.1.1"]
    fetch = network.fetcher(connect=connect, seconds=SECONDS)
    with soon():
        assert str(refusal(fetch, URL)) == LATE
    # Each of them has its part of the time.
    assert all(seconds < SECONDS / 2 for seconds in waited[:2])


def test_a_server_without_threads_to_spare_says_so(network: Network) -> None:
    fetch = network.fetcher()
    usual = threading.stack_size(2**46)  # more than there is, of any machine
    try:
        errors = [refusal(fetch, f"https://host{number}.example/", "client") for number in range(3)]
    finally:
        threading.stack_size(usual)
    assert {str(error) for error in errors} == {"The server is too busy to fetch the document."}
