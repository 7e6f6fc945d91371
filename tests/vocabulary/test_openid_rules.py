"""Cross-field rules, section 9: logout, request objects by reference, CIBA, demands; and what the rows of OpenID ask."""

from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.vocabulary.provider import BASE, CIBA, MACS, Provider, provider
from tests.vocabulary.values import JWKS_URI, NOTIFY, URL

PUBLIC = {**BASE, "token_endpoint_auth_method": "none"}
LOOPBACK = {"redirect_uris": ["https://client.example:8443/cb", "http://127.0.0.1:3000/cb", "com.example.app:/cb"]}
MODE, ENDPOINT = "backchannel_token_delivery_mode", "backchannel_client_notification_endpoint"


# ---- Logout


@requirement("FCLOGOUT-2-01")
@pytest.mark.parametrize(
    ("uri", "fine"),
    [
        ("https://client.example:8443/bye", True),
        ("HTTPS://CLIENT.example:8443", True),
        ("https://client.example/bye", False),
        ("https://client.example:443/bye", False),
        ("https://other.example:8443/bye", False),
        ("https://www.client.example:8443/bye", False),
        ("http://127.0.0.1:3000/bye", True),
        ("http://127.0.0.1:3001/bye", False),
        ("http://localhost:3000/bye", False),
        ("https://127.0.0.1:3000/bye", False),
        ("com.example.app:/bye", False),
    ],
)
def test_frontchannel_logout_is_where_a_redirect_uri_is(op: Provider, uri: str, fine: bool) -> None:
    """openid_rules.frontchannel_logout_at_a_redirect_uri"""
    pointers = op.pointers({**LOOPBACK, "frontchannel_logout_uri": uri})
    assert pointers == ([] if fine else ["/frontchannel_logout_uri"])


def test_a_default_port_may_be_left_out(op: Provider) -> None:
    """openid_rules.frontchannel_logout_at_a_redirect_uri"""
    for redirect, logout in [("", ":443"), (":443", "")]:
        uris = {"redirect_uris": [f"https://client.example{redirect}/cb"]}
        assert op.pointers({**uris, "frontchannel_logout_uri": f"https://client.example{logout}/bye"}) == []
    assert (
        op.pointers({"redirect_uris": ["http://127.0.0.1/cb"], "frontchannel_logout_uri": "http://127.0.0.1:80"}) == []
    )


@requirement("FCLOGOUT-2-03")
def test_frontchannel_logout_by_plain_http_is_for_confidential_clients_on_loopback(op: Provider) -> None:
    """openid_rules.secure_frontchannel_logout"""
    sent = {**LOOPBACK, "frontchannel_logout_uri": "http://127.0.0.1:3000/bye"}
    assert op.pointers(sent) == []
    assert op.pointers({**sent, "token_endpoint_auth_method": "none"}) == ["/frontchannel_logout_uri"]
    assert op.pointers({**BASE, "frontchannel_logout_uri": "http://client.example/bye"}) == ["/frontchannel_logout_uri"]


@requirement("FCLOGOUT-2-02", "BCLOGOUT-2.2-01")
@pytest.mark.parametrize("name", ["frontchannel_logout_uri", "backchannel_logout_uri"])
def test_a_logout_uri_is_absolute_and_keeps_its_query(op: Provider, name: str) -> None:
    uri = "https://client.example/bye?a=b%20c&d"
    assert op.metadata({**BASE, name: uri})[name] == uri
    for wrong in (f"{uri}#x", f"{uri}#", "/bye", "client.example/bye"):
        assert name in op.members({**BASE, name: wrong})


@requirement("BCLOGOUT-2.2-02")
def test_backchannel_logout_is_by_https(op: Provider) -> None:
    for client in (BASE, PUBLIC):
        sent = {**client, "backchannel_logout_uri": "http://client.example/bye"}
        assert op.pointers(sent) == ["/backchannel_logout_uri"]


