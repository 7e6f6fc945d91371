"""What the server supports, in the form in which registrations are compared with it."""

from collections.abc import Mapping
from typing import Any

from flask_dynreg.metadata.key_sets import SIGNATURES
from flask_dynreg.metadata.redirect_uris import RedirectRules

# RFC 7591 section 2; the methods for which this extension knows what a client must bring.
AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt")
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post", "client_secret_jwt"})
REDIRECT_GRANTS = frozenset({"authorization_code", "implicit"})

_GRANT_OF_WORD = {"code": "authorization_code", "token": "implicit", "id_token": "implicit"}


def words(response_type: str) -> frozenset[str]:
    """The order of the words in a response type does not matter (OAuth 2.0 Multiple Response Types section 3)."""
    return frozenset(response_type.split())


def grants_of(response_type: str) -> set[str]:
    """The grant types that a response type needs (RFC 7591 section 2.1)."""
    return {_GRANT_OF_WORD[word] for word in words(response_type) if word in _GRANT_OF_WORD}


class ServerSupport:
    """The grant types, response types, methods and scopes that may be registered, and the rules for redirect URIs."""

    def __init__(
        self, server_metadata: Mapping[str, Any], default_scopes: tuple[str, ...], redirect_rules: RedirectRules
    ) -> None:
        self.grant_types = frozenset(server_metadata["grant_types_supported"])
        self.response_types = frozenset(words(name) for name in server_metadata["response_types_supported"])
        stated = server_metadata["token_endpoint_auth_methods_supported"]
        self.auth_methods = tuple(method for method in stated if method in AUTH_METHODS)
        stated = server_metadata.get("token_endpoint_auth_signing_alg_values_supported", SIGNATURES)
        self.signing_algorithms = tuple(stated)
        self.scopes = frozenset(server_metadata.get("scopes_supported", ()))
        self.default_scopes = default_scopes
        self.redirect_rules = redirect_rules
