"""Where a fetch goes, and where it never goes."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.hosts import Address
from flask_dynreg.outbound import GuardedFetcher
from tests.conformance.requirements import requirement
from tests.documents import PUBLIC, Listener, Network, answering, certificate_authority, listening, published
from tests.outbound.refusals import refusal
from tests.outbound.test_hosts import NOT_HOSTS, SPECIAL, addresses_within

URL = "https://client.example/jwks.json"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
NOT_PUBLIC = "The host must have a name with public addresses, and no other ones."
LOOPBACKS = ["127.0.0.1", "127.0.0.2", "127.13.37.1"]


@pytest.fixture
def private() -> Iterator[list[Listener]]:
    """Listeners that would gladly answer, on addresses that must not be contacted. None of them ever is."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(answering(OK), host)) for host in LOOPBACKS]
        yield listeners
        assert [listener.contacts for listener in listeners] == [0, 0, 0]


# ---- URLs


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://client.example/",
            "HTTP://client.example/",
            "ftp://client.example/",
            "file:///etc/passwd",
            "",
            "https",
        ),
        *("https:", "https:/client.example", "https:client.example", "//client.example/", "https://", "https:///x"),
        *(
            "https://u@client.example/",
            "https://u:p@client.example/",
            "https://@client.example/",
            "https://a@b@c.example/",
        ),
        *("https://client.example/#x", "https://client.example#", "https://client.example/x#y?z"),
        *("https://b\u00fccher.example/", "https://client.example/\u00e4", "https://\u212aelvin.example/"),
        *("https://client\u3002example/", "https://client.example/a b", "https://client.example/\r\nX: y", " " + URL),
        *(
            URL + "\n",
            "https://client.example/\x00",
            "https:\\\\client.example\\",
            "https://client.example\\@evil.example/",
        ),
        *(
            "https://client.example/%",
            "https://client.example/%2",
            "https://%63lient.example/",
            "https://client.example./",
        ),
        *("https://.example/", "https://a..example/", "https://-a.example/", "https://client.example,evil.example/"),
        *(
            "https://client.example:/",
            "https://client.example:0/",
            "https://client.example:65536/",
            "https://a.example:x/",
        ),
        *(
            "https://127.0.0.1/",
            "https://127.0.0.1:443/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
        ),
        *("https://0.0.0.0/", "https://255.255.255.255/", "https://224.0.0.1/", "https://[::1]/", "https://[::]/"),
        *(
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fec0::1]/",
        ),
        *("https://[fe80::1%25eth0]/", "https://[ff02::1]/", "https://::1/", "https://[::1/", "https://[v1.x]/"),
        *("https://1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/"),
        *(
            "https://0177.0.0.1/",
            "https://127.0.0.01/",
            "https://1.2.3.4.5/",
            "https://client.1/",
            "https://client.0x/",
        ),
        *(f"https://{host}/" for host in NOT_HOSTS),
        "https://client.example/" + "a" * 2048,
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "aa/",
    ],
)
def test_a_url_that_is_no_public_https_one_is_refused_without_a_look_up(url: str, network: Network) -> None:
    error = refusal(network.fetcher(), url)
    assert str(error) == "The URL must be https, with a public host and without user information and fragment."
    assert error.retry_after is None
    assert not network.looked_up and not network.connected


@pytest.mark.parametrize("port", [1, 22, 80, 444, 8443, 65535])
def test_another_port_than_443_is_refused_without_a_look_up(port: int, network: Network) -> None:
    error = refusal(network.fetcher(), f"https://client.example:{port}/")
    assert str(error) == "The URL must have no port, or one from which this server fetches documents."
    assert error.retry_after is None
    assert not network.looked_up and not network.connected


def test_other_ports_can_be_allowed() -> None:
    with published(ports={443, 8443}) as documents:
        documents.put("https://client.example:8443/jwks.json", {})
        documents.put(URL, {})
        documents.fetcher("https://client.example:8443/jwks.json")
        documents.fetcher("https://client.example:443/jwks.json")
        assert documents.network.connected == [(PUBLIC, 8443), (PUBLIC, 443)]
        assert documents.asked == ["https://client.example:8443/jwks.json", URL]


def test_443_is_a_port_like_any_other(network: Network) -> None:
    refusal(network.fetcher(ports={8443}), URL)
    assert network.looked_up == []


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("HTTPS://Client.Example", "https://client.example/"),
        ("https://client.example?a=/b", "https://client.example/?a=/b"),
        ("https://client.example//a//b", "https://client.example//a//b"),
        ("https://client.example/a/../%2e%2e/%0d%0a?q[]=1", "https://client.example/a/../%2e%2e/%0d%0a?q[]=1"),
    ],
)
def test_what_is_asked_for_is_what_the_url_says(url: str, asked: str) -> None:
    with published() as documents:
        documents.put(asked, {})
        documents.fetcher(url)
        assert documents.asked == [asked]


# ---- Addresses


@given(st.sampled_from(SPECIAL).flatmap(addresses_within), st.booleans(), st.booleans())
def test_one_address_that_is_not_public_refuses_all(special: Address, before: bool, after: bool) -> None:
    network = Network()
    network.addresses["client.example"] = [*[PUBLIC] * before, str(special), *["2606:4700::1"] * after]
    error = refusal(network.fetcher(), URL)
    assert str(error) == NOT_PUBLIC
    assert error.retry_after == 10
    assert network.connected == []