@requirement("RPLOGOUT-3.1-01")
@pytest.mark.parametrize(
    ("uri", "confidential", "public"),
    [
        ("https://other.example/bye?a=b", True, True),
        ("com.example.app:/bye", True, True),
        ("http://127.0.0.1:3000/bye", True, False),
        ("http://localhost/bye", True, False),
        ("http://client.example/bye", False, False),
        ("myapp:/bye", False, False),
        ("javascript:alert(1)", False, False),
    ],
)
def test_after_a_logout_plain_http_is_for_confidential_clients_on_loopback(
    op: Provider, uri: str, confidential: bool, public: bool
) -> None:
    """openid_rules.post_logout_redirect_uris_sound"""
    for client, fine in ((BASE, confidential), (PUBLIC, public)):
        sent = {**client, "post_logout_redirect_uris": [URL, uri]}
        assert op.pointers(sent) == ([] if fine else ["/post_logout_redirect_uris/1"])


@pytest.mark.parametrize("channel", ["frontchannel", "backchannel"])
def test_a_session_that_nobody_is_told_of_has_no_effect(op: Provider, channel: str) -> None:
    """repairs.cleared"""
    name = f"{channel}_logout_session_required"
    for flag in (True, False):
        client = op.registered({**BASE, name: flag})
        assert name not in client
        assert op.details(client)[0]["taken"] == {name: [str(flag)]}
        assert op.metadata({**BASE, name: flag, f"{channel}_logout_uri": URL})[name] is flag


@requirement("OIDCSESSION-3.3-01")
def test_session_management_has_no_client_metadata() -> None:
    with provider(server={"check_session_iframe": "https://as.example/session"}) as server:
        assert "check_session_iframe" not in server.metadata({**BASE, "check_session_iframe": URL})


# ---- Requests


@requirement("OIDCREG-2-35")
@pytest.mark.parametrize(
    ("uri", "signed", "unsigned"),
    [
        (URL, True, True),
        (f"{URL}#hash", True, True),
        ("http://client.example/request", True, False),
        ("https://localhost/request", False, False),
        ("http://127.0.0.1/request", False, False),
        ("https://user@client.example/request", False, False),
        ("com.example.app:/request", False, False),
        ("urn:example:request", False, False),
    ],
)
def test_a_request_object_lies_where_nobody_can_change_it(op: Provider, uri: str, signed: bool, unsigned: bool) -> None:
    """openid_rules.request_uris_secure"""
    sent = {**BASE, "request_uris": [URL, uri]}
    refused = ["/request_uris/1"]
    assert op.pointers({**sent, "request_object_signing_alg": "HS256"}) == ([] if signed else refused)
    assert op.pointers({**sent, "request_object_signing_alg": "none"}) == ([] if unsigned else refused)
    assert op.pointers(sent) == ([] if unsigned else refused)


@requirement("OIDCREG-2-34")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("initiate_login_uri", "http://client.example/login"),
        ("default_max_age", "60"),
        ("default_max_age", -1),
        ("require_auth_time", "true"),
    ],
)
def test_what_is_asked_of_a_login_is_checked(op: Provider, name: str, wrong: Any) -> None:
    assert op.pointers({**BASE, name: wrong}) == [f"/{name}"]


@requirement("OIDCREG-2-37", "RFC9396-10-01")
@pytest.mark.parametrize(
    ("name", "wanted", "supported"),
    [
        ("default_acr_values", ["urn:acr:high", "urn:acr:low"], ["urn:acr:high", "urn:acr:low"]),
        ("default_acr_values", ["urn:acr:none", "urn:acr:low", "urn:acr:low"], ["urn:acr:low"]),
        ("default_acr_values", ["urn:acr:none"], None),
        ("authorization_details_types", ["payment_initiation"], ["payment_initiation"]),
        ("authorization_details_types", ["unknown", "account_information"], ["account_information"]),
        ("authorization_details_types", ["unknown"], None),
        ("client_registration_types", ["automatic", "unknown"], ["automatic"]),
    ],
)
def test_of_a_list_what_the_server_lacks_is_taken_away_and_noted(
    op: Provider, name: str, wanted: list[str], supported: list[str] | None
) -> None:
    """repairs.narrowed"""
    client = op.registered({**BASE, name: wanted})
    assert client.get(name) == supported
    missing = [value for value in wanted if value not in (supported or [])]
    assert op.details(client)[0].get("taken", {}) == ({name: missing} if missing else {})
    assert op.pointers({**BASE, name: wanted[0]}) == [f"/{name}"]


