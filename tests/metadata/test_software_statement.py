"""What a software statement decides, and which one is to be believed."""

import time
from collections.abc import Iterable
from string import ascii_letters, digits
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import Key, KeySet

from flask_dynreg.errors import InvalidStatementError, RefusedMetadataError, TemporarilyUnavailableError
from flask_dynreg.metadata.software_statement import (
    SoftwareStatements,
    VerifiedStatement,
    used_before,
)
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.outbound import FetchError
from tests import statements
from tests.conftest import ISSUER
from tests.metadata.checking import REDIRECT, App
from tests.metadata.keys import ec_jwk, rsa_jwk
from tests.statements import DIRECTORY, ec_key, okp_key, public, rsa_key, trusted

NOW = int(time.time())


def statement(key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """One that was issued when the tests began, however long ago that is."""
    return statements.statement(key, header, **{"iat": NOW, **claims})


URIS = ["https://stated.example/1", "https://stated.example/2"]


def registered(issuer: dict[str, Any], claims: dict[str, Any], **sent: Any) -> dict[str, Any]:
    """What is registered with a statement of these claims."""
    app = App(DYNREG_STATEMENT_ISSUERS=[trusted(**issuer)])
    return app.registered(**REDIRECT, **sent, software_statement=statement(**claims))


# ---- What it decides


def test_everything_is_locked_by_default() -> None:
    claims = {
        "client_name": "Stated",
        "scope": "mcp:read",
        "grant_types": ["authorization_code"],
        "redirect_uris": URIS,
    }
    sent = {
        "client_name": "Sent",
        "scope": "mcp:write",
        "grant_types": ["client_credentials"],
        "contacts": ["a@b.example"],
    }
    assert registered({}, claims, **sent).items() >= {**claims, "contacts": ["a@b.example"]}.items()


@pytest.mark.parametrize("empty", [None, ""])
def test_a_claim_that_says_nothing_locks_nothing(empty: object) -> None:
    assert registered({}, {"client_name": empty}, client_name="Sent")["client_name"] == "Sent"


def test_a_language_tag_does_not_get_around_a_lock() -> None:
    claims = {"client_name": "Stated", "client_name#de": "Gesagt", "client_uri#fr": "https://stated.example"}
    sent = {
        **{"client_name#en": "Sent", "client_name#de": "Gesendet", "logo_uri#en": "https://sent.example"},
        **{"client_uri": "https://sent.example", "client_uri#en": "https://sent.example"},
    }
    stored = registered({}, claims, **sent)
    assert {name: value for name, value in stored.items() if "#" in name or name in ("client_name", "client_uri")} == {
        **claims,
        "logo_uri#en": "https://sent.example",
    }


@pytest.mark.parametrize(
    ("claim", "sent"),
    [
        ({"jwks": {"keys": [rsa_jwk()]}}, {"jwks_uri": "https://sent.example/jwks"}),
        ({"jwks_uri": "https://stated.example/jwks"}, {"jwks": {"keys": [rsa_jwk()]}}),
        ({"jwks": {"keys": [rsa_jwk()]}}, {"jwks": {"keys": [ec_jwk()]}}),
    ],
)
def test_one_source_of_keys_is_left(claim: dict[str, Any], sent: dict[str, Any]) -> None:
    stored = registered({}, claim, **sent)
    assert {name: stored[name] for name in ("jwks", "jwks_uri") if name in stored} == claim
    stored = registered({"defaults": ["jwks", "jwks_uri"]}, claim, **sent)
    assert {name: stored[name] for name in ("jwks", "jwks_uri") if name in stored} == sent


@pytest.mark.parametrize("claim", ["jwks", "jwks_uri", "signed_jwks_uri"])
def test_keys_that_a_statement_names_stand_alone_in_a_federation(claim: str) -> None:
    server: dict[str, Any] = {"client_registration_types_supported": ["automatic"]}
    app = App(server, DYNREG_STATEMENT_ISSUERS=[trusted()])
    values: dict[str, Any] = {"jwks": {"keys": [rsa_jwk()]}, "jwks_uri": URIS[0], "signed_jwks_uri": URIS[1]}
    for sent, value in values.items():
        stored = app.registered(**REDIRECT, **{sent: value}, software_statement=statement(**{claim: values[claim]}))
        assert [name for name in values if name in stored] == [claim]


def test_a_client_may_decide_otherwise_where_a_claim_is_a_default() -> None:
    issuer, claims = {"defaults": ["client_name", "client_uri"]}, {"client_name": "Stated", "client_uri": URIS[0]}
    stored = registered(issuer, claims, client_name="Sent", **{"client_name#en": "Sent"})
    assert (stored["client_name"], stored["client_name#en"], stored["client_uri"]) == ("Sent", "Sent", URIS[0])


def test_a_client_may_choose_where_a_claim_is_a_limit() -> None:
    odd: object
    claims: dict[str, Any] = {"redirect_uris": URIS, "scope": "mcp:read offline_access"}
    app = App(DYNREG_STATEMENT_ISSUERS=[trusted(limits=["redirect_uris", "scope"])])
    for sent, uris in ((URIS[1:], URIS[1:]), ([], URIS), (None, URIS), ("", URIS)):
        stored = app.registered(redirect_uris=sent, scope="mcp:write mcp:read", software_statement=statement(**claims))
        assert (stored["redirect_uris"], stored["scope"]) == (uris, "mcp:read")
    sent = [URIS[0], "https://sent.example/cb"]
    error = app.refusal(redirect_uris=sent, client_name=1, software_statement=statement(**claims))
    assert error and error.error == "invalid_redirect_uri"
    assert [problem.pointer for problem in error.problems] == ["/redirect_uris/1", "/client_name"]
    for odd in ("x", {}, 1, [1], [[]], [{}]):
        assert app.pointers(redirect_uris=odd, software_statement=statement(**claims))


def test_a_limit_that_is_no_array_locks() -> None:
    stored = registered({"limits": ["client_name", "scope"]}, {"client_name": "Stated"}, client_name="Sent")
    assert stored["client_name"] == "Stated"
    app = App(DYNREG_STATEMENT_ISSUERS=[trusted(limits=["scope"])])
    assert app.pointers(**REDIRECT, software_statement=statement(scope=["mcp:read"])) == ["/scope"]


def test_claims_may_stand_for_other_names() -> None:
    issuer = {"map": {"software_redirect_uris": "redirect_uris", "org_name": "client_name"}}
    stored = registered(issuer, {"software_redirect_uris": URIS, "org_name": "Org", "client_name": "Plain"})
    assert (stored["redirect_uris"], stored["client_name"]) == (URIS, "Org")
    assert not {"software_redirect_uris", "org_name"} & stored.keys()
    assert registered(issuer, {"client_name": "Plain"})["client_name"] == "Plain"


def test_only_some_claims_may_be_set() -> None:
    claims = {"client_name": "Stated", "client_name#de": "Gesagt", "client_uri": URIS[0], "software_version": 1.5}
    stored = registered({"claims": ["client_name"]}, claims, client_uri=URIS[1])
    assert (stored["client_name"], stored["client_name#de"]) == ("Stated", "Gesagt")
    assert (stored["client_uri"], stored["software_id"]) == (URIS[1], "4NRB1-0XZABZI9E6-5SM3R")
    assert "software_version" not in stored


@pytest.mark.parametrize(
    ("scopes", "stated", "sent", "scope"),
    [
        (["mcp:read"], None, "mcp:read mcp:write", "mcp:read"),
        (["mcp:read", "mcp:write"], None, None, "mcp:read mcp:write"),
        (["mcp:read", "unknown"], None, "", "mcp:read"),
        (["mcp:read"], "mcp:read mcp:write", "mcp:write", "mcp:read"),
        (["mcp:read"], None, "mcp:write", None),
        ([], None, "mcp:write", None),
    ],
)
def test_scopes_are_granted_to_an_issuers_clients(
    scopes: list[str], stated: str | None, sent: str | None, scope: str | None
) -> None:
    assert registered({"scopes": scopes}, {"scope": stated}, scope=sent).get("scope") == scope


@pytest.mark.parametrize(
    ("issuer", "stated", "sent", "scope"),
    [
        ({"scopes": ["mcp:read"]}, None, None, "mcp:read"),
        ({"scopes": ["mcp:read"]}, None, "mcp:write", None),
        ({"scopes": ["mcp:read", "mcp:write"]}, None, "mcp:read", "mcp:read mcp:write"),
        ({"scopes": ["offline_access"]}, "mcp:read", None, None),
        ({}, "mcp:read", "mcp:write", "mcp:read"),
        ({"limits": ["scope"]}, "mcp:read offline_access", "mcp:read", "mcp:read"),
        ({"limits": ["scope"]}, "mcp:read mcp:write", "mcp:read", "mcp:read mcp:write"),
        ({"defaults": ["scope"]}, "mcp:read", None, "mcp:read mcp:write"),
        ({}, None, "mcp:read", "mcp:read mcp:write"),
    ],
)
def test_scopes_that_every_client_gets_are_within_what_a_statement_allows(
    issuer: dict[str, Any], stated: str | None, sent: str | None, scope: str | None
) -> None:
    app = App(DYNREG_STATEMENT_ISSUERS=[trusted(**issuer)], DYNREG_DEFAULT_SCOPES=["mcp:write"])
    assert app.registered(**REDIRECT, scope=sent, software_statement=statement(scope=stated)).get("scope") == scope


def test_what_it_is_about_cannot_be_changed() -> None:
    rules: list[dict[str, Any]] = [{}, {"claims": []}, {"map": {"software_id": "software_version"}}]
    for issuer in rules:
        app = App(DYNREG_STATEMENT_ISSUERS=[trusted(**issuer)])
        stored = app.registered(**REDIRECT, software_id="sent", software_statement=statement(software_id="stated"))
        assert stored["software_id"] == ("sent" if "map" in issuer else "stated")


# ---- Which one is to be believed


class Issuers:
    def __init__(self, *issuers: dict[str, Any]) -> None:
        self._issuers = {issuer["issuer"]: StatementIssuer.from_json(issuer) for issuer in issuers}

    def find(self, name: str) -> StatementIssuer | None:
        return self._issuers.get(name)

    def are_there(self) -> bool:
        return bool(self._issuers)


class Network:
    """Key sets by their URL, and which were asked for."""

    def __init__(self, **sets: list[Key]) -> None:
        self.sets = sets
        self.asked: list[tuple[str, str | None]] = []

    def keys_at(self, url: str, kid: str | None) -> Iterable[Key]:
        self.asked.append((url, kid))
        try:
            return KeySet(self.sets[url.partition(".")[0].removeprefix("https://")])
        except KeyError:
            raise FetchError("It is gone.") from None


def verified(text: str, *issuers: dict[str, Any], network: Network | None = None) -> VerifiedStatement:
    known = SoftwareStatements(Issuers(*issuers), (network or Network()).keys_at, ISSUER, lambda: NOW)
    found = known.of({"software_statement": text}, None, None)
    assert found
    return found


def refusal(text: str, *issuers: dict[str, Any], network: Network | None = None) -> str:
    with pytest.raises(RefusedMetadataError) as raised:
        verified(text, *issuers, network=network)
    return f"{raised.value.error}: {raised.value.description}"


def test_the_key_is_found_by_its_name_and_without() -> None:
    keys = {"issuer": DIRECTORY, "jwks": public(rsa_key("a"), rsa_key("b"), ec_key("c"), okp_key("d"))}
    for kid in ("b", None, "unknown"):
        assert verified(statement(rsa_key("b"), {"kid": kid}), keys)
    assert "signed by a key" in refusal(statement(rsa_key("b"), {"kid": "a"}), keys)


@pytest.mark.parametrize("members", [{"use": "enc"}, {"alg": "RS384"}, {"key_ops": ["encrypt"]}])
def test_a_key_for_something_else_verifies_nothing(members: dict[str, Any]) -> None:
    jwks = {"keys": [{**public(rsa_key())["keys"][0], **members}]}
    assert "signed by a key" in refusal(statement(), {"issuer": DIRECTORY, "jwks": jwks})


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", rsa_key()), ("ES256", ec_key()), ("Ed25519", okp_key())])
def test_no_bit_of_it_can_be_changed(algorithm: str, key: Key) -> None:
    text, issuer = statement(key, {"alg": algorithm}), trusted(key=key)
    assert verified(text, issuer)
    changed = [
        f"{text[:place]}{chr(ord(char) ^ 1 << bit)}{text[place + 1 :]}"
        for place, char in enumerate(text)
        for bit in range(8)
    ]
    changed += [text[:-1] + char for char in ascii_letters + digits + "-_=" if char != text[-1]]
    changed += [text[:place] + text[place + 1 :] for place in range(len(text))]
    for other in changed:
        with pytest.raises(RefusedMetadataError):
            verified(other, issuer)


def test_a_jwt_in_a_jwt_is_none() -> None:
    inner = statement()
    for payload in (inner, f'"{inner}"'):
        assert "must be a signed JWT" in refusal(statements.signed(payload, cty="JWT"), trusted())
    encrypted = jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A128GCM", "cty": "JWT"}, inner, rsa_key())
    assert "must be a signed JWT" in refusal(encrypted, trusted())


def test_of_two_issuers_with_one_key_each_speaks_by_its_own_rules() -> None:
    issuers = trusted(software_ids=["a"]), trusted("other", software_ids=["b"], algorithms=["PS256"])
    assert verified(statement(software_id="a"), *issuers).issuer.issuer == DIRECTORY
    by_other = statement(None, {"alg": "PS256"}, iss="other", software_id="b")
    assert verified(by_other, *issuers).issuer.issuer == "other"
    assert refusal(statement(software_id="b"), *issuers).startswith("unapproved_software_statement")
    assert "PS256" in refusal(statement(iss="other", software_id="b"), *issuers)


def test_keys_elsewhere_are_looked_up_by_the_name_of_the_key() -> None:
    issuer, network = trusted(jwks_uri="https://keys.example/jwks"), Network(keys=[rsa_key()])
    assert verified(statement(), issuer, network=network).issuer.issuer == DIRECTORY
    assert network.asked == [("https://keys.example/jwks", "directory")]
    assert "signed by a key" in refusal(statement(rsa_key("other")), issuer, network=network)


def test_nobody_is_asked_for_keys_before_the_rest_is_in_order() -> None:
    network = Network(keys=[rsa_key()])
    refusal(statement(iss="nobody"), trusted(jwks_uri="https://keys.example/jwks"), network=network)
    refusal("x.y.z", trusted(jwks_uri="https://keys.example/jwks"), network=network)
    for text in (
        statement(header={"alg": "RS384"}),
        statement(exp=1),
        statement(aud="x"),
        statement(header={"typ": "x"}),
    ):
        refusal(text, trusted(jwks_uri="https://keys.example/jwks"), network=network)
    assert network.asked == []


def test_keys_that_cannot_be_fetched_are_the_servers_trouble() -> None:
    with pytest.raises(TemporarilyUnavailableError, match="keys of the issuer"):
        verified(statement(), trusted(jwks_uri="https://gone.example/jwks"))


@pytest.mark.parametrize(
    ("expected", "header", "is_right"),
    [
        (None, {}, True),
        (None, {"typ": "jwt"}, True),
        (None, {"typ": "application/JWT"}, True),
        (None, {"typ": "at+jwt"}, False),
        (None, {"typ": "logout+jwt"}, False),
        ("software-statement+jwt", {"typ": "application/software-statement+jwt"}, True),
        ("software-statement+jwt", {"typ": "JWT"}, False),
        ("software-statement+jwt", {}, False),
    ],
)
def test_the_type_is_right(expected: str | None, header: dict[str, Any], is_right: bool) -> None:
    issuer, text = trusted(type=expected), statement(header=header)
    assert verified(text, issuer) if is_right else "type (typ)" in refusal(text, issuer)


@pytest.mark.parametrize(
    ("claims", "is_right"),
    [
        ({"iat": NOW - 130}, True),
        ({"iat": NOW - 131}, False),
        ({"iat": None}, False),
        ({"iat": NOW + 30}, True),
        ({"iat": NOW + 31}, False),
        ({"exp": NOW - 29}, True),
        ({"exp": NOW - 30}, False),
        ({"nbf": NOW + 30}, True),
        ({"nbf": NOW + 31}, False),
        ({"exp": 10**400}, True),
        ({"iat": -(10**400)}, False),
    ],
)
def test_bounds_of_time_hold_with_some_leeway(claims: dict[str, Any], is_right: bool) -> None:
    issuer, text = trusted(max_age=100, leeway=30), statement(**{"iat": NOW, **claims})
    assert verified(text, issuer) if is_right else refusal(text, issuer).startswith("invalid_software_statement")


def test_an_audience_may_be_required_and_have_other_names() -> None:
    issuer = trusted(audience=["https://alias.example"], require_audience=True)
    assert "aud" in refusal(statement(), issuer)
    for aud in (ISSUER, "https://alias.example", ["x", ISSUER]):
        assert verified(statement(aud=aud), issuer)
    assert "aud" in refusal(statement(aud="https://alias.example"), trusted())


@pytest.mark.parametrize("software_id", ["approved", "Approved", "other", None, 1, ["approved"]])
def test_software_is_approved(software_id: object) -> None:
    text = statement(software_id=software_id)
    for issuer, is_approved in (
        (trusted(software_ids=["approved"]), software_id == "approved"),
        (trusted(refused_software_ids=["approved"]), software_id != "approved"),
        (trusted(software_ids=["approved"], refused_software_ids=["approved"]), False),
        (trusted(software_ids=[]), False),
    ):
        if is_approved:
            assert verified(text, issuer)
        else:
            assert refusal(text, issuer).startswith("unapproved_software_statement")


def test_certificates_in_the_header_prove_nothing_and_do_no_harm() -> None:
    chain = {"x5c": ["A" * 4000, "B" * 4000], "x5u": "https://evil.example", "jku": "https://evil.example"}
    assert verified(statement(header=chain), trusted())
    assert "signed by a key" in refusal(statement(rsa_key("other"), chain), trusted())
    assert "compact" in refusal(statement(header={"x5c": ["A" * 20000]}), trusted())


def test_a_statement_that_was_used_before_is_told_as_invalid() -> None:
    issuer = trusted(one_time=True)
    (one_time,) = verified(statement(jti="1", exp=NOW + 60), issuer).one_time
    assert (one_time.jti, one_time.expires_at) == ("1", NOW + 90)
    assert verified(statement(jti="1"), trusted()).one_time == ()
    assert isinstance(used_before(one_time), InvalidStatementError)
