"""Which redirect URIs an authorization request may use (RFC 8252 section 7.3, RFC 9700 section 2.1 and 4.1.3)."""

import pytest

from flask_dynreg import RegisteredClientMixin
from tests.metadata import checking

HOSTS = ["127.0.0.1", "[::1]", "localhost"]


def client(*redirect_uris: str) -> RegisteredClientMixin:
    return checking.client(redirect_uris=list(redirect_uris))


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "https://app.example",
        "https://app.example/cb?x=1",
        "HTTPS://App.Example/CB",
        "http://127.0.0.1:1234/cb",
        "HTTP://LOCALHOST/cb",
        "com.example.app:/cb",
        "cursor://anysphere.cursor-mcp/cb",
    ],
)
def test_a_registered_uri_may_be_used(uri: str) -> None:
    assert client("https://other.example/", uri).check_redirect_uri(uri)


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("https://app.example/cb", "https://app.example/cb/"),
        ("https://app.example/cb", "https://app.example/CB"),
        ("https://app.example/cb", "https://APP.example/cb"),
        ("https://app.example/cb", "HTTPS://app.example/cb"),
        ("https://app.example/cb", "http://app.example/cb"),
        ("https://app.example/cb", "https://app.example:443/cb"),
        ("https://app.example:8443/cb", "https://app.example:8444/cb"),
        ("https://app.example/cb", "https://app.example/cb?"),
        ("https://app.example/cb", "https://app.example/cb?x=1"),
        ("https://app.example/cb?x=1", "https://app.example/cb"),
        ("https://app.example/cb", "https://app.example/cb#"),
        ("https://app.example/cb", "https://app.example/cb#x"),
        ("https://app.example/cb", "https://app.example/%63b"),
        ("https://app.example/cb", "https://app.example/x/../cb"),
        ("https://app.example/cb", "https://app.example//cb"),
        ("https://app.example/cb", "https://u@app.example/cb"),
        ("https://app.example/cb", "https://sub.app.example/cb"),
        ("https://app.example/cb", "https://app.example.evil.example/cb"),
        ("https://app.example/cb", "https://app.example/c"),
        ("https://app.example/cb", "https://app.example/cb\n"),
        ("https://app.example/cb", ""),
        ("https://app.example", "https://app.example/"),
        ("https://localhost:1234/cb", "https://localhost:1235/cb"),
        ("com.example.app:/cb", "com.example.app://cb"),
        ("com.example.app://cb:1/x", "com.example.app://cb:2/x"),
        ("cursor://anysphere.cursor-mcp/cb", "cursor://anysphere.cursor-mcp:1/cb"),
    ],
)
def test_any_other_uri_may_not(registered: str, requested: str) -> None:
    assert not client(registered).check_redirect_uri(requested)
    assert not client(requested).check_redirect_uri(registered)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("rest", ["/cb", "/cb?x=1", "/", "", "?x=1", "/cb?"])
def test_any_port_will_do_on_loopback(host: str, rest: str) -> None:
    ports = ["", ":1", ":80", ":8080", ":65535"]
    for registered in ports:
        for requested in ports:
            assert client(f"http://{host}{registered}{rest}").check_redirect_uri(f"http://{host}{requested}{rest}")


@pytest.mark.parametrize("registered", HOSTS)
@pytest.mark.parametrize("requested", [*HOSTS, "127.0.0.2", "[::2]", "[0:0:0:0:0:0:0:1]", "LOCALHOST", "127.1"])
def test_every_loopback_host_stands_for_itself_alone(registered: str, requested: str) -> None:
    matches = client(f"http://{registered}:1/cb").check_redirect_uri(f"http://{requested}:2/cb")
    assert matches is (registered == requested)


@pytest.mark.parametrize("host", HOSTS)
def test_an_empty_path_on_loopback_is_the_path_of_the_root(host: str) -> None:
    assert client(f"http://{host}").check_redirect_uri(f"http://{host}:80/")
    assert client(f"http://{host}:1/").check_redirect_uri(f"http://{host}:2")
    assert client(f"http://{host}/?x").check_redirect_uri(f"http://{host}?x")
    assert not client(f"http://{host}/cb").check_redirect_uri(f"http://{host}")


@pytest.mark.parametrize(
    "requested",
    [
        "https://127.0.0.1:2/cb",
        "HTTP://127.0.0.1:2/cb",
        "http://127.0.0.1:2/CB",
        "http://127.0.0.1:2/cb/",
        "http://127.0.0.1:2/cb?x=1",
        "http://127.0.0.1:2/cb?",
        "http://127.0.0.1:2/cb#",
        "http://127.0.0.1:2/cb#x",
        "http://127.0.0.1:2@evil.example/cb",
        "http://u@127.0.0.1:2/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:+2/cb",
        "http://127.0.0.1:\uff12/cb",
        "http://127.0.0.1:2\n/cb",
        "http://127.0.0.1:2/cb\n",
        "http://127.0.0.1:2\\cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:2.evil.example/cb",
        "http:127.0.0.1:2/cb",
        "http://:2/cb",
        "http://127.0.0.1:2//cb",
        "http://127.0.0.1:2/x/../cb",
        "http://127.0.0.1:2/%63b",
        "http://127.0.0.1:123456/cb",
    ],
)
def test_on_loopback_nothing_differs_but_the_port(requested: str) -> None:
    assert not client("http://127.0.0.1:1/cb").check_redirect_uri(requested)


def test_uris_that_differ_in_the_port_alone_are_matched_by_either() -> None:
    two = client("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb")
    assert all(two.check_redirect_uri(f"http://127.0.0.1:{port}/cb") for port in (1, 2, 3))


def test_nothing_matches_a_client_without_redirect_uris() -> None:
    assert not client().check_redirect_uri("https://app.example/cb")
    assert not checking.client().check_redirect_uri("https://app.example/cb")


def test_the_default_redirect_uri_is_the_only_one_that_is_registered() -> None:
    assert client("https://app.example/cb").get_default_redirect_uri() == "https://app.example/cb"
    assert client("https://app.example/1", "https://app.example/2").get_default_redirect_uri() is None
    assert client().get_default_redirect_uri() is None
