"""RP-Initiated Logout."""

import pytest

from tests.conformance.exchange import PUBLIC, REDIRECT_URI, Client
from tests.conformance.requirements import requirement
from tests.conformance.visitor import Visitor
from tests.openid_provider.relying_party import (
    SIGN_OUT,
    asks_for_password,
    tokens,
)

SIGNED_OUT = "https://app.example/signed-out"


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
