"""The OpenID Provider of examples/: ID tokens, UserInfo, when users have to sign in again, subjects, and logout."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from examples import openid_provider, quickstart
from examples import quickstart_store as store
from flask_dynreg.outbound import Fetched, FetchError
from tests.conformance.exchange import CONFIDENTIAL, PUBLIC, REDIRECT_URI, Client, bearer, post, refused
from tests.conformance.requirements import requirement
from tests.conformance.visitor import CHALLENGE, TOKEN, VERIFIER, Visitor, answered

ISSUER = "https://op.example"
CONFIGURATION = "/.well-known/openid-configuration"
USERINFO, SIGN_OUT = "/oauth2/userinfo", "/oauth2/sign-out"
SIGNED_OUT = "https://app.example/signed-out"
PROFILE = {"name": "Alice Adams", "preferred_username": "alice"}
EMAIL = {"email": "alice@example.com", "email_verified": True}

StartProvider = Callable[..., Flask]


@pytest.fixture(scope="module")
def start_provider() -> Iterator[StartProvider]:
    """start_provider(folder): an OpenID Provider in this process, as it starts in this instance folder."""
    apps = []

    def start(folder: Path) -> Flask:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("FLASK_")]:
                patch.delenv(name)
            patch.setenv("FLASK_INSTANCE_PATH", str(folder))
            patch.setattr(quickstart.dynreg, "_fetcher", sector_document)  # ours reaches no host of a test
            app = openid_provider.create_app(
                {"DYNREG_SERVER_METADATA": {"issuer": ISSUER}, "PREFERRED_URL_SCHEME": "https"}
            )
        apps.append(app)
        return app

    yield start
    for app in apps:
        with app.app_context():
            store.db.engine.dispose()


SECTOR = [REDIRECT_URI, "https://one.example/cb", "https://two.example/cb"]


def sector_document(url: str, *, client_id: str | None = None) -> Fetched:
    if not url.endswith("/sector.json"):
        raise FetchError("The host must have the document.")
    return Fetched(json.dumps(SECTOR).encode(), "application/json", None)


@pytest.fixture(scope="module")
def provider(start_provider: StartProvider, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return start_provider(tmp_path_factory.mktemp("openid_provider"))


@pytest.fixture
def visitor(provider: Flask) -> Visitor:
    return Visitor(provider)


def tokens(visitor: Visitor, client: Client, **parameters: str | None) -> dict[str, Any]:
    """What the client gets for a code, once the visitor has allowed it."""
    code = visitor.code(client, **{"scope": "openid profile email", **parameters})
    fields = {"redirect_uri": client["redirect_uris"][0]}
    if "client_secret" in client:
        fields["client_secret"] = client["client_secret"]
    answer = visitor.exchange(client, code, **fields)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.get_json()
    return issued


def verified(visitor: Visitor, token: str, algorithm: str = "RS256") -> dict[str, Any]:
    """The claims of a JWT that the provider signed with a key it publishes."""
    keys = KeySet.import_key_set(visitor.http.get("/oauth2/jwks").get_json())
    decoded = jwt.decode(token, keys, algorithms=[algorithm])
    assert decoded.header["kid"] in {key.kid for key in keys.keys}
    return decoded.claims


def claims(visitor: Visitor, client: Client, **parameters: str | None) -> dict[str, Any]:
    return verified(visitor, tokens(visitor, client, **parameters)["id_token"])


def let_time_pass(visitor: Visitor, seconds: int) -> None:
    """The visitor signed in so many seconds earlier."""
    with visitor.http.session_transaction() as session:
        session["auth_time"] -= seconds


def asks_for_password(visitor: Visitor, client: Client, **parameters: str | None) -> bool:
    return 'name="password"' in visitor.open(client, scope="openid", **parameters).text


# ---- Discovery


@requirement("OIDCDISC-3-01", "OIDCDISC-3-02", "RPLOGOUT-2.1-01")
def test_the_document_has_what_a_relying_party_needs(visitor: Visitor) -> None:
    document = visitor.http.get(CONFIGURATION).get_json()
    for name in ("authorization", "token", "userinfo", "registration", "end_session"):
        assert document[f"{name}_endpoint"].startswith(f"{ISSUER}/")
    assert document["subject_types_supported"] == ["public", "pairwise"]
    assert "RS256" in document["id_token_signing_alg_values_supported"]
    assert document["request_uri_parameter_supported"] is False
    assert len(visitor.http.get(document["jwks_uri"]).get_json()["keys"]) == 2
    assert visitor.http.get(document["end_session_endpoint"]).status_code == 200


@requirement("OIDCDISC-4.3-01")
def test_the_issuer_is_the_one_of_the_id_tokens(visitor: Visitor) -> None:
    document = visitor.http.get(f"{ISSUER}{CONFIGURATION}").get_json()
    assert document["issuer"] == claims(visitor, visitor.register())["iss"] == ISSUER


@requirement("OIDCDISC-3-03")
def test_scripts_may_ask_who_the_user_is_and_for_the_keys(visitor: Visitor) -> None:
    for path in (USERINFO, "/oauth2/jwks", TOKEN):
        preflight = visitor.http.options(path, headers={"Origin": "https://app.example"})
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    page = visitor.open(visitor.register(), scope="openid")
    assert "Access-Control-Allow-Origin" not in page.headers


def test_keys_and_subjects_outlive_a_restart_and_are_for_nobody_else(
    start_provider: StartProvider, tmp_path: Path
) -> None:
    before, after = (Visitor(start_provider(tmp_path)) for _ in range(2))
    keys = before.http.get("/oauth2/jwks").get_json()
    assert after.http.get("/oauth2/jwks").get_json() == keys
    assert all(key.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi"}) for key in keys["keys"])
    assert (tmp_path / "openid_signing_keys.json").stat().st_mode & 0o77 == 0
    client = before.register(**PUBLIC, subject_type="pairwise")
    assert claims(before, client)["sub"] == claims(after, client)["sub"]


# ---- ID tokens


@requirement("OIDCREG-2-19")
def test_an_id_token_is_signed_with_rs256_unless_the_client_registers_another_algorithm(visitor: Visitor) -> None:
    client = visitor.register()
    assert client["id_token_signed_response_alg"] == "RS256"
    assert verified(visitor, tokens(visitor, client)["id_token"])["sub"] == "alice"
    client = visitor.register(**PUBLIC, id_token_signed_response_alg="ES256")
    assert client["id_token_signed_response_alg"] == "ES256"
    assert verified(visitor, tokens(visitor, client)["id_token"], "ES256")["sub"] == "alice"
    refused(post(visitor.http, {**PUBLIC, "id_token_signed_response_alg": "PS512"}), "invalid_client_metadata")


@requirement("OIDCREG-2-33")
def test_an_id_token_says_for_whom_it_is_and_how_the_user_signed_in(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, require_auth_time=True)
    assert client["require_auth_time"] is True
    stated = claims(visitor, client, nonce="a nonce")
    assert (stated["aud"], stated["nonce"]) == (client["client_id"], "a nonce")
    assert stated["acr"] in visitor.http.get(CONFIGURATION).get_json()["acr_values_supported"]
    assert 0 <= stated["iat"] - stated["auth_time"] <= 60
    assert stated["iat"] < stated["exp"]
    assert {"email", "name"}.isdisjoint(stated)  # of which the UserInfo endpoint tells
    assert "nonce" not in claims(visitor, client)
    assert visitor.register().get("require_auth_time", False) is False


def test_without_the_scope_openid_there_is_no_id_token(visitor: Visitor) -> None:
    issued = tokens(visitor, visitor.register(), scope="profile")
    assert (issued["scope"], "id_token" in issued) == ("profile", False)
    answer = visitor.http.get(USERINFO, headers=bearer(issued["access_token"]))
    assert (answer.status_code, answer.get_json()["error"]) == (403, "insufficient_scope")


def test_an_unknown_scope_is_ignored_and_an_own_choice_is_kept_to(visitor: Visitor) -> None:
    assert tokens(visitor, visitor.register(), scope="openid phone email")["scope"] == "openid email"
    client = visitor.register(**PUBLIC, scope="openid email")
    assert tokens(visitor, client)["scope"] == "openid email"
    visitor.consent_page(client, scope="phone")
    assert answered(visitor.page)["error"] == "invalid_scope"


# ---- UserInfo


@requirement("OIDCREG-2-23")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_userinfo_is_plain_or_signed_as_registered(visitor: Visitor, algorithm: str) -> None:
    plain = visitor.register()
    answer = visitor.http.get(USERINFO, headers=bearer(tokens(visitor, plain)["access_token"]))
    assert (answer.mimetype, answer.get_json()) == ("application/json", {"sub": "alice", **PROFILE, **EMAIL})
    signed = visitor.register(**PUBLIC, userinfo_signed_response_alg=algorithm)
    answer = visitor.http.get(USERINFO, headers=bearer(tokens(visitor, signed, scope="openid")["access_token"]))
    assert answer.mimetype == "application/jwt"
    assert verified(visitor, answer.text, algorithm) == {"sub": "alice", "iss": ISSUER, "aud": signed["client_id"]}


def test_userinfo_follows_the_scope_and_takes_the_token_from_a_form(visitor: Visitor) -> None:
    token = tokens(visitor, visitor.register(), scope="openid email")["access_token"]
    for answer in (
        visitor.http.post(USERINFO, headers=bearer(token)),
        visitor.http.post(USERINFO, data={"access_token": token}),
    ):
        assert answer.get_json() == {"sub": "alice", **EMAIL}
        assert answer.headers["Cache-Control"] == "no-store"
    assert visitor.http.get(f"{USERINFO}?access_token={token}").status_code == 401


def test_userinfo_is_told_to_nobody_whose_token_is_not_good(visitor: Visitor) -> None:
    client = visitor.register()
    issued = tokens(visitor, client)
    visitor.http.post("/oauth2/revoke", data={"client_id": client["client_id"], "token": issued["access_token"]})
    for headers in ({}, bearer("x"), bearer(issued["access_token"]), {"Authorization": "Basic eDp5"}):
        answer = visitor.http.get(USERINFO, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].lower().startswith("bearer ")


# ---- When the user signs in


@requirement("OIDCREG-2-32")
def test_a_login_older_than_the_default_max_age_is_done_again(visitor: Visitor) -> None:
    for wrong in ("60", -1, True, 1.5):
        refused(post(visitor.http, {**PUBLIC, "default_max_age": wrong}), "invalid_client_metadata")
    client = visitor.register(**PUBLIC, default_max_age=60)
    first = claims(visitor, client)["auth_time"]
    assert not asks_for_password(visitor, client)
    let_time_pass(visitor, 100)
    assert not asks_for_password(visitor, client, max_age="200")
    assert claims(visitor, client, max_age="200")["auth_time"] == first - 100
    assert asks_for_password(visitor, client)
    assert claims(visitor, client)["auth_time"] >= first


@pytest.mark.parametrize("parameters", [{"max_age": "0"}, {"prompt": "login"}, {"prompt": "select_account consent"}])
def test_a_client_may_have_the_user_sign_in_again(visitor: Visitor, parameters: dict[str, str]) -> None:
    client = visitor.register()
    first = claims(visitor, client)["auth_time"]
    let_time_pass(visitor, 10)
    assert asks_for_password(visitor, client, **parameters, nonce="1")
    assert claims(visitor, client, **parameters, nonce="2")["auth_time"] >= first
    assert not asks_for_password(visitor, client)


def test_a_max_age_that_is_no_number_of_seconds_is_refused(visitor: Visitor) -> None:
    client = visitor.register()
    for wrong in ("-1", "1.5", "x", "\u0661", "9" * 5000):
        answer = answered(visitor.consent_page(client, scope="openid", max_age=wrong))
        assert answer["error_description"] == "max_age must be a number of seconds."


def test_a_silent_request_shows_no_page(visitor: Visitor) -> None:
    client = visitor.register()
    assert answered(visitor.open(client, scope="openid", prompt="none")) == {
        "error": "login_required",
        "state": "a state",
        "iss": ISSUER,
    }
    tokens(visitor, client)
    assert answered(visitor.open(client, scope="openid", prompt="none"))["error"] == "consent_required"
    assert answered(visitor.open(client, scope="openid", prompt="none consent"))["error"] == "invalid_request"


def test_a_request_may_be_posted(visitor: Visitor) -> None:
    client = visitor.register()
    parameters = {
        "response_type": "code",
        "client_id": client["client_id"],
        "scope": "openid",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "nonce": "a nonce",
    }
    answer = visitor.http.post("/oauth2/authorize", data=parameters)
    assert answer.status_code == 303
    visitor.url, visitor.page = answer.location, visitor.http.get(answer.location)
    visitor.sign_in()
    visitor.url = answer.location
    code = answered(visitor.press(decision="allow"))["code"]
    fields = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    issued = visitor.token(client_id=client["client_id"], **fields).get_json()
    assert verified(visitor, issued["id_token"])["nonce"] == "a nonce"


@pytest.mark.parametrize("name", ["request", "request_uri", "registration"])
def test_what_is_not_supported_is_refused_by_name(visitor: Visitor, name: str) -> None:
    page = visitor.consent_page(visitor.register(), scope="openid", **{name: "x"})
    assert answered(page)["error"] == f"{name}_not_supported"


# ---- Subjects


def subject(visitor: Visitor, **metadata: Any) -> str:
    """The user as a client with this metadata knows them."""
    client = visitor.register(**{**CONFIDENTIAL, "token_endpoint_auth_method": "client_secret_post", **metadata})
    issued = tokens(visitor, client)
    answer = visitor.http.get(USERINFO, headers=bearer(issued["access_token"]))
    sub: str = verified(visitor, issued["id_token"])["sub"]
    assert answer.get_json()["sub"] == sub
    return sub


@requirement("OIDCCORE-8.1-02")
def test_a_pairwise_subject_is_for_the_host_of_the_redirect_uris(visitor: Visitor) -> None:
    one = subject(visitor, subject_type="pairwise")
    same = subject(
        visitor, subject_type="pairwise", redirect_uris=["https://app.example/other", "https://app.example/cb"]
    )
    other = subject(visitor, subject_type="pairwise", redirect_uris=["https://other.example/cb"])
    assert one == same != other
    assert "alice" not in (one, other)
    assert subject(visitor) == subject(visitor, subject_type="public") == "alice"


@requirement("OIDCREG-2-17", "OIDCCORE-8.1-02")
def test_a_pairwise_subject_is_for_the_host_of_the_sector_identifier_uri(visitor: Visitor) -> None:
    sector = {"subject_type": "pairwise", "sector_identifier_uri": "https://sector.example/sector.json"}
    one, two = (subject(visitor, **sector, redirect_uris=[uri]) for uri in SECTOR[1:])
    assert one == two
    elsewhere = sector | {"sector_identifier_uri": "https://elsewhere.example/sector.json"}
    assert subject(visitor, **elsewhere, redirect_uris=SECTOR[1:]) != one


# ---- Logout


@pytest.fixture
def signed_in(visitor: Visitor) -> tuple[Client, str]:
    """A client with an address for the way back, and an ID token of the visitor, who is signed in."""
    client = visitor.register(**PUBLIC, post_logout_redirect_uris=[SIGNED_OUT])
    return client, tokens(visitor, client)["id_token"]


def is_signed_in(visitor: Visitor, client: Client) -> bool:
    return not asks_for_password(visitor, client)


@requirement("RPLOGOUT-3-01")
def test_after_logout_the_user_goes_back_to_a_registered_address_alone(
    visitor: Visitor, signed_in: tuple[Client, str]
) -> None:
    client, id_token = signed_in
    for address in (f"{SIGNED_OUT}/", f"{SIGNED_OUT}?x=1", "https://app.example/", REDIRECT_URI):
        page = visitor.http.get(SIGN_OUT, query_string={"id_token_hint": id_token, "post_logout_redirect_uri": address})
        assert page.status_code == 200 and page.location is None and "Signed out" in page.text
    assert not is_signed_in(visitor, client)
    query = {"id_token_hint": id_token, "post_logout_redirect_uri": SIGNED_OUT, "state": "a state"}
    answer = visitor.http.get(SIGN_OUT, query_string=query)
    assert (answer.status_code, answer.location) == (302, f"{SIGNED_OUT}?state=a+state")


@requirement("RPLOGOUT-3-02")
def test_without_an_id_token_the_user_is_asked_and_not_sent_anywhere(
    visitor: Visitor, signed_in: tuple[Client, str]
) -> None:
    client, _ = signed_in
    query = {"client_id": client["client_id"], "post_logout_redirect_uri": SIGNED_OUT}
    for parameters in (query, {"post_logout_redirect_uri": SIGNED_OUT}, {}):
        visitor.page = visitor.http.get(SIGN_OUT, query_string=parameters)
        assert (visitor.page.status_code, "Sign out?" in visitor.page.text) == (200, True)
    assert is_signed_in(visitor, client)
    assert visitor.http.post(SIGN_OUT, data={"csrf_token": "x"}).status_code == 400
    assert is_signed_in(visitor, client)
    visitor.page = visitor.http.get(SIGN_OUT, query_string=query)
    visitor.url = visitor.page.request.url
    answer = visitor.press()
    assert answer.status_code == 200 and answer.location is None and "Signed out" in answer.text
    assert not is_signed_in(visitor, client)


def test_a_logout_may_be_posted(visitor: Visitor, signed_in: tuple[Client, str]) -> None:
    client, id_token = signed_in
    fields = {"id_token_hint": id_token, "post_logout_redirect_uri": SIGNED_OUT}
    answer = visitor.http.post(SIGN_OUT, data=fields)
    assert visitor.http.get(answer.location).location == SIGNED_OUT
    assert not is_signed_in(visitor, client)


def test_an_id_token_of_another_user_or_client_signs_nobody_out(
    visitor: Visitor, signed_in: tuple[Client, str]
) -> None:
    client, id_token = signed_in
    with visitor.http.session_transaction() as session:
        session["user"] = "bob"
    assert "Sign out?" in visitor.http.get(SIGN_OUT, query_string={"id_token_hint": id_token}).text
    with visitor.http.session_transaction() as session:
        session["user"] = "alice"
    other = visitor.register()["client_id"]
    head, body, signature = id_token.split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{body}."
    for query in (
        {"id_token_hint": id_token, "client_id": other},
        *({"id_token_hint": hint} for hint in ("x", "..", "é", unsigned, f"{head}.{body}.{signature[::-1]}")),
    ):
        page = visitor.http.get(SIGN_OUT, query_string=query)
        assert (page.status_code, page.mimetype) == (400, "text/html")
    assert is_signed_in(visitor, client)