@requirement("RFC7591-5-15")
@pytest.mark.parametrize("address", [*LOOPBACKS, "::ffff:127.0.0.1", "::1", "0.0.0.1"])
def test_listeners_on_private_addresses_are_never_contacted(
    address: str, private: list[Listener], network: Network
) -> None:
    network.addresses["client.example"] = [address]
    network.places[address] = private[0].place
    for listener in private:
        port = listener.place[1]
        refusal(network.fetcher(ports={port}), f"https://client.example:{port}/")
        refusal(network.fetcher(ports={port}), f"https://{listener.place[0]}:{port}/")
        refusal(GuardedFetcher(ports={port}), f"https://{listener.place[0]}:{port}/")
        refusal(GuardedFetcher(ports={port}), f"https://localhost:{port}/")


@pytest.mark.parametrize("address", ["", "client.example", "8.8.8", "2606:4700::1%eth0", "fe80::1%2", b"x", 5])
def test_what_is_no_address_refuses_all(address: Any, network: Network) -> None:
    network.addresses["client.example"] = [PUBLIC, address]
    refusal(network.fetcher(), URL)
    assert network.connected == []


def test_a_host_without_addresses(network: Network) -> None:
    network.addresses["client.example"] = []
    assert str(refusal(network.fetcher(), URL)) == NOT_PUBLIC


def test_a_name_that_cannot_be_resolved(network: Network) -> None:
    def resolve(host: str, port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = refusal(GuardedFetcher(resolve=resolve, connect=network.connect), URL)
    assert str(error) == NOT_PUBLIC  # a stranger learns nothing of the names within the network
    assert error.retry_after == 10


def test_what_the_system_finds_is_judged_like_anything_else(private: list[Listener], network: Network) -> None:
    def found(name: str) -> GuardedFetcher:
        return network.fetcher(ports={port}, resolve=lambda host, port: socket.getaddrinfo(name, port))

    port = private[0].place[1]
    assert "public" in str(refusal(found("localhost"), f"https://client.example:{port}/"))
    assert network.connected == []
    assert "connections" in str(refusal(found(PUBLIC), f"https://client.example:{port}/"))
    assert network.connected == [(PUBLIC, port)]


@requirement("CIMD01-6.5-03")
def test_a_name_that_is_private_the_second_time_is_looked_up_once(private: list[Listener], network: Network) -> None:
    answers = iter([[PUBLIC], *[[listener.place[0]] for listener in private]])

    def rebinding(host: str, port: int) -> Any:
        network.addresses[host] = next(answers)
        return Network.resolve(network, f"{host}.", port)

    with listening(answering(OK)) as listener:
        network.places[PUBLIC] = listener.place
        fetch = network.fetcher(resolve=rebinding)
        assert fetch(URL).body == b"{}"
        assert (len(network.looked_up), network.connected) == (1, [(PUBLIC, 443)])
        refusal(fetch, URL)
        assert (len(network.looked_up), network.connected) == (2, [(PUBLIC, 443)])


def test_a_name_is_looked_up_as_it_is_and_in_no_search_list() -> None:
    with published() as documents:
        documents.put(URL, {})
        documents.fetcher(URL)
        assert documents.network.looked_up == ["client.example."]


def test_an_address_in_the_url_is_not_looked_up() -> None:
    with published() as documents:
        documents.put(f"https://{PUBLIC}/", {})
        documents.fetcher(f"https://{PUBLIC}/")
        assert documents.network.looked_up == []
        assert documents.network.connected == [(PUBLIC, 443)]


def test_an_address_of_ipv6_in_the_url_needs_a_certificate_too(network: Network) -> None:
    context = certificate_authority().new_context("2606:4700::1")
    with listening(answering(OK, context)) as listener:
        network.places["2606:4700::1"] = network.places["2606:4700::2"] = listener.place
        assert network.fetcher()("https://[2606:4700:0::1]/").body == b"{}"
        assert network.connected == [("2606:4700::1", 443)]
        assert "certificate" in str(refusal(network.fetcher(), "https://[2606:4700::2]/"))
        assert network.looked_up == []


def test_where_nobody_listens_the_next_address_is_tried() -> None:
    with published() as documents:
        documents.put(URL, {})
        documents.network.addresses["client.example"] = ["2606:4700::1", "8.8.8.8", "8.8.8.8", PUBLIC, "1.1.1.1"]
        documents.fetcher(URL)
        assert documents.network.connected == [("2606:4700::1", 443), ("8.8.8.8", 443), (PUBLIC, 443)]


def test_a_host_of_many_addresses_is_tried_at_a_few(network: Network) -> None:
    network.addresses["client.example"] = [f"8.8.8.{number}" for number in range(200)]
    error = refusal(network.fetcher(), URL)
    assert str(error) == "The host must take connections."
    assert error.retry_after == 10
    assert len(network.connected) == 4


def test_no_proxy_of_the_environment_is_used(
    private: list[Listener], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = private[0].place
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{host}:{port}")
    with listening(answering(OK)) as listener:
        network.places[PUBLIC] = listener.place
        assert network.fetcher()(URL).body == b"{}"
        assert listener.contacts == 1


# ---- What is sent, and the context


@requirement("RFC7591-5-16")
def test_nothing_is_sent_but_the_url() -> None:
    with published() as documents:
        documents.put(URL, {}, set_cookie="session=1; Path=/")
        documents.fetcher(URL)
        documents.fetcher(URL, client_id="secret-client")
        assert len(set(documents.heads)) == 1
        names = [line.partition(":")[0] for line in documents.heads[0].splitlines()[1:-1]]
        assert names == ["Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"]
        assert "Accept-Encoding: identity\r\n" in documents.heads[0]


def test_a_context_has_to_check_names_and_certificates() -> None:
    context = certificate_authority().trusting()
    context.check_hostname = False
    with pytest.raises(ConfigurationError, match="check host names"):
        GuardedFetcher(context=context)


def test_a_context_has_to_take_tls_of_today() -> None:
    context = certificate_authority().trusting()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.raises(ConfigurationError, match=r"TLS 1\.2"):
        GuardedFetcher(context=context)
