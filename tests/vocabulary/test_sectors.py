"""Cross-field rules, section 8: pairwise subjects and sector_identifier_uri."""

from typing import Any

import pytest

from flask_dynreg.outbound import BusyError, FetchError
from tests.conformance.exchange import Client
from tests.conformance.requirements import requirement
from tests.vocabulary.provider import BASE, CIBA, SECTOR, Provider, provider
from tests.vocabulary.values import JWKS_URI, NOTIFY

POINTER = "/sector_identifier_uri"
DOCUMENT = "https://documents.example/sector.json"
URIS = ["https://a.example/cb", "https://b.example/cb"]
PAIRWISE = {"subject_type": "pairwise"}
POLL = {"grant_types": [CIBA], "backchannel_token_delivery_mode": "poll"}
PUSH = {"backchannel_token_delivery_mode": "push", "backchannel_client_notification_endpoint": NOTIFY}
WITHOUT_REDIRECT = {"grant_types": ["client_credentials"], "response_types": []}


def fetched(op: Provider, document: Any, metadata: dict[str, Any]) -> tuple[list[str], int]:
    """Where it is refused when this is at its sector_identifier_uri, and how often that was fetched."""
    op.documents.found[DOCUMENT] = document
    op.documents.asked.clear()
    pointers = op.pointers({**metadata, "sector_identifier_uri": DOCUMENT})
    assert set(op.documents.asked) <= {DOCUMENT}
    return pointers, len(op.documents.asked)


def sector(op: Provider, client: Client) -> str | None:
    with op.app.app_context():
        found = op.dynreg.query_client(client["client_id"])
        assert found is not None
        return found.sector_identifier


# ---- Without a document


@requirement("OIDCCORE-8.1-01")
@pytest.mark.parametrize(
    ("uris", "fine"),
    [
        (["https://a.example/cb"], True),
        (["https://a.example/1", "https://a.example:8443/2", "https://A.EXAMPLE/3"], True),
        (["https://a.example/cb", "https://b.example/cb"], False),
        (["https://a.example/cb", "https://www.a.example/cb"], False),
        (["https://a.example/cb", "com.example.app:/cb"], False),
        (["https://a.example/cb", "http://127.0.0.1/cb"], False),
        (["com.example.app:/cb"], False),
        (["com.example.app://a.example/cb"], False),
        (["http://127.0.0.1/cb"], False),
        (["http://localhost:3000/cb"], False),
        (["https://localhost/cb"], False),
    ],
)
def test_pairwise_subjects_need_one_sector(op: Provider, uris: list[str], fine: bool) -> None:
    """openid_rules.one_sector"""
    assert op.pointers({"redirect_uris": uris, **PAIRWISE}) == ([] if fine else [POINTER])
    assert op.pointers({"redirect_uris": uris, "subject_type": "public"}) == []
    assert fetched(op, uris, {"redirect_uris": uris, **PAIRWISE}) == ([], 1)


def test_who_has_no_users_needs_no_sector(op: Provider) -> None:
    """openid_rules.one_sector"""
    assert op.pointers({**WITHOUT_REDIRECT, **PAIRWISE}) == []


@requirement("OIDCREG-2-18")
def test_a_subject_type_is_one_of_the_server() -> None:
    """Vocabulary.unsupported"""
    with provider(server={"subject_types_supported": ["public"]}) as server:
        assert server.pointers({**BASE, **PAIRWISE}) == ["/subject_type"]
    with provider(server={"subject_types_supported": ["pairwise"]}) as server:
        assert server.pointers({**BASE, "subject_type": "public"}) == ["/subject_type"]
        assert server.metadata(BASE)["subject_type"] == "pairwise"
        # the default that is in force is checked as if it were stated
        assert server.pointers({"redirect_uris": URIS}) == [POINTER]


@requirement("OIDCCORE-8.1-02")
def test_the_sector_is_the_host_of_the_document_or_else_of_the_redirect_uris(op: Provider) -> None:
    """sectors.sector_identifier"""
    assert sector(op, op.registered({**BASE, **PAIRWISE})) == "client.example"
    assert sector(op, op.registered({**BASE, **PAIRWISE, "sector_identifier_uri": SECTOR})) == "sector.example"


