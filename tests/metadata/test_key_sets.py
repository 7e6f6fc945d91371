"""A client's own keys: `jwks` and `jwks_uri` (RFC 7591 section 2, RFC 7517, OpenID Connect Registration section 2)."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import json_values, text
from tests.metadata.checking import APP, REDIRECT
from tests.metadata.keys import certificate, ec_jwk, okp_jwk, private_parts, rsa_jwk, rsa_jwk_of

MEMBERS = [
    "kty",
    "kid",
    "use",
    "key_ops",
    "alg",
    "n",
    "e",
    "crv",
    "x",
    "y",
    "x5c",
    "x5u",
    "x5t",
    "x5t#S256",
    "d",
    "k",
    "ext",
    "iat",
    "foo",
]
PRIVATE = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]


def pointers(*keys: Any) -> list[str]:
    return APP.pointers(**REDIRECT, jwks={"keys": list(keys)})


def told(jwks: Any) -> str:
    (problem,) = APP.problems(**REDIRECT, jwks=jwks)
    assert problem.pointer.startswith("/jwks")
    return problem.description


@pytest.mark.parametrize(
    "key",
    [
        rsa_jwk(),
        rsa_jwk(kid="1", use="sig", alg="RS256"),
        rsa_jwk(use="enc", alg="RSA-OAEP"),
        rsa_jwk(key_ops=["verify"], x5t="x", foo={"bar": [1]}),
        rsa_jwk_of(2048),
        rsa_jwk_of(4096),
        rsa_jwk_of(8192),
        ec_jwk(),
        ec_jwk("P-384"),
        ec_jwk("P-521", use="sig", kid="\u00e9"),
        ec_jwk("secp256k1"),
        okp_jwk(),
        okp_jwk("Ed448"),
        okp_jwk("X25519", use="enc"),
    ],
)
def test_a_public_key_is_registered_as_it_is(key: dict[str, Any]) -> None:
    jwks = {"keys": [key], "other": 1}
    assert json.dumps(APP.registered(**REDIRECT, jwks=copy.deepcopy(jwks))["jwks"]) == json.dumps(jwks)


@pytest.mark.parametrize(
    "jwks",
    [
        json.dumps({"keys": [ec_jwk()]}),
        [ec_jwk()],
        ec_jwk(),
        {},
        {"keys": None},
        {"keys": ec_jwk()},
        {"keys": "x"},
        1,
        True,
    ],
)
def test_what_is_no_key_set_is_refused(jwks: Any) -> None:
    assert "must be a JWK Set" in told(jwks)


def test_a_key_set_has_1_to_32_keys() -> None:
    assert "1 to 32" in told({"keys": []})
    keys = [ec_jwk(kid=str(number)) for number in range(33)]
    assert pointers(*keys[:32]) == []
    assert "1 to 32" in told({"keys": keys})


@pytest.mark.parametrize("key", [None, "x", 1, [], [ec_jwk()], {}, {"kty": None}, {"kty": 1}, {"kty": ["EC"]}])
def test_what_is_no_key_is_refused_by_its_number(key: Any) -> None:
    assert pointers(ec_jwk(), key) == ["/jwks/keys/1"]


def test_every_unsound_key_is_named() -> None:
    assert pointers({}, ec_jwk(), rsa_jwk_of(1024), okp_jwk(), 1) == [f"/jwks/keys/{number}" for number in (0, 2, 4)]


# ---- Secret keys


@pytest.mark.parametrize("key", [rsa_jwk(), ec_jwk(), okp_jwk()], ids=["RSA", "EC", "OKP"])
def test_a_private_key_is_refused_and_the_client_is_told_not_to_use_it_any_more(key: dict[str, Any]) -> None:
    assert "must not be used any more" in told({"keys": [key | private_parts(key)]})
    for name, value in private_parts(key).items():
        assert "must not be used any more" in told({"keys": [key | {name: value}]})


@pytest.mark.parametrize("kty", ["RSA", "EC", "OKP", "oct", "AKP", "unknown"])
@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("value", ["AQAB", "", None, []])
def test_no_member_of_a_secret_key_is_let_in_whatever_the_type(kty: str, name: str, value: Any) -> None:
    assert pointers(ec_jwk(), {"kty": kty, name: value}) == ["/jwks/keys/1"]


def test_a_symmetric_key_is_refused() -> None:
    assert "must be a public key" in told({"keys": [{"kty": "oct", "k": "AQAB"}]})
    assert "must be a public key" in told({"keys": [{"kty": "oct"}]})


# ---- Types that nobody knows


def test_a_key_of_an_unknown_type_counts_as_not_there() -> None:
    unknown = {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "kid": "1", "use": 1, "x5c": "x"}
    assert pointers(ec_jwk(kid="1", use="sig"), unknown, unknown) == []
    assert "must have a key of type RSA, EC or OKP" in told({"keys": [unknown]})
    assert pointers({"kty": "ec"}, {"kty": "rsa"}, {"kty": ""}) == ["/jwks"]


# ---- Between keys


def test_a_kid_is_there_once() -> None:
    assert "kid only once" in told({"keys": [ec_jwk(kid="1"), okp_jwk(kid="1")]})
    assert pointers(ec_jwk(kid="1"), okp_jwk(kid="2"), rsa_jwk()) == []
    assert pointers(ec_jwk(), okp_jwk()) == []
    assert pointers(ec_jwk(kid="a"), okp_jwk(kid="A")) == []


@pytest.mark.parametrize(
    ("keys", "fine"),
    [
        ([ec_jwk(use="sig"), okp_jwk("X25519", use="enc")], True),
        # both kinds, whatever tells them
        ([okp_jwk(), okp_jwk("X25519")], False),
        ([ec_jwk(use="sig"), okp_jwk("X25519")], False),
        ([okp_jwk(), okp_jwk("X25519", use="enc")], False),
        ([ec_jwk(alg="ES256"), rsa_jwk(alg="RSA-OAEP")], False),
        ([ec_jwk(key_ops=["verify"]), rsa_jwk(key_ops=["wrapKey"])], False),
        ([ec_jwk(use="sig"), okp_jwk(), rsa_jwk(use="enc")], False),
        # one kind
        ([ec_jwk(use="sig"), okp_jwk()], True),
        ([ec_jwk(use="sig"), rsa_jwk(alg="PS256")], True),
        ([ec_jwk(use="sig"), ec_jwk("secp256k1"), rsa_jwk(key_ops=["verify"])], True),
        ([rsa_jwk(use="enc"), okp_jwk("X25519")], True),
        ([rsa_jwk(use="enc"), ec_jwk(alg="ECDH-ES")], True),
        ([ec_jwk(use="sig"), okp_jwk(use="sig")], True),
        # a key for both is one of the other kind only where `use` is spoken of
        ([ec_jwk()], True),
        ([ec_jwk(), rsa_jwk()], True),
        ([ec_jwk(), okp_jwk()], True),
        ([ec_jwk(use="sig"), rsa_jwk()], False),
        ([ec_jwk(), okp_jwk("X25519", use="enc")], False),
        # what nobody knows is of no kind
        ([ec_jwk(use="sig"), rsa_jwk(alg="new")], True),
        ([ec_jwk(use="sig"), {"kty": "new"}], True),
    ],
)
def test_every_key_of_a_set_of_both_kinds_says_what_it_is_for(keys: list[Any], fine: bool) -> None:
    for ordered in (keys, keys[::-1]):
        assert pointers(*ordered) == ([] if fine else ["/jwks"])
        assert fine or "must have use on every key" in told({"keys": ordered})


# ---- Keys that are none


@pytest.mark.parametrize("name", ["kid", "use", "alg"])
@pytest.mark.parametrize("value", [None, "", 1, True, ["x"], {"x": 1}, "x" * 4097])
def test_a_name_in_a_key_is_text_of_1_to_4096_characters(name: str, value: Any) -> None:
    assert pointers(ec_jwk(**{name: value})) == ["/jwks/keys/0"]


@pytest.mark.parametrize("use", ["Sig", "signature", "sig ", "tls"])
def test_a_use_is_sig_or_enc(use: str) -> None:
    assert "must have sig or enc as its use" in told({"keys": [ec_jwk(use=use)]})


@pytest.mark.parametrize("bits", [8, 1024, 2047, 8193, 16384])
def test_an_rsa_key_has_2048_to_8192_bits(bits: int) -> None:
    assert "2048 to 8192 bits" in told({"keys": [rsa_jwk_of(bits)]})


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "RSA"},
        {"kty": "RSA", "n": rsa_jwk()["n"]},
        {"kty": "RSA", "e": "AQAB"},
        rsa_jwk(n="!"),
        rsa_jwk(n="\u00e9"),
        rsa_jwk(n=5),
        rsa_jwk(e=""),
        rsa_jwk(e="AA"),
        rsa_jwk(e="AQ"),
        rsa_jwk(e="Ag"),
        rsa_jwk(e=65537),
        rsa_jwk(e=rsa_jwk()["n"] + "AAAA"),
        {"kty": "EC"},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": ec_jwk()["x"]},
        ec_jwk(crv="P-384"),
        ec_jwk(crv="P-257"),
        ec_jwk(crv="p-256"),
        ec_jwk(crv=None),
        ec_jwk(crv=["P-256"]),
        ec_jwk(x="AAAA", y="AAAA"),
        ec_jwk(y=ec_jwk()["x"]),
        ec_jwk(x="A" * 4096),
        {"kty": "OKP"},
        {"kty": "OKP", "crv": "Ed25519"},
        okp_jwk(crv="Ed448"),
        okp_jwk(crv="Ed25519 "),
        okp_jwk(x="AAAA"),
        okp_jwk(x=1),
    ],
)
def test_what_is_no_sound_key_of_its_type_is_refused(key: dict[str, Any]) -> None:
    assert pointers(key) == ["/jwks/keys/0"]


# ---- Certificates


@pytest.mark.parametrize("key", [rsa_jwk(), ec_jwk(), okp_jwk()], ids=["RSA", "EC", "OKP"])
def test_a_key_may_come_with_its_certificate(key: dict[str, Any]) -> None:
    certified = key | {"x5c": [certificate(key["kty"])]}
    assert APP.registered(**REDIRECT, jwks={"keys": [certified]})["jwks"] == {"keys": [certified]}
    issuers = key | {"x5c": [certificate(key["kty"]), certificate("EC"), certificate("RSA")]}
    assert pointers(issuers) == []


@pytest.mark.parametrize(
    "chain",
    [
        None,
        "",
        certificate("EC"),
        {"0": certificate("EC")},
        [],
        [None],
        [1],
        [[certificate("EC")]],
        [""],
        ["x"],
        ["!"],
        ["AAAA"],
        ["\u00e9"],
        [certificate("RSA")],
        [certificate("OKP")],
        [certificate("RSA"), certificate("EC")],
        [certificate("EC")[:-8]],
        [certificate("EC") + "AAAA"],
        [certificate("EC").replace("+", "-").replace("/", "_") + "-"],
        ["-----BEGIN CERTIFICATE-----\n" + certificate("EC") + "\n-----END CERTIFICATE-----"],
    ],
)
def test_a_certificate_of_another_key_or_none_is_refused(chain: Any) -> None:
    assert "first certificate in x5c" in told({"keys": [ec_jwk(x5c=chain)]})


def test_a_certificate_of_a_key_on_another_curve_is_refused() -> None:
    assert "first certificate in x5c" in told({"keys": [ec_jwk("P-384", x5c=[certificate("EC")])]})


# ---- Hostile ones


@st.composite
def hostile_keys(draw: st.DrawFn) -> Any:
    """A key in which some members are anything, or missing."""
    key = dict(draw(st.sampled_from([rsa_jwk(), ec_jwk(), okp_jwk(), okp_jwk("X25519"), {"kty": "AKP"}, {}])))
    names = st.sampled_from(MEMBERS)
    key |= draw(st.dictionaries(names, json_values | st.text("AQabc-_=+/ ", max_size=90), max_size=4))
    for name in draw(st.lists(names, max_size=2)):
        key.pop(name, None)
    return key


@given(st.lists(hostile_keys() | json_values, max_size=4))
def test_whatever_the_keys_are_they_are_registered_as_they_are_or_refused_by_name(keys: list[Any]) -> None:
    found = pointers(*keys)
    assert all(pointer == "/jwks" or pointer.startswith("/jwks/keys/") for pointer in found)
    if not found:
        assert APP.registered(**REDIRECT, jwks={"keys": keys})["jwks"] == {"keys": keys}
        assert not any(key.keys() & set(PRIVATE) or key["kty"] == "oct" for key in keys)


@given(json_values)
def test_whatever_is_sent_as_a_key_set_is_refused_by_name_or_absent(jwks: Any) -> None:
    found = APP.pointers(**REDIRECT, jwks=jwks)
    assert all(pointer.startswith("/jwks") for pointer in found)
    assert found or jwks in (None, "")


# ---- jwks_uri


@pytest.mark.parametrize(
    "uri",
    [
        "https://client.example/jwks",
        "https://client.example:443/jwks?x=1",
        "https://a.b.client.example",
        "https://93.184.215.14/jwks",
        "https://[2606:4700::1111]/jwks",
        "https://localhost.example/jwks",
        "https://test.example/jwks",
        "HTTPS://Client.Example/jwks",
    ],
)
def test_keys_may_be_on_a_public_host(uri: str) -> None:
    assert APP.registered(**REDIRECT, jwks_uri=uri)["jwks_uri"] == uri


@pytest.mark.parametrize(
    "uri",
    [
        1,
        ["https://client.example/jwks"],
        "jwks",
        "/jwks",
        "//client.example/jwks",
        "http://client.example/jwks",
        "http://localhost/jwks",
        "ftp://client.example/jwks",
        "file:///etc/passwd",
        "data:application/json,{}",
        "https:///jwks",
        "https://client.example/jwks#x",
        "https://client.example/jwks#",
        "https://u@client.example/jwks",
        "https://u:p@client.example/jwks",
        "https://client.example/ jwks",
        "https://client.example\\@evil.example/",
        "https://cl\u00efent.example/jwks",
        "https://client.example:0/jwks",
        "https://client.example:65536/jwks",
        "https://client.example/" + "x" * 2048,
    ],
)
def test_what_is_no_https_url_is_refused(uri: Any) -> None:
    assert APP.pointers(**REDIRECT, jwks_uri=uri) == ["/jwks_uri"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "app.localhost",
        "intranet",
        "server.local",
        "server.internal",
        "metadata.google.internal",
        "router.lan",
        "box.home.arpa",
        "x.test",
        "x.invalid",
        "x.onion",
        "x.corp",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",  # noqa: S104 - nothing is bound here
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
    ],
)
def test_keys_are_not_inside_a_network(host: str) -> None:
    assert APP.pointers(**REDIRECT, jwks_uri=f"https://{host}/jwks") == ["/jwks_uri"]
    assert APP.pointers(**REDIRECT, jwks_uri=f"https://{host}:443/") == ["/jwks_uri"]


@pytest.mark.parametrize("port", [1, 22, 80, 444, 8443, 65535])
def test_keys_are_at_the_port_from_which_they_are_fetched(port: int) -> None:
    assert APP.pointers(**REDIRECT, jwks_uri=f"https://client.example:{port}/jwks") == ["/jwks_uri"]


@given(text)
def test_whatever_is_sent_as_an_address_of_keys_is_refused_by_name_or_absent(uri: str) -> None:
    assert APP.pointers(**REDIRECT, jwks_uri=uri) == ["/jwks_uri"] or uri == ""
