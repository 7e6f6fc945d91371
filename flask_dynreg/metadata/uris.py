"""The shape of a URI (RFC 3986) and of the hosts in it. Nothing here is ever looked up."""

import ipaddress
import re
from dataclasses import dataclass

LONGEST = 2048

_ALLOWED = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<slashes>//(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:@\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_HOST = 253
_LARGEST_PORT = 65535
# Names that are never a host of the public network: RFC 6761, RFC 6762, RFC 8375, RFC 7686, RFC 9476 and ICANN's .internal.
_NOT_PUBLIC = re.compile(
    r"(?:.*\.)?(?:localhost|local|localdomain|internal|intranet|private|corp|home|lan|home\.arpa|test|invalid|onion|alt)"
)
# What IPv6 hands out for the public network, and what in it is for protocols, 6to4 or documentation: RFC 6890, RFC 9637.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL = [ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


@dataclass(frozen=True, slots=True)
class URI:
    """A URI taken apart. `scheme` and `host` are in small letters; `host` is None if the authority is not a sound one."""

    scheme: str
    authority: str | None
    host: str | None
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
    host = None if authority is None else _sound_host(authority)
    return URI(scheme.lower(), authority, host, path, query or "", fragment)


def _sound_host(authority: str) -> str | None:
    match = _AUTHORITY.fullmatch(authority)
    if not match or (match["port"] and not 0 < int(match["port"]) <= _LARGEST_PORT):
        return None
    host = match["host"].lower()
    return host if _is_name(host) or address(host) else None


def _is_name(host: str) -> bool:
    # Browsers read a host whose last label is a number as an IPv4 address in one of many spellings.
    last = host.rpartition(".")[2]
    number = last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last)
    return len(host) <= _LONGEST_HOST and not number and _HOST_NAME.fullmatch(host) is not None


def address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, if the host is an IP literal in its usual spelling."""
    literal = host[1:-1] if host.startswith("[") else host
    try:
        found = ipaddress.ip_address(literal)
    except ValueError:
        return None
    return found if (found.version == 6) == host.startswith("[") else None


def looks_public(host: str) -> bool:
    """Whether a host could be one of the public network, as far as its text tells."""
    literal = address(host)
    if isinstance(literal, ipaddress.IPv6Address):
        return literal in _GLOBAL_UNICAST and not any(literal in network for network in _NOT_GLOBAL)
    if literal:
        return literal.is_global and not literal.is_multicast
    return "." in host and not _NOT_PUBLIC.fullmatch(host)


def has_dot_segments(path: str) -> bool:
    """Whether normalisation (RFC 3986 section 5.2.4) would change where the path leads."""
    if "." not in path and "%2" not in path:
        return False
    return any(segment in (".", "..") for segment in re.sub("%2e", ".", path, flags=re.IGNORECASE).split("/"))
