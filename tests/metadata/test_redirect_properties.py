"""What holds for every redirect URI, however hostile."""

import ipaddress
import re
import string
from urllib.parse import urlsplit

from hypothesis import assume, given
from hypothesis import strategies as st

from flask_dynreg import RegisteredClientMixin
from tests.hostile import text
from tests.metadata.checking import APP, client
from tests.metadata.uris import KNOWN, LOOPBACK, NOT_SOUND, PRIVATE, WEB

HOSTS = [
    "app.example",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "127.1",
    "0x7f.1",
    "publisher.extension",
    "vscode.git",
    "1",
    "",
]
SCHEMES = [
    "https",
    "http",
    "HTTP",
    "com.example.app",
    "vscode",
    "cursor",
    "javascript",
    "data",
    "myapp",
    "localhost",
    "",
]
PIECES = [
    *"/?#@:\\.%*;&=_-~!$'()+,[]{}<>|^`\" \t\r\n\0\x7f",
    "//",
    "..",
    "%2e",
    "%2F",
    "%",
    "\u3002",
    "\uff0f",
    "\u202e",
]

pieces = st.lists(st.sampled_from(PIECES) | st.text(string.ascii_letters + string.digits, max_size=3), max_size=4)
joined = pieces.map("".join)
built = st.builds(
    lambda scheme, slashes, user, host, port, rest: scheme + slashes + user + host + port + rest,
    st.sampled_from(SCHEMES),
    st.sampled_from([":", ":/", "://", ":///", ":\\\\", "//", ""]),
    st.just("") | joined,
    st.sampled_from(HOSTS) | joined,
    st.sampled_from(["", ":", ":1", ":65535", ":65536", ":x", ":1:2", ":%31"]),
    st.sampled_from(["", "/", "/cb", "/cb?x=1", "?x"]) | joined,
)
known = st.sampled_from([*WEB, *LOOPBACK, *PRIVATE, *KNOWN, *(uri for uris in NOT_SOUND.values() for uri in uris)])


@st.composite
def changed(draw: st.DrawFn, uris: st.SearchStrategy[str] = known) -> str:
    """A URI in which a piece is put in or replaced."""
    uri = draw(uris)
    start = draw(st.integers(0, len(uri)))
    end = draw(st.integers(start, min(len(uri), start + 3)))
    return uri[:start] + draw(joined) + uri[end:]


def is_sound(uri: str) -> bool:
    return APP.pointers(redirect_uris=[uri]) == []


def sound_of(uris: st.SearchStrategy[str], instead: list[str]) -> st.SearchStrategy[str]:
    """What is sound of these URIs, else one of those that are known to be."""
    return st.tuples(uris, st.sampled_from(instead)).map(lambda pair: pair[0] if is_sound(pair[0]) else pair[1])


any_uri = built | known | changed() | text
sound = sound_of(any_uri, [*WEB, *LOOPBACK, *PRIVATE, *KNOWN])
sound_web = sound_of(changed(st.sampled_from([*WEB, *LOOPBACK])), [*WEB, *LOOPBACK])
loopback = st.builds(
    "http://{}{}{}".format,
    st.sampled_from(["127.0.0.1", "[::1]", "localhost"]),
    st.sampled_from(["", ":1", ":80", ":65535"]),
    st.sampled_from(["", "/", "/cb", "?x", "/cb?x", "/cb?"]),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A sound URI, and another that is often like it."""
    registered = draw(loopback | sound)
    return registered, draw(loopback | changed(st.just(registered)) | any_uri)


@given(any_uri)
def test_whatever_it_is_it_is_registered_as_it_is_or_refused_by_its_name(uri: str) -> None:
    pointers = APP.pointers(redirect_uris=[uri])
    assert pointers in ([], ["/redirect_uris/0"])
    if not pointers:
        assert APP.registered(redirect_uris=[uri])["redirect_uris"] == [uri]


@given(sound)
def test_what_is_accepted_is_ascii_without_fragment_user_blank_control_and_backslash(uri: str) -> None:
    assert uri.isascii() and uri.isprintable() and len(uri) <= 2048
    assert not set(uri) & set(' #\\*<>"{}|^`')
    authority = uri.partition("//")[2].partition("/")[0].partition("?")[0]
    assert "@" not in authority


@given(sound)
def test_what_is_accepted_has_a_scheme_that_is_allowed(uri: str) -> None:
    scheme = uri.partition(":")[0].lower()
    authority = re.match("[^:]*://([^/?]*)", uri)
    if scheme == "http":
        assert authority and re.sub(":[0-9]+$", "", authority[1].lower()) in ("127.0.0.1", "[::1]", "localhost")
    elif "." in scheme:
        assert uri[len(scheme) + 1] == "/"
    elif scheme != "https":
        assert scheme in {uri.partition(":")[0].lower() for uri in KNOWN} and authority and authority[1]
        assert not authority[1].lower().startswith(("vscode.", "ms-vscode"))


@given(sound_web)
def test_every_reader_finds_the_same_host_in_what_is_accepted(uri: str) -> None:
    host = urlsplit(uri).hostname
    written = re.match(r"[^:]*://(\[[^\]]+\]|[^/?:]+)", uri)
    assert host and written and written[1].strip("[]").lower() == host
    last = host.rpartition(".")[2]
    if ":" in host or last.isdigit() or re.fullmatch("0x[0-9a-f]*", last):
        ipaddress.ip_address(host)  # a browser reads such a name as an address of IPv4: it is one in the usual spelling
    else:
        assert re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", host) and len(host) <= 253


@given(sound)
def test_what_is_accepted_matches_itself(uri: str) -> None:
    assert client(redirect_uris=["https://other.example/", uri]).check_redirect_uri(uri)


@given(pairs())
def test_what_matches_and_is_not_registered_differs_in_the_port_of_a_loopback_uri_alone(pair: tuple[str, str]) -> None:
    registered, requested = pair
    assume(registered != requested)
    one = client(redirect_uris=[registered])
    if not one.check_redirect_uri(requested):
        return
    left, right = urlsplit(registered), urlsplit(requested)
    assert requested.isascii() and requested.isprintable() and not set(requested) & set(" #\\@")
    assert left.scheme == right.scheme == "http"
    assert left.hostname == right.hostname and left.hostname in ("127.0.0.1", "::1", "localhost")
    assert (left.path or "/", left.query) == (right.path or "/", right.query)
    assert ("?" in registered) == ("?" in requested)


@given(pairs())
def test_whether_two_uris_match_does_not_depend_on_which_is_registered(pair: tuple[str, str]) -> None:
    def matches(one: RegisteredClientMixin, uri: str) -> bool:
        return one.check_redirect_uri(uri)

    first, second = pair
    assert matches(client(redirect_uris=[first]), second) == matches(client(redirect_uris=[second]), first)


@given(text | any_uri)
def test_whatever_is_requested_nothing_breaks(requested: str) -> None:
    assert client(redirect_uris=[*WEB, *LOOPBACK]).check_redirect_uri(requested) in (True, False)
