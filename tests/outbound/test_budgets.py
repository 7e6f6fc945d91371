"""How much is fetched, and when what failed is tried again."""

import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from flask_dynreg.outbound import Fetched, GuardedFetcher
from tests.documents import PATIENCE, PUBLIC, Documents, Listener, Network, listening, published, request_head, secured
from tests.outbound.conftest import Clock
from tests.outbound.refusals import refusal

URL = "https://client.example/jwks.json"
BUSY = "There are more documents to be fetched than this server fetches at a time."
STATUS = "The answer must have status 200; no redirect is followed."
UNREACHABLE = "The host must take connections."


@pytest.fixture
def documents(clock: Clock) -> Iterator[Documents]:
    with published(clock=clock) as documents:
        yield documents


# ---- Rates


def test_a_client_has_a_budget(documents: Documents, clock: Clock) -> None:
    documents.put(URL, {})
    for _ in range(GuardedFetcher.PER_CLIENT.each_minute):
        documents.fetcher(URL, client_id="one")
    error = refusal(documents.fetcher, URL, "one")
    assert (str(error), error.retry_after) == (BUSY, 6)
    documents.fetcher(URL, client_id="another")
    documents.fetcher(URL)
    clock.now += 6
    documents.fetcher(URL, client_id="one")
    assert refusal(documents.fetcher, URL, "one").retry_after == 6
    assert len(documents.asked) == GuardedFetcher.PER_CLIENT.each_minute + 3


def test_a_host_has_a_budget_whoever_asks(documents: Documents, clock: Clock) -> None:
    most = GuardedFetcher.PER_HOST.each_minute
    for number in range(most):
        documents.put(f"https://client.example/{number}", {})
        documents.fetcher(f"https://client.example/{number}", client_id=f"client {number}" if number % 2 else None)
    error = refusal(documents.fetcher, "https://client.example/0", "new")
    assert (str(error), error.retry_after) == (BUSY, 1)
    documents.put("https://other.example/", {})
    documents.fetcher("https://other.example/")
    clock.now += 1
    documents.fetcher("https://client.example/0", client_id="new")
    assert len(documents.asked) == most + 2


def test_strangers_leave_half_of_a_host_to_clients(documents: Documents) -> None:
    documents.put(URL, {})
    for _ in range(GuardedFetcher.STRANGERS_PER_HOST.each_minute):
        documents.fetcher(URL)
    error = refusal(documents.fetcher, URL)
    assert (str(error), error.retry_after) == (BUSY, 2)
    for number in range(GuardedFetcher.PER_HOST.each_minute - GuardedFetcher.STRANGERS_PER_HOST.each_minute):
        documents.fetcher(URL, client_id=f"client {number}")
    assert str(refusal(documents.fetcher, URL, "new")) == BUSY


def test_there_is_a_budget_in_all_of_which_strangers_have_half(documents: Documents) -> None:
    asked, strangers, most = 0, GuardedFetcher.STRANGERS.each_minute, GuardedFetcher.IN_ALL.each_minute

    def ask(client_id: str | None = None) -> None:
        nonlocal asked
        url = f"https://host{asked % 10}.example/"
        documents.put(url, {})
        documents.fetcher(url, client_id=client_id)
        asked += 1

    for _ in range(strangers):
        ask()
    assert str(refusal(documents.fetcher, "https://new.example/")) == BUSY
    for number in range(most - strangers):
        ask(f"client {number}")
    assert str(refusal(documents.fetcher, "https://new.example/", "new")) == BUSY
    assert len(documents.asked) == asked == most


# ---- At a time


@contextmanager
def waiting_host() -> Iterator[tuple[Network, Listener, threading.Event]]:
    """A host that answers when it is told to."""
    told = threading.Event()

    def speak(connection: ssl.SSLSocket, over: threading.Event) -> None:
        request_head(connection)
        told.wait(PATIENCE)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    network = Network()
    with listening(secured(speak)) as listener:
        network.places[PUBLIC] = listener.place
        try:
            yield network, listener, told
        finally:
            told.set()


@pytest.mark.parametrize(
    ("most", "hosts", "clients"),
    [
        (GuardedFetcher.PER_CLIENT.at_a_time, 9, 1),
        (GuardedFetcher.PER_HOST.at_a_time, 1, 9),
        (GuardedFetcher.STRANGERS.at_a_time, 9, 0),
        (GuardedFetcher.STRANGERS_PER_HOST.at_a_time, 1, 0),
        (GuardedFetcher.IN_ALL.at_a_time, 99, 99),
    ],
    ids=["a client", "a host", "strangers", "strangers at a host", "all"],
)
def test_so_many_at_a_time(most: int, hosts: int, clients: int) -> None:
    def url(number: int) -> str:
        return f"https://host{number % hosts}.example/"

    def client(number: int) -> str | None:
        return f"client {number % clients}" if clients else None

    with waiting_host() as (network, listener, told), ThreadPoolExecutor(most) as threads:
        fetch = network.fetcher()
        answers: list[Future[Fetched]] = [
            threads.submit(fetch, url(number), client_id=client(number)) for number in range(most)
        ]
        listener.wait_for(most)
        error = refusal(fetch, url(most), client(most))
        assert (str(error), error.retry_after) == (BUSY, 1)
        assert listener.contacts == most
        told.set()
        assert [answer.result().body for answer in answers] == [b"{}"] * most
        assert fetch(url(most), client_id=client(most)).body == b"{}"


