"""The shape of a URI (RFC 3986)."""

import re
from dataclasses import dataclass

from flask_dynreg.hosts import host_and_port, looks_public
from flask_dynreg.outbound import HTTPS_PORT

LONGEST = 2048

_ALLOWED = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<slashes>//(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)


@dataclass(frozen=True, slots=True)
class URI:
    """A URI taken apart. `scheme` and `host` are in small letters; `host` is None if the authority is not a sound one, and `port`
    if none is written."""

    scheme: str
    authority: str | None
    host: str | None
    port: int | None
    path: str
    query: str
    fragment: str | None


def parsed(value: str) -> URI | None:
    """The parts, or None if the text is not a URI: RFC 3986 is ASCII, and nothing is repaired as browsers do."""
    if len(value) > LONGEST or not _ALLOWED.fullmatch(value):
        return None
    match = _PARTS.fullmatch(value)
    if not match:
        return None
    scheme, _, authority, path, query, fragment = match.groups()
    host, port = (host_and_port(authority) if authority else None) or (None, None)
    return URI(scheme.lower(), authority, host, port, path, query or "", fragment)


def secure_fault(value: str, *, public: bool = False, fetched: bool = False) -> str | None:
    """What would be right about an https URL. One that is asked from here must be `public`: not lead inside a network; and one
    whose document is `fetched` must have the port of https besides.
    """
    uri = parsed(value)
    if uri is None or uri.scheme != "https" or not uri.host:
        return f"must be an https URL with a host and without user information, of at most {LONGEST} characters."
    if uri.fragment is not None:
        return "must have no fragment."
    if (public or fetched) and not looks_public(uri.host):
        return "must be on a public host."
    if fetched and uri.port not in (None, HTTPS_PORT):
        return f"must have port {HTTPS_PORT}, or none."
    return None


def has_dot_segments(path: str) -> bool:
    """Whether normalisation (RFC 3986 section 5.2.4) would change where the path leads."""
    if "." not in path and "%2" not in path:
        return False
    return any(segment in (".", "..") for segment in re.sub("%2e", ".", path, flags=re.IGNORECASE).split("/"))
