"""A relying party: what it gets once the visitor has allowed it, and what it asks of the visitor."""

from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet

from tests.conformance.exchange import REDIRECT_URI, Client
from tests.conformance.visitor import Visitor

ISSUER = "https://op.example"
CONFIGURATION = "/.well-known/openid-configuration"
USERINFO, SIGN_OUT = "/oauth2/userinfo", "/oauth2/sign-out"
SECTOR = [REDIRECT_URI, "https://one.example/cb", "https://two.example/cb"]
"""The document at every sector_identifier_uri."""


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