# ---- After a failure


def test_a_document_that_fails_is_left_alone_for_a_growing_time(documents: Documents, clock: Clock) -> None:
    for seconds in (10, 20, 40, 80, 160, 320, 640, 900, 900):
        asked = len(documents.asked)
        error = refusal(documents.fetcher, URL)
        assert (str(error), error.retry_after) == (STATUS, seconds)
        assert len(documents.asked) == asked + 1
        clock.now += seconds - 1
        error = refusal(documents.fetcher, URL, "client")
        assert (str(error), error.retry_after) == (STATUS, 1)
        assert len(documents.asked) == asked + 1
        clock.now += 1


def test_a_document_that_fails_says_nothing_of_another_one(documents: Documents) -> None:
    documents.put("https://client.example/other", {})
    refusal(documents.fetcher, URL)
    documents.fetcher("https://client.example/other")


def test_a_document_that_is_there_again_is_fetched_and_its_failures_forgotten(
    documents: Documents, clock: Clock
) -> None:
    assert refusal(documents.fetcher, URL).retry_after == 10
    documents.put(URL, {})
    assert refusal(documents.fetcher, URL).retry_after == 10
    clock.now += 10
    documents.fetcher(URL)
    documents.put(URL, {}, status=500)
    assert refusal(documents.fetcher, URL).retry_after == 10


def test_a_host_that_fails_is_left_alone_with_all_its_documents(documents: Documents, clock: Clock) -> None:
    network = documents.network
    network.addresses["client.example"] = ["8.8.8.8"]
    documents.put("https://other.example/", {})
    for seconds in (10, 20):
        network.connected.clear()
        error = refusal(documents.fetcher, URL)
        assert (str(error), error.retry_after) == (UNREACHABLE, seconds)
        error = refusal(documents.fetcher, "https://client.example:443/other")
        assert (str(error), error.retry_after) == (UNREACHABLE, seconds)
        documents.fetcher("https://other.example/")
        assert network.connected == [("8.8.8.8", 443), (PUBLIC, 443)]
        clock.now += seconds
    network.addresses.clear()
    documents.put(URL, {})
    documents.fetcher(URL)
    network.addresses["client.example"] = ["8.8.8.8"]
    assert refusal(documents.fetcher, URL).retry_after == 10


def test_a_host_that_answers_is_no_host_that_fails_any_more(documents: Documents, clock: Clock) -> None:
    documents.network.addresses["client.example"] = ["10.0.0.1"]
    assert refusal(documents.fetcher, "https://client.example/1").retry_after == 10
    clock.now += 10
    documents.network.addresses.clear()
    assert str(refusal(documents.fetcher, "https://client.example/2")) == STATUS
    documents.network.addresses["client.example"] = ["10.0.0.1"]
    assert refusal(documents.fetcher, "https://client.example/3").retry_after == 10


def test_what_is_over_budget_has_not_failed(documents: Documents, clock: Clock) -> None:
    documents.put(URL, {})
    for _ in range(GuardedFetcher.PER_CLIENT.each_minute):
        documents.fetcher(URL, client_id="one")
    for _ in range(9):
        refusal(documents.fetcher, URL, "one")
    clock.now += 6
    documents.fetcher(URL, client_id="one")


def test_a_failure_of_the_host_s_own_parts_is_told_as_it_is(network: Network) -> None:
    def resolve(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        raise ZeroDivisionError

    fetch = network.fetcher(resolve=resolve)
    for _ in range(GuardedFetcher.PER_CLIENT.at_a_time + 1):
        with pytest.raises(ZeroDivisionError):
            fetch(URL, client_id="one")


# ---- Among threads


def test_threads_share_one_fetcher(documents: Documents) -> None:
    hosts = 25
    for number in range(hosts):
        documents.put(f"https://host{number}.example/", {"host": number})

    def fetch_some(number: int) -> list[bytes]:
        return [documents.fetcher(f"https://host{(number + step) % hosts}.example/").body for step in range(hosts)]

    with ThreadPoolExecutor(4) as threads:
        found = [answer.result() for answer in [threads.submit(fetch_some, number) for number in range(4)]]
    assert found == [[b'{"host": %d}' % ((number + step) % hosts) for step in range(hosts)] for number in range(4)]
    assert len(documents.asked) == 4 * hosts