def test_or_it_is_refused() -> None:
    """DYNREG_UNSUPPORTED"""
    with provider(config={"DYNREG_UNSUPPORTED": "reject"}) as server:
        for name in ("default_acr_values", "authorization_details_types", "client_registration_types"):
            assert server.pointers({**BASE, name: ["unknown"]}) == [f"/{name}"]


# ---- CIBA


@requirement("CIBA-4-01", "CIBA-4-02", "CIBA-4-03")
@pytest.mark.parametrize(
    ("grants", "mode", "endpoint", "pointers"),
    [
        ([CIBA], None, None, [f"/{MODE}"]),
        ([CIBA], None, NOTIFY, [f"/{MODE}"]),
        ([CIBA], "poll", None, []),
        ([CIBA], "poll", NOTIFY, []),
        ([CIBA], "ping", None, [f"/{ENDPOINT}"]),
        ([CIBA], "ping", NOTIFY, []),
        ([CIBA], "push", None, [f"/{ENDPOINT}"]),
        ([CIBA], "push", NOTIFY, []),
        (["client_credentials"], "push", NOTIFY, []),
        (["client_credentials"], "push", None, [f"/{ENDPOINT}"]),
        (["client_credentials"], "poll", None, ["/grant_types"]),
        (["client_credentials"], "ping", NOTIFY, ["/grant_types"]),
        (["client_credentials"], None, None, []),
        ([CIBA], "pull", None, [f"/{MODE}"]),
        ([CIBA], "ping", "http://client.example/notify", [f"/{ENDPOINT}"]),
        ([CIBA], "ping", "https://10.0.0.1/notify", [f"/{ENDPOINT}"]),
    ],
)
def test_a_delivery_mode_has_its_grant_and_its_endpoint(
    op: Provider, grants: list[str], mode: str | None, endpoint: str | None, pointers: list[str]
) -> None:
    """openid_rules.delivery_mode_of_ciba, openid_rules.notification_endpoint_of_ciba"""
    assert op.pointers({"grant_types": grants, MODE: mode, ENDPOINT: endpoint}) == pointers


@requirement("CIBA-4-01")
def test_a_delivery_mode_is_one_of_the_server() -> None:
    with provider(server={"backchannel_token_delivery_modes_supported": ["poll"]}) as server:
        assert server.pointers({"grant_types": [CIBA], MODE: "push", ENDPOINT: NOTIFY}) == [f"/{MODE}"]
        assert server.pointers({"grant_types": [CIBA], MODE: "poll"}) == []


@requirement("CIBA-4-04")
def test_backchannel_requests_are_signed_with_a_key_of_the_client(op: Provider) -> None:
    """openid_rules.asymmetric_ciba_requests"""
    name = "backchannel_authentication_request_signing_alg"
    assert name not in op.metadata(BASE)
    for algorithm in [*MACS, "none", "XS256"]:
        assert op.pointers({**BASE, "jwks_uri": JWKS_URI, name: algorithm}) == [f"/{name}"]
    with provider(server={f"{name}_values_supported": ["HS256", "none"]}) as server:
        for algorithm in ("HS256", "none"):
            assert server.pointers({**BASE, "jwks_uri": JWKS_URI, name: algorithm}) == [f"/{name}"]


# ---- Demands that the server must be able to keep


@requirement("RFC9126-6-01", "RFC9449-5.2-02", "RFC8705-3.4-01", "CIBA-4-05", "FAPI2-5.2.2.1.1-01", "RFC9101-10.5-03")
@pytest.mark.parametrize(
    "name",
    [
        *("require_pushed_authorization_requests", "dpop_bound_access_tokens", "backchannel_user_code_parameter"),
        *("tls_client_certificate_bound_access_tokens", "use_mtls_endpoint_aliases", "require_signed_request_object"),
    ],
)
def test_a_demand_is_kept_if_it_is_true_or_false(op: Provider, name: str) -> None:
    for flag in (True, False):
        assert op.metadata({**BASE, name: flag})[name] is flag
    assert name not in op.metadata(BASE)
    wrongs: list[Any] = ["true", "yes", 1, 0, []]
    for wrong in wrongs:
        assert op.pointers({**BASE, name: wrong}) == [f"/{name}"]
