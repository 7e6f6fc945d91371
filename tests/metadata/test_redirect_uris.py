"""Which redirect URIs are sound (RFC 8252, RFC 9700 section 2.1 and 2.6, OpenID Connect Registration section 2)."""

from typing import Any

import pytest

from tests.metadata.checking import APP, App
from tests.metadata.uris import KNOWN, LOOPBACK, NOT_SOUND, PRIVATE, WEB

OIDC = App(DYNREG_APPLICATION_TYPE="strict")
IMPLICIT = App(
    {
        "grant_types_supported": ["authorization_code", "implicit"],
        "response_types_supported": ["code", "token"],
    },
    DYNREG_APPLICATION_TYPE="strict",
)


def is_fine(uri: str, **metadata: Any) -> bool:
    return APP.pointers(redirect_uris=[uri], **metadata) == []


def told(uri: str) -> str:
    (problem,) = APP.problems(redirect_uris=[uri])
    return problem.description


@pytest.mark.parametrize("uri", [*WEB, *LOOPBACK, *PRIVATE, *KNOWN])
@pytest.mark.parametrize("application_type", [None, "web", "native"])
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
def test_a_sound_uri_is_registered_as_it_is_whoever_sends_it(
    uri: str, application_type: str | None, method: str
) -> None:
    metadata = {"application_type": application_type, "token_endpoint_auth_method": method}
    assert APP.registered(redirect_uris=[uri], **metadata)["redirect_uris"] == [uri]


def test_all_kinds_may_stand_in_one_request() -> None:
    uris = [*WEB, *LOOPBACK, *PRIVATE, *KNOWN]
    assert APP.registered(redirect_uris=uris)["redirect_uris"] == uris


@pytest.mark.parametrize("kind", NOT_SOUND)
def test_what_is_not_sound_is_refused_whatever_the_client_says_of_itself(kind: str) -> None:
    native = {"application_type": "native", "token_endpoint_auth_method": "none"}
    for metadata in ({}, native, {"application_type": "web"}):
        assert [uri for uri in NOT_SOUND[kind] if is_fine(uri, **metadata)] == []
    for uri in NOT_SOUND[kind]:
        assert APP.pointers(redirect_uris=[uri]) == ["/redirect_uris/0"]


def test_what_would_be_right_is_told() -> None:
    assert "plain http is for 127.0.0.1, [::1] and localhost" in told("http://app.example/cb")
    assert "private-use scheme with a period" in told("myapp:/cb")
    assert "must have no fragment" in told("https://app.example/cb#")
    assert "must have no user information" in told("https://u@app.example/cb")
    assert "must have no wildcard" in told("https://*.app.example/cb")
    assert "must have the authority that this server knows" in told("vscode://vscode.git/clone")
    assert "must have a / after the colon" in told("com.example.app:cb")


def test_every_bad_uri_is_named_and_the_good_ones_are_not() -> None:
    uris = ["https://app.example/cb", "/cb", "http://localhost/cb", "javascript:x", "com.example.app:/cb", ""]
    assert APP.pointers(redirect_uris=uris) == ["/redirect_uris/5"]  # its shape: rules look at sound shapes alone
    assert APP.pointers(redirect_uris=uris[:-1]) == ["/redirect_uris/1", "/redirect_uris/3"]


def test_a_uri_has_at_most_2048_characters() -> None:
    longest = "https://app.example/" + "x" * (2048 - 20)
    assert is_fine(longest)
    assert APP.pointers(redirect_uris=[longest + "x"]) == ["/redirect_uris/0"]


# ---- application_type


@pytest.mark.parametrize("uri", WEB)
def test_a_strict_server_lets_web_and_native_clients_have_https(uri: str) -> None:
    for application_type in ("web", "native", None):
        assert OIDC.pointers(redirect_uris=[uri], application_type=application_type) == []


@pytest.mark.parametrize("uri", [*LOOPBACK, *PRIVATE, *KNOWN])
def test_a_strict_server_keeps_what_is_on_a_device_from_clients_that_say_web(uri: str) -> None:
    uris = ["https://app.example/cb", uri]
    (problem,) = OIDC.problems(redirect_uris=uris, application_type="web")
    assert problem.pointer == "/redirect_uris/1" and "application_type is web" in problem.description
    for application_type in ("native", None):
        assert OIDC.registered(redirect_uris=uris, application_type=application_type)["redirect_uris"] == uris


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_a_strict_server_keeps_https_on_loopback_from_implicit_web_clients(host: str) -> None:
    uris = [f"https://{host}/cb"]
    implicit = {"grant_types": ["implicit"], "response_types": ["token"]}
    assert IMPLICIT.pointers(redirect_uris=uris, application_type="web", **implicit) == ["/redirect_uris/0"]
    assert IMPLICIT.pointers(redirect_uris=uris, application_type="native", **implicit) == []
    assert IMPLICIT.pointers(redirect_uris=uris, application_type="web") == []
    assert IMPLICIT.pointers(redirect_uris=["https://app.example/cb"], application_type="web", **implicit) == []


def test_a_stated_application_type_is_kept_and_none_is_made_up() -> None:
    for app in (APP, OIDC):
        for application_type in ("web", "native"):
            metadata = app.registered(redirect_uris=["https://app.example/cb"], application_type=application_type)
            assert metadata["application_type"] == application_type
        assert "application_type" not in app.registered(redirect_uris=["https://app.example/cb"])


# ---- DYNREG_PRIVATE_SCHEMES


def test_a_host_says_which_schemes_without_a_period_it_knows() -> None:
    app = App(DYNREG_PRIVATE_SCHEMES={"myapp": "(?:cb|auth)?", "com.example.app": "cb"})
    fine = ["myapp://cb", "myapp://AUTH/x?y", "myapp:///cb", "com.example.app://cb/x", "com.example.other:/cb"]
    assert app.registered(redirect_uris=fine)["redirect_uris"] == fine
    for uri in ("myapp:/cb", "myapp://cbx", "myapp://other/cb", "com.example.app:/cb", KNOWN[0]):
        assert app.pointers(redirect_uris=[uri]) == ["/redirect_uris/0"]


def test_a_host_may_know_none() -> None:
    app = App(DYNREG_PRIVATE_SCHEMES={})
    assert app.pointers(redirect_uris=KNOWN) == [f"/redirect_uris/{number}" for number in range(len(KNOWN))]
    assert app.pointers(redirect_uris=PRIVATE) == []
