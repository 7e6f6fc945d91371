"""Relying parties from PyPI and npm, each of which registers itself with the OpenID Provider of examples/."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptojwt.key_jar import init_key_jar  # type: ignore[import-untyped]
from idpyoidc.client.rp_handler import RPHandler  # type: ignore[import-untyped]
from oic.oic import Client
from oic.oic.message import AccessTokenResponse, AuthorizationResponse
from oic.utils.authn.client import CLIENT_AUTHN_METHOD

from tests.clients.conftest import RunScript
from tests.clients.user import User

REDIRECT_URI = "https://rp.example/callback"
SCOPE = ["openid", "profile", "email"]
USERINFO = {"name": "Alice Adams", "preferred_username": "alice", "email": "alice@example.com", "email_verified": True}
ALGORITHMS = ["RS256", "ES256"]


def response(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_idpyoidc(openid_provider: str, algorithm: str) -> None:
    pkce = {"code_challenge_length": 64, "code_challenge_method": "S256"}
    preference = {
        "application_type": "web",
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "scopes_supported": SCOPE,
        "id_token_signing_alg_values_supported": [algorithm],
    }
    configuration = {
        "client_type": "oidc",
        "redirect_uris": [REDIRECT_URI],
        "preference": preference,
        "add_ons": {"pkce": {"function": "idpyoidc.client.oauth2.add_on.pkce.add_support", "kwargs": pkce}},
    }
    keys = init_key_jar(key_defs=[{"type": "RSA", "use": ["sig"]}])
    handler = RPHandler("https://rp.example", {"": configuration}, keyjar=keys, jwks_path="jwks.json")
    location = User().answer(handler.begin(openid_provider))
    outcome = handler.finalize(openid_provider, response(location))
    registered = handler.issuer2rp[openid_provider].get_context().registration_response
    assert registered["id_token_signed_response_alg"] == algorithm
    assert outcome["id_token"].jws_header["alg"] == algorithm
    assert outcome["id_token"]["aud"] == [registered["client_id"]]
    assert outcome["userinfo"].to_dict().items() >= {"sub": "alice", **USERINFO}.items()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("subject_type", ["public", "pairwise"])
def test_oic(openid_provider: str, algorithm: str, subject_type: str) -> None:
    """Which knows nothing of PKCE: it has a secret, and compares the nonce."""
    client: Any = Client(client_authn_method=CLIENT_AUTHN_METHOD)
    provider = client.provider_config(openid_provider)
    client.redirect_uris = [REDIRECT_URI]
    choices = {"id_token_signed_response_alg": algorithm, "userinfo_signed_response_alg": algorithm}
    registered = client.register(
        provider["registration_endpoint"], redirect_uris=[REDIRECT_URI], subject_type=subject_type, **choices
    )
    assert registered.to_dict().items() >= {"subject_type": subject_type, **choices}.items()
    asked = {
        "response_type": "code",
        "scope": SCOPE,
        "state": "a state",
        "nonce": "a nonce",
        "max_age": 60,
        "redirect_uri": REDIRECT_URI,
    }
    request = client.construct_AuthorizationRequest(request_args=asked)
    location = User().answer(request.request(provider["authorization_endpoint"]))
    answer = client.parse_response(AuthorizationResponse, info=urlsplit(location).query, sformat="urlencoded")
    code = {"code": answer["code"], "redirect_uri": REDIRECT_URI}
    tokens = client.do_access_token_request(state="a state", request_args=code)
    assert isinstance(tokens, AccessTokenResponse)
    id_token = tokens["id_token"]
    assert id_token.jws_header["alg"] == algorithm
    assert (id_token["nonce"], id_token["aud"]) == ("a nonce", [registered["client_id"]])
    assert (id_token["sub"] == "alice") == (subject_type == "public")
    userinfo = client.do_user_info_request(state="a state")
    assert userinfo.to_dict().items() >= {"sub": id_token["sub"], **USERINFO}.items()


@pytest.mark.parametrize(
    ("method", "metadata"),
    [
        ("client_secret_basic", {}),
        ("client_secret_post", {"userinfo_signed_response_alg": "ES256"}),
        ("private_key_jwt", {"request_object_signing_alg": "ES256"}),
        ("none", {"id_token_signed_response_alg": "ES256", "subject_type": "pairwise"}),
    ],
)
def test_openid_client(openid_provider: str, run_script: RunScript, method: str, metadata: dict[str, Any]) -> None:
    seen = run_script("openid_connect.mjs", openid_provider, method, json.dumps(metadata))
    assert seen["registered"].items() >= {"token_endpoint_auth_method": method, **metadata}.items()
    assert seen["header"]["alg"] == metadata.get("id_token_signed_response_alg", "RS256")
    assert seen["claims"]["aud"] == seen["registered"]["client_id"]
    assert (seen["claims"]["sub"] == "alice") == ("subject_type" not in metadata)
    assert seen["userinfo"].items() >= {"sub": seen["claims"]["sub"], **USERINFO}.items()
    assert seen["scope"] == "openid profile email offline_access"
