"""What the server supports, in the form in which registrations are compared with it."""

from collections.abc import Mapping
from typing import Any

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.metadata.algorithms import SIGNATURES, SYMMETRIC
from flask_dynreg.metadata.redirect_uris import RedirectRules

# RFC 7591 section 2, OpenID Connect Core section 9, RFC 8705: the methods of which it is known what a client must bring.
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post", "client_secret_jwt"})
CERTIFICATE_METHODS = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
AUTH_METHODS = SECRET_METHODS | CERTIFICATE_METHODS | {"none", "private_key_jwt"}
CERTIFICATE_SUBJECTS = frozenset(
    f"tls_client_auth_{name}" for name in ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email")
)

_GRANT_OF_WORD = {"code": "authorization_code", "token": "implicit", "id_token": "implicit"}


def words(response_type: str) -> tuple[str, ...]:
    """In an order of ours, as that in a response type does not matter (OAuth 2.0 Multiple Response Types section 3).

    Each stands there once, with one space between two: any other text is no response type that a server supports.
    """
    return tuple(sorted(response_type.split(" ")))


def grants_of(response_type: str) -> set[str]:
    """The grant types that a response type needs (RFC 7591 section 2.1)."""
    return {_GRANT_OF_WORD[word] for word in words(response_type) if word in _GRANT_OF_WORD}


class ServerSupport:
    """What may be registered, and the rules for redirect URIs.

    Raises ConfigurationError if an algorithm needs client secrets that can be read again, and they cannot.
    """

    def __init__(
        self,
        server_metadata: Mapping[str, Any],
        default_scopes: tuple[str, ...],
        redirect_rules: RedirectRules,
        *,
        reads_secrets: bool,
    ) -> None:
        self._metadata = server_metadata
        self.grant_types = frozenset(server_metadata["grant_types_supported"])
        self.response_types = frozenset(words(name) for name in server_metadata["response_types_supported"])
        stated = server_metadata["token_endpoint_auth_methods_supported"]
        self.auth_methods = tuple(method for method in stated if method in AUTH_METHODS)
        stated = server_metadata.get("token_endpoint_auth_signing_alg_values_supported", SIGNATURES)
        self.signing_algorithms = tuple(stated)
        self.scopes = frozenset(server_metadata.get("scopes_supported", ()))
        self.default_scopes = default_scopes
        self.redirect_rules = redirect_rules
        if not reads_secrets:
            self._refuse_symmetric_algorithms()

    def _refuse_symmetric_algorithms(self) -> None:
        for name, value in self._metadata.items():
            if name.endswith("_alg_values_supported") and (found := sorted(SYMMETRIC.intersection(value))):
                raise ConfigurationError(
                    f"DYNREG_SECRET_KEYS must hold a key: {found[0]} of {name} in DYNREG_SERVER_METADATA needs secrets that"
                    " can be read."
                )

    def declares(self, name: str) -> bool:
        """Whether the server metadata say something by this name, or list it as an authentication method."""
        return bool(self._metadata.get(name)) or name in self.auth_methods

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a list of the server metadata; empty if there is none."""
        known = name == "token_endpoint_auth_methods_supported"
        return self.auth_methods if known else tuple(self._metadata.get(name, ()))