@requirement("CIBA-4-06")
def test_of_backchannel_clients_another_address_counts(op: Provider) -> None:
    """openid_rules.keys_for_pairwise_backchannel, sectors.sector_identifier"""
    assert "/jwks_uri" in op.pointers({**POLL, **PAIRWISE})
    assert "/jwks_uri" in op.pointers({**BASE, **POLL, **PAIRWISE, "grant_types": ["authorization_code", CIBA]})
    assert op.pointers({**POLL, "subject_type": "public"}) == []
    assert sector(op, op.registered({**POLL, **PAIRWISE, "jwks_uri": JWKS_URI})) == "client.example"
    assert sector(op, op.registered({**WITHOUT_REDIRECT, **PUSH, **PAIRWISE})) == "client.example"
    # both kinds of addresses, on two hosts
    both = {**BASE, **POLL, **PAIRWISE, "grant_types": ["authorization_code", CIBA]}
    assert op.pointers({**both, "jwks_uri": "https://other.example/jwks"}) == [POINTER]
    assert op.pointers({**both, "jwks_uri": JWKS_URI}) == []


@requirement("CIBA-4-06")
@pytest.mark.parametrize(
    ("metadata", "address"),
    [({**POLL, "jwks_uri": JWKS_URI}, JWKS_URI), ({**WITHOUT_REDIRECT, **PUSH, "jwks_uri": JWKS_URI}, NOTIFY)],
)
def test_the_document_has_the_address_of_a_backchannel_client(
    op: Provider, metadata: dict[str, Any], address: str
) -> None:
    """sectors.document_problems"""
    assert fetched(op, [address, "https://other.example/"], {**metadata, **PAIRWISE}) == ([], 1)
    assert fetched(op, ["https://other.example/"], {**metadata, **PAIRWISE}) == ([POINTER], 1)


# ---- The document


@requirement("OIDCREG-5-01", "OIDCREG-5-02")
@pytest.mark.parametrize(
    ("document", "fine"),
    [
        (URIS, True),
        ([*URIS, "https://c.example/cb", "com.example.app:/cb", ""], True),
        ([*reversed(URIS)], True),
        (b'\xef\xbb\xbf["https://a.example/cb", "https://b.example/cb"]'[3:], True),
        (URIS[:1], False),
        ([], False),
        (["https://a.example/cb", "https://b.example/CB"], False),
        (["https://a.example/cb", "https://b.example/cb/"], False),
        (["https://a.example", "https://b.example"], False),
        ({"redirect_uris": URIS}, False),
        (" ".join(URIS), False),
        (None, False),
        (7, False),
        ([*URIS, 7], False),
        ([*URIS, None], False),
        ([*URIS, URIS], False),
        (b"", False),
        (b"<html></html>", False),
        (b'["https://a.example/cb", "https://b.example/cb"', False),
        (b"\xff\xfe\xfa", False),
        (b"[" * 20_000, False),
        (b"[1e999999, NaN]", False),
        (FetchError("The document is too large."), False),
    ],
)
def test_the_document_is_an_array_with_every_redirect_uri(op: Provider, document: Any, fine: bool) -> None:
    """sectors.document_problems"""
    for subject_type in ("pairwise", "public"):
        metadata = {"redirect_uris": URIS, "subject_type": subject_type}
        assert fetched(op, document, metadata) == ([] if fine else [POINTER], 1)


def test_why_it_could_not_be_fetched_is_told(op: Provider) -> None:
    op.documents.found[DOCUMENT] = FetchError("The document is too large.")
    answer = op.post({**BASE, "sector_identifier_uri": DOCUMENT})
    assert op.refused(answer) == [POINTER]
    assert "The document is too large." in answer.get_json()["error_description"]
    assert "documents.example" not in answer.text


