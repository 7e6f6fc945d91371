"""Documents at https URLs of public-looking hosts: real TLS servers on loopback, behind the addresses of a public network.

with published() as documents:
    documents.put("https://client.example/jwks.json", {"keys": [...]})
    app = make_app(db, DynamicRegistration(db, fetcher=documents.fetcher))
    ...
    assert documents.asked == ["https://client.example/jwks.json"]
"""

import datetime
import ipaddress
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from flask_dynreg.outbound import GuardedFetcher

PUBLIC = "93.184.215.14"
PATIENCE = 30.0
"""Seconds that nothing takes, were the machine ever so busy."""

Speak = Callable[[socket.socket, threading.Event], None]
"""What a listener does with a connection. The event is set when the test is over."""


# ---- Certificates


@cache
def certificate_authority() -> "CertificateAuthority":
    """The one of this process: making keys takes a moment."""
    return CertificateAuthority()


class CertificateAuthority:
    """Known to nobody but whom it is told."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        today = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=30))
            .not_valid_after(today + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.context_for = cache(self.new_context)

    def trusting(self) -> ssl.SSLContext:
        """The context of a client that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self._certificate.public_bytes(Encoding.PEM).decode())
        return context

    def new_context(self, host: str, days: int = 2, *, signs_itself: bool = False) -> ssl.SSLContext:
        """The context of a server that is this host. Its certificate is good for so many days, or was."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test server")])
        began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=20)
        issuer, issuer_key = (name, key) if signs_itself else (self._name, self._key)
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        certificate = (
            x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(began)
            .not_valid_after(began + datetime.timedelta(days=20 + days))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "server.pem")
            path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
            context.load_cert_chain(path)
        return context


# ---- Listeners


class Listener:
    """Listens on a loopback address and port of its own, and counts who comes."""

    def __init__(self, speak: Speak, host: str) -> None:
        self._speak = speak
        self._server = socket.create_server((host, 0))
        self.place: tuple[str, int] = self._server.getsockname()[:2]
        self.contacts = 0
        self._came = threading.Condition()
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            if self._over.is_set():
                connection.close()
                return
            with self._came:
                self.contacts += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()
                self._came.notify_all()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:  # the other side may go when it likes
            self._speak(connection, self._over)

    def wait_for(self, contacts: int) -> None:
        """Until so many have come since the start."""
        with self._came:
            assert self._came.wait_for(lambda: self.contacts >= contacts, PATIENCE)

    def wait_until_alone(self, seconds: float) -> bool:
        """Until nobody who came is still there."""
        end = time.monotonic() + seconds
        for thread in self._threads[1:]:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads[1:])

    def close(self) -> None:
        self._over.set()
        socket.create_connection(self.place).close()  # wakes it up
        self._threads[0].join()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._server.close()


@contextmanager
def listening(speak: Speak, host: str = "127.0.0.1") -> Iterator[Listener]:
    listener = Listener(speak, host)
    try:
        yield listener
    finally:
        listener.close()


def secured(speak: Callable[[ssl.SSLSocket, threading.Event], None], context: ssl.SSLContext | None = None) -> Speak:
    """As the host that is asked for, or the one of the context."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            connection.context = certificate_authority().context_for(name or PUBLIC)

        context.sni_callback = choose

    def secured_speak(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            speak(wrapped, over)

    return secured_speak


def request_head(connection: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        received = connection.recv(4096)
        if not received:
            raise ConnectionAbortedError
        head += received
    return head.decode("ascii")


def answering(answer: bytes, context: ssl.SSLContext | None = None) -> Speak:
    """Hears the request, gives the answer, and says goodbye as TLS wants it."""

    def speak(connection: ssl.SSLSocket, over: threading.Event) -> None:
        request_head(connection)
        connection.sendall(answer)
        connection.unwrap()

    return secured(speak, context)


# ---- The network


class Network:
    """A public network of hosts, whose addresses lead to listeners. Keeps what it was asked for."""

    def __init__(self) -> None:
        self.addresses: dict[str, Sequence[str]] = {}
        """by the name of the host; PUBLIC for any other name"""
        self.places: dict[str, tuple[str, int]] = {}
        """the listeners, by public address"""
        self.looked_up: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> list[tuple[Any, Any, Any, Any, tuple[Any, ...]]]:
        self.looked_up.append(host)
        addresses = self.addresses.get(host.removesuffix("."), [PUBLIC])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    def connect(self, address: tuple[str, int], seconds: float) -> socket.socket:
        """Loopback addresses lead where they always do; nothing leads out of this machine."""
        self.connected.append(address)
        if not ipaddress.ip_address(address[0]).is_loopback:
            if address[0] not in self.places:
                raise ConnectionRefusedError
            address = self.places[address[0]]
        return socket.create_connection(address, seconds)

    def fetcher(self, **options: Any) -> GuardedFetcher:
        """Ours, on this network. `options` are those of GuardedFetcher."""
        usual: dict[str, Any] = {
            "resolve": self.resolve,
            "connect": self.connect,
            "context": certificate_authority().trusting(),
            "seconds": PATIENCE,
        }
        return GuardedFetcher(**(usual | options))


# ---- Documents


class Documents:
    """What is published, and who asked for what."""

    def __init__(self, network: Network, fetcher: GuardedFetcher) -> None:
        self._answers: dict[str, bytes] = {}
        self.network = network
        self.fetcher = fetcher
        self.asked: list[str] = []
        """the URLs, in their order"""
        self.heads: list[str] = []
        """the requests as they came"""

    def put(self, url: str, document: Any, status: int = 200, **headers: str) -> None:
        """Bytes as they are, anything else as JSON. `put(url, document, cache_control="max-age=60")`"""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        lines = {"content_type": "application/json", "content_length": str(len(body)), **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        self._answers[url] = f"HTTP/1.1 {status} Told\r\n{head}\r\n".encode() + body

    def speak(self, connection: ssl.SSLSocket, over: threading.Event) -> None:
        head = request_head(connection)
        lines = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
        url = f"https://{lines['Host']}{head.split()[1]}"
        self.asked.append(url)
        self.heads.append(head)
        connection.sendall(self._answers.get(url, b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n"))


@contextmanager
def published(**options: Any) -> Iterator[Documents]:
    """A network on which every host has its own certificate and the documents that are put there.

    `options` are of the GuardedFetcher. What is not put there is a 404.
    """
    network = Network()
    documents = Documents(network, network.fetcher(**options))
    with listening(secured(documents.speak)) as listener:
        network.places[PUBLIC] = listener.place
        yield documents
