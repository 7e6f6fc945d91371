"""Hosts of the public network, by their text and by their addresses. Nothing here is ever looked up."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})
"""Those where plain http will do (RFC 8252 section 7.3)."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_HOST = 253
_LARGEST_PORT = 65535
# Names that are never a host of the public network: RFC 6761, RFC 6762, RFC 8375, RFC 7686, RFC 9476 and ICANN's .internal.
_NOT_PUBLIC = re.compile(
    r"(?:.*\.)?(?:localhost|local|localdomain|internal|intranet|private|corp|home|lan|home\.arpa|test|invalid|onion|alt)"
)

# The registries of RFC 6890 as they are today, written out: `is_global` of the standard library is another thing in each
# version of Python, and lets multicast, 6to4, NAT64 and site-local addresses pass. Relays that anybody may reach (AMT, AS112,
# the anycast addresses within 192.0.0.0/24 and 2001::/23) are in it: no document is served there.
SPECIAL_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared, behind a carrier's translation
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, with the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# All that IPv6 hands out to hosts of the public network. What lies outside is not written out: loopback, IPv4-mapped,
# 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64), 100::/64 (discard), 5f00::/16 (segment routing), ULA, link- and site-local, multicast.
GLOBAL_UNICAST_IPV6 = ipaddress.IPv6Network("2000::/3")
SPECIAL_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocols: Teredo, benchmarks, ORCHID, drones, ...
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the 6bone, given back
        "3fff::/20",  # documentation
    )
)


def is_global_unicast(address: Address) -> bool:
    """Whether it is the address of one host of the public network."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_IPV4)
    return (
        address.scope_id is None
        and address in GLOBAL_UNICAST_IPV6
        and not any(address in network for network in SPECIAL_IPV6)
    )


def address(host: str) -> Address | None:
    """The address, if the host is an IP literal in its usual spelling."""
    literal = host[1:-1] if host.startswith("[") else host
    try:
        found = ipaddress.ip_address(literal)
    except ValueError:
        return None
    return found if (found.version == 6) == host.startswith("[") else None


def is_host_name(host: str) -> bool:
    """Whether it is a name in small letters, as a certificate or the authority of a URL has it."""
    # Browsers read a host whose last label is a number as an IPv4 address in one of many spellings.
    last = host.rpartition(".")[2]
    number = last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last)
    return len(host) <= _LONGEST_HOST and not number and _HOST_NAME.fullmatch(host) is not None


def host_and_port(authority: str) -> tuple[str, int | None] | None:
    """The host in small letters, and the port if one is written; None if the authority is not a sound one of ASCII.

    An authority with user information is none.
    """
    match = _AUTHORITY.fullmatch(authority)
    if not match:
        return None
    host, port = match["host"].lower(), int(match["port"]) if match["port"] else None
    if (port is not None and not 0 < port <= _LARGEST_PORT) or not (is_host_name(host) or address(host)):
        return None
    return host, port


def is_on_this_device(host: str) -> bool:
    """Whether a sound host is the device on which it is looked up, in whatever spelling."""
    literal = address(host)
    return literal.is_loopback if literal else host == "localhost" or host.endswith(".localhost")


def looks_public(host: str) -> bool:
    """Whether a sound host could be one of the public network, as far as its text tells."""
    literal = address(host)
    if literal:
        return is_global_unicast(literal)
    return "." in host and not _NOT_PUBLIC.fullmatch(host)
