"""Which addresses and names are of the public network (the registries of RFC 6890 as IANA has them today)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg.hosts import Address, address, host_and_port, is_global_unicast, looks_public

# Written out once more, and more closely than the table has it: each is a range that someone would like us to reach.
SPECIAL = [
    *("0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "169.254.169.254/32"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.170/31", "192.0.2.0/24"),
    *("192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
    *(
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "224.0.0.0/24",
        "232.0.0.0/8",
        "233.252.0.0/24",
        "239.0.0.0/8",
    ),
    *("240.0.0.0/4", "255.255.255.255/32"),
    *("::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:8.8.8.8/128", "::ffff:0:0:0/96", "64:ff9b::/96"),
    *("64:ff9b::808:808/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "200::/7", "2001::/23", "2001::/32"),
    *(
        "2001:1::1/128",
        "2001:1::2/128",
        "2001:2::/48",
        "2001:3::/32",
        "2001:4:112::/48",
        "2001:10::/28",
        "2001:20::/28",
    ),
    *("2001:30::/28", "2001:db8::/32", "2002::/16", "2002:7f00:1::/48", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20"),
    *("4000::/2", "5f00::/16", "8000::/1", "fc00::/7", "fd00:ec2::254/128", "fe80::/10", "fec0::/10", "ff00::/8"),
    *("ff02::1/128", "ff0e::/16"),
]
PUBLIC = [
    *("1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "100.63.255.255", "100.128.0.0"),
    *(
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
    ),
    *("192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255"),
    *("198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255"),
    *("2000::1", "2000:ffff::", "2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::1", "2606:4700:4700::1111"),
    *("2620:4f:7fff::1", "2620:4f:8001::1", "2a00:1450::1", "3ffd::1", "3fff:1000::"),
]
NOT_HOSTS = [
    *(
        "localhost",
        "localhost.localdomain",
        "x.localhost",
        "router.local",
        "db.internal",
        "wiki.corp",
        "printer.home.arpa",
    ),
    *(
        "intranet",
        "app",
        "redis",
        "a.onion",
        "a.test",
        "a.invalid",
        "x.alt",
        "x.lan",
        "x.home",
        "x.private",
        "x.intranet",
    ),
]


def addresses_within(network: str) -> st.SearchStrategy[Address]:
    return st.ip_addresses(network=network)


@pytest.mark.parametrize("network", SPECIAL)
def test_no_range_for_a_special_purpose_is_public_from_its_first_to_its_last_address(network: str) -> None:
    found = ipaddress.ip_network(network)
    assert not is_global_unicast(found[0])
    assert not is_global_unicast(found[-1])


@given(st.sampled_from(SPECIAL).flatmap(addresses_within))
def test_no_address_for_a_special_purpose_is_public(address: Address) -> None:
    assert not is_global_unicast(address)


@given(st.ip_addresses())
def test_what_is_public_here_is_global_for_the_standard_library_too(address: Address) -> None:
    assert not is_global_unicast(address) or (address.is_global and not address.is_multicast)


@pytest.mark.parametrize("text", PUBLIC)
def test_the_public_network_goes_up_to_the_edges_of_the_ranges(text: str) -> None:
    assert is_global_unicast(ipaddress.ip_address(text))
    assert looks_public(f"[{text}]" if ":" in text else text)


def test_an_address_with_a_scope_is_for_this_link_only() -> None:
    assert not is_global_unicast(ipaddress.ip_address("2606:4700::1%eth0"))


@pytest.mark.parametrize("host", [*NOT_HOSTS, "127.0.0.1", "[::1]", "[::ffff:8.8.8.8]", "10.1.2.3", "[fe80::1]"])
def test_hosts_that_are_not_public_are_known_by_their_text(host: str) -> None:
    assert not looks_public(host)


@pytest.mark.parametrize(
    "host", ["client.example", "a.b.example", "xn--bcher-kva.example", "locals.example", "mylocal.net"]
)
def test_hosts_that_may_be_public(host: str) -> None:
    assert looks_public(host)


@pytest.mark.parametrize(
    ("authority", "found"),
    [
        ("Client.Example", ("client.example", None)),
        ("client.example:443", ("client.example", 443)),
        ("client.example:65535", ("client.example", 65535)),
        ("[2606:4700::1]:8443", ("[2606:4700::1]", 8443)),
        ("8.8.8.8", ("8.8.8.8", None)),
        ("client.example:0", None),
        ("client.example:65536", None),
        ("client.example:", None),
        ("client.example.", None),
        ("client_.example-:1", None),
        ("u@client.example", None),
        ("\u212aelvin.example", None),
        ("2606:4700::1", None),
        ("[8.8.8.8]", None),
        ("0x7f.1", None),
        ("2130706433", None),
        ("127.1", None),
        ("client.0", None),
        ("", None),
    ],
)
def test_an_authority_is_a_host_and_perhaps_a_port(authority: str, found: tuple[str, int | None] | None) -> None:
    assert host_and_port(authority) == found


def test_an_address_is_one_in_its_usual_spelling_only() -> None:
    assert address("8.8.8.8") == ipaddress.ip_address("8.8.8.8")
    assert address("[2606:4700::1]") == ipaddress.ip_address("2606:4700::1")
    for host in ("8.8.8.08", "[8.8.8.8]", "2606:4700::1", "8.8.8", "client.example"):
        assert address(host) is None
