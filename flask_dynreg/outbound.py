"""The one way out: documents that clients name by an https URL, fetched so that nothing within a network is ever reached."""

import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from functools import cache
from typing import Any, Protocol

from werkzeug.http import parse_age, parse_date, parse_list_header

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.hosts import address, host_and_port, is_global_unicast, looks_public
from flask_dynreg.pacing import Budget, Budgets, Clock, Pauses

HTTPS_PORT = 443

_URL = re.compile(
    r"(?i:https)://(?P<authority>[A-Za-z0-9._:\[\]-]+)"
    r"(?P<target>[/?](?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
_LONGEST_URL = 2048
_NUMBER = re.compile(r"[0-9]{1,18}")
_LARGEST_HEAD = 16384
"""bytes that an answer may have besides the document"""
_MOST_ATTEMPTS = 4
"""addresses of a host to which a connection is tried"""
_LONGEST_AGE = 2**31  # RFC 9111 section 1.2.2

_LATE = "The host must be faster: the document did not come in time."
# Also where the name is not known: a stranger must not learn which names there are within a network.
_NOT_PUBLIC = "The host must have a name with public addresses, and no other ones."
_TOO_LARGE = "The document is too large."
_MALFORMED = "The answer must be complete, and well-formed HTTP."

Resolve = Callable[[str, int], Sequence[tuple[Any, Any, Any, Any, tuple[Any, ...]]]]
"""As socket.getaddrinfo, which raises OSError. The name is absolute: it ends with a period."""
Connect = Callable[[tuple[str, int], float], socket.socket]
"""As socket.create_connection, which raises OSError: an address and a port, and the seconds that there are."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document that came with status 200."""

    body: bytes
    media_type: str
    """In small letters, without parameters; empty if there is none."""
    max_age: int | None
    """Seconds for which it may be kept (RFC 9111); 0 if it must not be kept, None if nothing is said."""


class FetchError(Exception):
    """There is no document. Its text is a sentence without any URL, address or part of the answer: fit for clients and logs.

    `retry_after`: in so many seconds it is tried again. None: not until there is another URL.
    """

    def __init__(self, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class BusyError(FetchError):
    """This server itself fetches too much at the moment: the host was not asked, and is not to blame."""


class Fetcher(Protocol):
    """What fetches documents. Who puts an own one in the place of ours answers for what it reaches."""

    def __call__(self, url: str, *, client_id: str | None = None) -> Fetched:
        """`client_id`: the client for whom it is, if it is registered already.

        Raises FetchError, which is a BusyError where this server itself is too busy to ask the host.
        """


@cache
def _system_context() -> ssl.SSLContext:
    """Trusts whom the system trusts. Reading that takes a moment, which a server that never fetches does not spend."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class GuardedFetcher:
    """Reaches hosts of the public network only, within a time, a size and budgets. Safe among threads.

    A name is resolved once; all its addresses have to be public, and one of these very addresses is connected to, with TLS
    for the name. No redirect is followed, no proxy is asked, and nothing is sent but the URL.
    """

    BYTES = 65536
    SECONDS = 5.0
    IN_ALL = Budget(each_minute=300, at_a_time=32)
    PER_HOST = Budget(each_minute=60, at_a_time=8)
    PER_CLIENT = Budget(each_minute=10, at_a_time=2)
    # What is fetched for those who are no clients yet leaves the other half to those who are.
    STRANGERS = Budget(each_minute=150, at_a_time=16)
    STRANGERS_PER_HOST = Budget(each_minute=30, at_a_time=4)

    def __init__(
        self,
        *,
        resolve: Resolve = socket.getaddrinfo,
        connect: Connect = socket.create_connection,
        ports: Collection[int] = (HTTPS_PORT,),
        context: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
        seconds: float = SECONDS,
    ) -> None:
        """`seconds` is the time for all of a fetch; `clock` is that of budgets and pauses alone.

        Raises ConfigurationError for a context that takes any certificate, any name, or TLS before 1.2.
        """
        if context and (not context.check_hostname or context.minimum_version < ssl.TLSVersion.TLSv1_2):
            raise ConfigurationError("The context of a GuardedFetcher must check host names and take TLS 1.2 or later.")
        self._resolve = resolve
        self._connect = connect
        self._ports = frozenset(ports)
        self._context = context
        self._seconds = seconds
        self._budgets = Budgets(clock)
        self._pauses = Pauses(clock)

    def __call__(self, url: str, *, client_id: str | None = None) -> Fetched:
        fetch = self._begun(url)
        if pause := self._pauses.of((url, fetch.host)):
            raise FetchError(*pause)
        budgets = {"all": self.IN_ALL, f"host {fetch.host}": self.PER_HOST}
        if client_id is None:
            budgets |= {"strangers": self.STRANGERS, f"strangers, host {fetch.host}": self.STRANGERS_PER_HOST}
        else:
            budgets |= {f"client {client_id}": self.PER_CLIENT}
        if wait := self._budgets.take(budgets):
            raise BusyError("There are more documents to be fetched than this server fetches at a time.", wait)
        try:
            fetched = self._in_time(fetch, budgets)
        except FetchError as error:
            if fetch.has_proven_host:
                self._pauses.worked((fetch.host,))
            # Until the host has proven its name, all its documents fail; from then on, only this one.
            failed = (url,) if fetch.has_proven_host else (url, fetch.host)
            error.retry_after = self._pauses.failed(failed, str(error))
            raise
        self._pauses.worked((url, fetch.host))
        return fetched

    def _begun(self, url: str) -> "_Fetch":
        match = _URL.fullmatch(url) if len(url) <= _LONGEST_URL else None
        found = host_and_port(match["authority"]) if match else None
        if not match or not found or not looks_public(found[0]):
            raise FetchError("The URL must be https, with a public host and without user information and fragment.")
        host, port = found
        if (port or HTTPS_PORT) not in self._ports:
            raise FetchError("The URL must have no port, or one from which this server fetches documents.")
        target = match["target"] or "/"
        return _Fetch(host, port or HTTPS_PORT, target.removeprefix("/"), time.monotonic() + self._seconds)

    def _in_time(self, fetch: "_Fetch", budgets: Collection[str]) -> Fetched:
        # In a thread of its own, as nothing ends a look-up. What takes too long is counted until it ends.
        answer: Future[Fetched] = Future()

        def work() -> None:
            try:
                try:
                    fetched = fetch.run(self._resolve, self._connect, self._context or _system_context())
                finally:
                    self._budgets.give_back(budgets)
                answer.set_result(fetched)
            except BaseException as error:  # whatever it is, somebody waits for it
                answer.set_exception(error)

        try:
            threading.Thread(target=work, daemon=True).start()
        except RuntimeError as error:
            self._budgets.give_back(budgets)
            raise BusyError("The server is too busy to fetch the document.", 1) from error
        try:
            return answer.result(self._seconds)
        except TimeoutError as error:
            raise FetchError(_LATE) from error


@dataclass(slots=True)
class _Fetch:
    """One way there and back, at the end of which nothing stays open."""

    host: str
    port: int
    target: str
    """path and query, without the first slash"""
    end: float
    """of time.monotonic()"""
    has_proven_host: bool = field(default=False, init=False)

    def run(self, resolve: Resolve, connect: Connect, context: ssl.SSLContext) -> Fetched:
        try:
            addresses = self._addresses(resolve)
            with self._connected(addresses, connect) as plain, self._secured(plain, context) as connection:
                self.has_proven_host = True
                return self._answer(connection)
        except TimeoutError as error:
            raise FetchError(_LATE) from error

    def seconds_left(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _addresses(self, resolve: Resolve) -> list[str]:
        if literal := address(self.host):
            return [str(literal)]
        try:
            # With a period at its end the name is looked up as it is: no search list of a cluster or company is tried.
            entries = resolve(f"{self.host}.", self.port)
            found = dict.fromkeys(ipaddress.ip_address(str(entry[4][0])) for entry in entries)
        except (OSError, ValueError) as error:
            raise FetchError(_NOT_PUBLIC) from error
        if not found or not all(map(is_global_unicast, found)):
            raise FetchError(_NOT_PUBLIC)
        return [str(each) for each in found]

    def _connected(self, addresses: list[str], connect: Connect) -> socket.socket:
        addresses = addresses[:_MOST_ATTEMPTS]
        reason: OSError | None = None
        for number, each in enumerate(addresses):
            try:
                return connect((each, self.port), self.seconds_left() / (len(addresses) - number))
            except OSError as error:
                reason = error
        self.seconds_left()
        raise FetchError("The host must take connections.") from reason

    def _secured(self, plain: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain.settimeout(self.seconds_left())
        name = self.host.strip("[]")
        try:
            # RFC 9112 section 9.8: an end that TLS has not announced may be anybody's.
            return context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False)
        except TimeoutError:
            raise
        except OSError as error:
            raise FetchError("The host must have TLS 1.2 or later, and a valid certificate for its name.") from error

    def _answer(self, connection: ssl.SSLSocket) -> Fetched:
        authority = self.host if self.port == HTTPS_PORT else f"{self.host}:{self.port}"
        request = (
            f"GET /{self.target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: flask_dynreg\r\n"
            "Accept: application/json, */*;q=0.5\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
        # http.client's own parser, on a stream of ours: a client of the whole, urllib3 too, sets its time for each read,
        # which a host that sends a byte now and then never exceeds.
        stream: Any = _Stream(connection, self)
        try:
            connection.settimeout(self.seconds_left())
            connection.sendall(request.encode("ascii"))
            with http.client.HTTPResponse(stream, method="GET") as response:
                response.begin()
                if stream.has_ended:  # within the head, which http.client takes for its end
                    raise http.client.IncompleteRead(b"")
                return _document(response)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, ValueError, ArithmeticError) as error:
            raise FetchError(_MALFORMED) from error


class _Stream(io.RawIOBase):
    """What a connection brings: within the time of the fetch, and the bytes an answer may have."""

    def __init__(self, connection: ssl.SSLSocket, fetch: _Fetch) -> None:
        self._connection = connection
        self._fetch = fetch
        self._bytes_left = GuardedFetcher.BYTES + _LARGEST_HEAD
        self.has_ended = False

    def makefile(self, mode: str) -> io.BufferedReader:
        """The one thing of a socket that HTTPResponse uses."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._fetch.seconds_left())
        count = self._connection.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise FetchError(_TOO_LARGE)
        self.has_ended = count == 0
        return count


def _document(response: http.client.HTTPResponse) -> Fetched:
    headers = response.headers
    if response.status != http.client.OK:
        raise FetchError("The answer must have status 200; no redirect is followed.")
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise FetchError("The answer must have no Content-Encoding.")
    # http.client takes a framing that it does not understand for none.
    length, coding = response.getheader("Content-Length"), response.getheader("Transfer-Encoding")
    is_framed = response.chunked if coding is not None else length is None or _NUMBER.fullmatch(length)
    if not is_framed or headers.defects:
        raise FetchError(_MALFORMED)
    body = response.read(GuardedFetcher.BYTES + 1)
    if len(body) > GuardedFetcher.BYTES:
        raise FetchError(_TOO_LARGE)
    if response.length:  # the bytes that were announced and did not come
        raise FetchError(_MALFORMED)
    return Fetched(body, headers.get("Content-Type", "").partition(";")[0].strip().lower(), max_age(headers))


def max_age(headers: Message) -> int | None:
    """Seconds for which a cache of our own may keep an answer (RFC 9111 sections 4.2 and 5); None if nothing is said."""
    directives: dict[str, str] = {}
    for directive in parse_list_header(", ".join(headers.get_all("Cache-Control", []))):
        name, _, value = directive.partition("=")
        directives.setdefault(name.strip().lower(), value.strip(' "'))  # the first counts, section 4.2.1
    if "no-store" in directives or "no-cache" in directives:
        return 0
    if "max-age" in directives:
        stated = directives["max-age"]
        lifetime = int(stated) if _NUMBER.fullmatch(stated) else 0
    elif "Expires" in headers:
        expires = parse_date(headers["Expires"])
        sent = parse_date(headers.get("Date")) or datetime.now(UTC)
        lifetime = int((expires - sent).total_seconds()) if expires else 0
    else:
        return None
    age = parse_age(headers.get("Age"))
    return max(min(lifetime, _LONGEST_AGE) - (int(age.total_seconds()) if age else 0), 0)
