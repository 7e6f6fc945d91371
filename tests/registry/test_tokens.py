"""Initial access tokens in the store: RFC 7591 section 3."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from flask_dynreg import Principal, Terms
from flask_dynreg.errors import UnknownTokenError
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA
from tests.registry.conftest import StartHost
from tests.registry.host import Host
from tests.registry.token_race import raced


def issued(host: Host, label: str | None = None, expires_in: int | None = None, uses: int | None = None) -> str:
    token = host.dynreg.issue_initial_access_token(label=label, expires_in=expires_in, uses=uses)
    host.session.commit()
    return token


def found(host: Host, token: str) -> int:
    principal = host.registrar.tokens.find(token)
    assert principal and principal.initial_access_token_id
    return principal.initial_access_token_id


def uses(host: Host) -> list[int]:
    """Of every token, as everybody sees it."""
    return [row["uses"] for row in host.tokens()]


def test_a_token_is_kept_as_its_digest_alone(host: Host) -> None:
    token = issued(host, label="For a partner", expires_in=60, uses=3)
    (row,) = host.tokens()
    assert row["digest"].startswith("sha256:") and token not in " ".join(map(str, row.values()))
    assert (row["issuer"], row["label"], row["uses"], row["max_uses"]) == (ISSUER, "For a partner", 0, 3)
    assert (row["created_at"], row["expires_at"]) == (host.clock.now, host.clock.now + 60)


def test_a_token_is_issued_in_the_transaction_of_the_caller(host: Host) -> None:
    token = host.dynreg.issue_initial_access_token()
    assert host.tokens() == []
    host.session.rollback()
    assert host.tokens() == []
    assert host.registrar.tokens.find(token) is None


@pytest.mark.parametrize("number", [0, -1])
def test_a_token_that_could_never_be_used_is_not_issued(sqlite_host: Host, number: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        sqlite_host.dynreg.issue_initial_access_token(expires_in=number)
    with pytest.raises(ValueError, match="1 or more"):
        sqlite_host.dynreg.issue_initial_access_token(uses=number)


def test_what_is_not_the_very_token_is_not_found(host: Host) -> None:
    token = issued(host)
    assert host.registrar.tokens.find(token)
    client = host.registered()
    for other in ("", token[:-1], token + "a", token.swapcase(), " " + token, token + "\0", "\u00e9" + token[1:]):
        assert host.registrar.tokens.find(other) is None
    assert host.registrar.tokens.find(client.registration_access_token) is None
    assert host.registrar.tokens.find(host.dynreg.issue_initial_access_token()) is not None


def test_a_token_is_good_until_it_is_over(host: Host) -> None:
    token, forever = issued(host, expires_in=60), issued(host)
    token_id = found(host, token)
    host.clock.now += 59
    assert host.registrar.tokens.find(token) and host.registrar.tokens.use(token_id)
    host.clock.now += 1
    assert host.registrar.tokens.find(token) is None and not host.registrar.tokens.use(token_id)
    host.clock.now += 10**9
    assert host.registrar.tokens.find(forever)


def test_a_token_is_good_as_often_as_it_says(host: Host) -> None:
    token, unlimited = issued(host, uses=2), issued(host)
    token_id = found(host, token)
    assert [host.registrar.tokens.use(token_id) for _ in range(3)] == [True, True, False]
    assert host.registrar.tokens.find(token) is None
    assert all(host.registrar.tokens.use(found(host, unlimited)) for _ in range(5))
    host.session.commit()
    assert uses(host) == [2, 5]


def test_a_use_counts_with_the_registration_and_not_without(host: Host) -> None:
    token = issued(host, uses=1)
    principal = Principal("initial_access_token", found(host, token))
    host.register(principal)
    host.session.rollback()
    assert uses(host) == [0]
    host.registered(principal)
    assert host.registrar.tokens.find(token) is None
    with pytest.raises(UnknownTokenError):
        host.register(principal)
    host.session.commit()
    assert len(host.clients()) == len(host.events()) == 1
    assert uses(host) == [1]


def test_uses_at_once_are_counted_exactly(host: Host) -> None:
    token_id = found(host, issued(host, uses=5))
    together = Barrier(8)

    def use() -> bool:
        with host.app.app_context():
            together.wait()
            good = host.registrar.tokens.use(token_id)
            host.session.commit()
            return good

    with ThreadPoolExecutor(together.parties) as pool:
        results = [future.result() for future in [pool.submit(use) for _ in range(together.parties)]]
    assert [sum(results)] == uses(host) == [5]


TERMS = Terms(
    policies=("require_pkce",),
    scopes=("mcp:read",),
    grant_types=("authorization_code",),
    redirect_hosts=("client.example",),
    defaults={"client_name": "Default \u00e9"},
    forced={"token_endpoint_auth_method": "none"},
    origins=("https://app.example",),
)


def test_a_token_has_an_owner_and_terms_which_its_clients_keep(host: Host) -> None:
    token = host.dynreg.issue_initial_access_token(owner="Partner \u00e9", terms=TERMS)
    host.session.commit()
    principal = host.registrar.tokens.find(token)
    assert principal and (principal.owner, principal.terms) == ("Partner \u00e9", TERMS)
    checked = host.registrar.check(CLIENT, principal=principal)
    host.registrar.register(host.registrar.new_client_information(checked), checked, principal)
    host.session.commit()
    (row,) = host.clients()
    assert row["owned_by"] == "Partner \u00e9" and Terms.from_json(row["terms"]) == TERMS
    assert json.loads(row["policies"]) == ["require_pkce"]
    assert json.loads(row["client_metadata"])["client_name"] == "Default \u00e9"


@pytest.mark.parametrize(
    "terms", [Terms(), TERMS, Terms(scopes=()), Terms(forced={"client_name": "x"}), Terms(origins=())]
)
def test_terms_are_read_as_they_were_written(terms: Terms) -> None:
    assert Terms.from_json(terms.to_json()) == terms
    assert (terms.to_json() == "{}") == (terms == Terms())


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "JSON object"),
        ({"scope": []}, "none but"),
        ({"scopes": "mcp:read"}, "scopes must be a list"),
        ({"scopes": [5]}, "scopes must be a list"),
        ({"origins": None}, "origins must be a list"),
        ({"forced": []}, "forced must be an object"),
    ],
)
def test_what_are_no_terms_is_refused(value: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Terms.from_object(value)


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        (Terms(policies=("unknown",)), "policies: unknown"),
        (Terms(forced={"department": "x"}), "forced: department"),
        (Terms(defaults={"client_uri": "javascript:1"}), "defaults: client_uri"),
        (Terms(forced={"client_id": "x"}), "forced: client_id"),
    ],
)
def test_a_token_whose_terms_nobody_could_meet_is_not_issued(sqlite_host: Host, terms: Terms, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        sqlite_host.dynreg.issue_initial_access_token(terms=terms)
    assert sqlite_host.tokens() == []


def test_a_token_that_is_revoked_is_good_for_nothing(host: Host) -> None:
    token = issued(host)
    token_id = found(host, token)
    assert host.dynreg.revoke_initial_access_token(token_id)
    host.session.commit()
    assert host.registrar.tokens.find(token) is None and not host.registrar.tokens.use(token_id)
    assert not host.dynreg.revoke_initial_access_token(token_id)
    assert not host.dynreg.revoke_initial_access_token(token_id + 1)


def test_every_token_is_listed_with_what_became_of_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_dynreg.registry.tokens.PAGE", 2)
    first, second = issued(host, label="first", uses=1), issued(host, expires_in=60)
    third = host.dynreg.issue_initial_access_token(owner="them", terms=TERMS)
    host.session.commit()
    host.clock.now += 30
    assert host.registrar.tokens.use(found(host, first))
    assert host.dynreg.revoke_initial_access_token(found(host, third))
    host.session.commit()
    listed = list(host.dynreg.initial_access_tokens())
    assert [(token.label, token.uses, token.is_good) for token in listed] == [
        ("first", 1, False),
        (None, 0, True),
        (None, 0, False),
    ]
    assert (listed[0].last_used_at, listed[0].max_uses) == (host.clock.now, 1)
    assert listed[1].last_used_at is listed[1].revoked_at is None
    assert (listed[2].owner, listed[2].terms, listed[2].revoked_at) == ("them", TERMS, host.clock.now)
    host.clock.now += 30
    assert [token.is_good for token in host.dynreg.initial_access_tokens()] == [False] * 3
    assert second not in repr(listed)


def test_uses_by_many_processes_are_counted_exactly(host: Host, any_database_url: str) -> None:
    """With 10000 uses by 4 processes of 50 threads it takes a minute: `python -m tests.registry.token_race`."""
    token = issued(host, uses=200)
    assert raced(any_database_url, token, processes=2, threads=8) == 200
    assert uses(host) == [200]


@pytest.mark.parametrize("issuer", ["https://other.example", f"{ISSUER}/x", ISSUER.replace("as", "AS")])
def test_a_token_of_another_issuer_is_not_good(any_database_url: str, start_host: StartHost, issuer: str) -> None:
    other = start_host(any_database_url, DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": issuer})
    theirs = issued(other)
    token_id = found(other, theirs)
    host = start_host(any_database_url)
    ours = issued(host)
    assert host.registrar.tokens.find(theirs) is None
    assert not host.registrar.tokens.use(token_id)
    assert host.registrar.tokens.find(ours)