@requirement("OIDCREG-2-16", "OIDCREG-5-04")
@pytest.mark.parametrize(
    "wrong",
    [
        {"client_name": 7},
        {"sector_identifier_uri": "http://documents.example/sector.json"},
        {"sector_identifier_uri": "https://localhost/sector.json"},
        {"sector_identifier_uri": "https://169.254.169.254/latest"},
        {"redirect_uris": ["http://a.example/cb"]},
        {"grant_types": ["password"]},
        {"jwks": {"keys": []}},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"subject_types_supported": ["unknown"]},
    ],
)
def test_nothing_is_fetched_for_what_is_refused_anyway(op: Provider, wrong: dict[str, Any]) -> None:
    """MetadataCheck"""
    op.documents.asked.clear()
    sent = {**BASE, "sector_identifier_uri": SECTOR, **wrong}
    (pointer,) = op.pointers(sent)
    assert pointer.startswith(tuple(f"/{name}" for name in [*wrong, "jwks"]))
    assert op.documents.asked == []


# ---- Updates


@pytest.fixture
def client(op: Provider) -> Client:
    op.documents.found[DOCUMENT] = URIS
    sent = {"redirect_uris": URIS, **PAIRWISE, "sector_identifier_uri": DOCUMENT}
    registered = op.registered(sent)
    op.documents.asked.clear()
    return registered


@requirement("OIDCREG-5-03")
def test_an_update_that_changes_nothing_about_it_fetches_nothing(op: Provider, client: Client) -> None:
    """sectors.is_to_be_fetched"""
    op.documents.found[DOCUMENT] = FetchError("There is no such document.")
    assert op.updated(client, client) == client
    assert op.updated(client, client | {"client_name": "Mine"})["client_name"] == "Mine"
    assert op.updated(client, client | {"jwks_uri": JWKS_URI, "subject_type": "public"})["jwks_uri"] == JWKS_URI
    assert op.documents.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uris": URIS[:1]},
        {"redirect_uris": [*URIS, "https://c.example/cb"]},
        {"sector_identifier_uri": SECTOR},
        {**POLL, "grant_types": ["authorization_code", CIBA], "jwks_uri": JWKS_URI},
        PUSH,
    ],
)
def test_an_update_that_changes_its_addresses_fetches_it_again(
    op: Provider, client: Client, change: dict[str, Any]
) -> None:
    """sectors.is_to_be_fetched"""
    changed = client | change
    document = changed["sector_identifier_uri"]
    everything = [*changed["redirect_uris"], JWKS_URI, NOTIFY]
    op.documents.found[document] = ["https://other.example/"]
    assert op.refused(op.put(client, changed)) == [POINTER]
    assert op.documents.asked == [document]
    op.documents.found[document] = everything
    assert op.updated(client, changed)["redirect_uris"] == changed["redirect_uris"]
    assert op.documents.asked == [document] * 2
    op.documents.found[SECTOR] = BASE["redirect_uris"]


def test_what_is_fetched_for_a_client_is_charged_to_it(op: Provider, client: Client) -> None:
    assert op.documents.asked_for[-1:] == [None]
    op.documents.found[DOCUMENT] = URIS
    op.updated(client, client | {"redirect_uris": URIS[:1]})
    assert op.documents.asked_for[-1:] == [client["client_id"]]


def test_a_server_that_is_too_busy_to_fetch_says_when_to_try_again(op: Provider, client: Client) -> None:
    op.documents.found[DOCUMENT] = BusyError("There are too many.", 17)
    refused = op.put(client, client | {"redirect_uris": URIS[:1]})
    assert refused.status_code == 503 and refused.headers["Retry-After"] == "17"
    assert refused.get_json()["error"] == "temporarily_unavailable"


def test_an_update_without_it_needs_one_sector_again(op: Provider, client: Client) -> None:
    without = {name: value for name, value in client.items() if name != "sector_identifier_uri"}
    assert op.refused(op.put(client, without)) == [POINTER]
    assert "sector_identifier_uri" not in op.updated(client, without | {"subject_type": "public"})
    assert op.documents.asked == []
