"""Where a client's redirect URIs and pages are."""

from collections.abc import Iterator, Mapping
from typing import Any

from flask_dynreg.hosts import is_on_this_device
from flask_dynreg.metadata.uris import URI, parsed

Metadata = Mapping[str, Any]

PAGES = frozenset({"client_uri", "logo_uri", "tos_uri", "policy_uri"})
_WEB = ("http", "https")


def redirects_of(metadata: Metadata) -> list[URI]:
    """The redirect URIs that are such."""
    return [uri for value in metadata.get("redirect_uris", ()) if (uri := parsed(value))]


def redirect_hosts(metadata: Metadata) -> tuple[str, ...]:
    """Each once: host names in small letters without a port, and private-use schemes as `com.example.app:`."""
    return tuple(dict.fromkeys(_shown(uri) for uri in redirects_of(metadata)))


def _shown(uri: URI) -> str:
    return uri.host or "" if uri.scheme in _WEB else f"{uri.scheme}:"


def leads_to_this_device(uri: URI) -> bool:
    """Whether programs on the user's device may take the answer: loopback addresses and private-use schemes."""
    return uri.scheme not in _WEB or is_on_this_device(uri.host or "")


def strange_pages(metadata: Metadata) -> list[str] | None:
    """The members whose page has not exactly the scheme and host of a redirect URI (RFC 7591 section 5).

    None where there is no page, or no redirect URI on the web to compare it with.
    """
    own = {(uri.scheme, uri.host) for uri in redirects_of(metadata) if not leads_to_this_device(uri)}
    pages = dict(_pages(metadata))
    if not pages or not own:
        return None
    return [member for member, page in pages.items() if page is None or (page.scheme, page.host) not in own]


def _pages(metadata: Metadata) -> Iterator[tuple[str, URI | None]]:
    for member, value in metadata.items():
        if member.partition("#")[0] in PAGES:
            yield member, parsed(value)
