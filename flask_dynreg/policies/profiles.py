"""Ready sets of policies for the rules of others, by one name each."""

from collections.abc import Mapping

from flask_dynreg.policies import shipped
from flask_dynreg.policies.policy import Profile

_STRONG_METHODS = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")
_STRONG_ALGORITHMS = ("PS256", "ES256", "EdDSA", "Ed25519")
_USER_GRANTS = ("authorization_code", "refresh_token")

PROFILES: Mapping[str, Profile] = {
    "mcp": Profile(
        {
            "require_pkce": shipped.require_pkce,
            "grants": shipped.GrantCeiling((*_USER_GRANTS, "client_credentials")),
        }
    ),
    "oauth21": Profile(
        {
            "require_pkce": shipped.require_pkce,
            "grants": shipped.GrantCeiling(
                (
                    *_USER_GRANTS,
                    "client_credentials",
                    "urn:ietf:params:oauth:grant-type:device_code",
                    "urn:ietf:params:oauth:grant-type:token-exchange",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer",
                )
            ),
        }
    ),
    "oidc": Profile({"application_type": shipped.strict_application_type}),
    "fapi2": Profile(
        {
            "names": shipped.known_names_only,
            "methods": shipped.AuthMethodCeiling(_STRONG_METHODS),
            "algorithms": shipped.SigningAlgorithms(_STRONG_ALGORITHMS),
            "require_pkce": shipped.require_pkce,
            "grants": shipped.GrantCeiling((*_USER_GRANTS, "client_credentials", "urn:openid:params:grant-type:ciba")),
            "require_https": shipped.require_https,
        }
    ),
    "open-banking-uk": Profile(
        {
            "names": shipped.known_names_only,
            "statement": shipped.require_statement,
            "methods": shipped.AuthMethodCeiling(("private_key_jwt", "tls_client_auth")),
            "algorithms": shipped.SigningAlgorithms(("PS256", "ES256")),
            "grants": shipped.GrantCeiling((*_USER_GRANTS, "client_credentials", "urn:openid:params:grant-type:ciba")),
            "require_https": shipped.require_https,
        }
    ),
    "open-banking-brasil": Profile(
        {
            "names": shipped.known_names_only,
            "statement": shipped.require_statement,
            "methods": shipped.AuthMethodCeiling(("private_key_jwt", "tls_client_auth")),
            "algorithms": shipped.SigningAlgorithms(("PS256",)),
            "grants": shipped.GrantCeiling((*_USER_GRANTS, "client_credentials", "urn:openid:params:grant-type:ciba")),
            "require_https": shipped.require_https,
        }
    ),
}
