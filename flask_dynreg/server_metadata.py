"""What an authorization server says of itself (RFC 8414): sound, complete and with its defaults written out."""

import copy
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from flask_dynreg.hosts import LOOPBACK_HOSTS, host_and_port

DEFAULTS = {
    # RFC 8414 section 2 would add implicit, which RFC 9700 section 2.1.2 advises against: who has it says so.
    "grant_types_supported": ["authorization_code"],
    "response_types_supported": ["code"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
}
REDIRECT_GRANTS = frozenset({"authorization_code", "implicit"})
"""Those by which a user comes back to the client."""
LONGEST_ISSUER = 255
"""It has to fit into its column."""

_URL = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_LIST = re.compile(r"(?:.*_)?(?:scopes|types|modes|methods|values|locales|claims)_supported")
# RFC 6749 appendix A. The names of scopes have no space in them, as it stands between two.
_NAMES = re.compile(r"[ !#-\[\]-~]+")
_SCOPE = re.compile(r"[!#-\[\]-~]+")


def checked_server_metadata(stated: Mapping[str, Any], *, discovery: bool) -> Mapping[str, Any]:
    """A copy with the defaults written out, which is not to be changed.

    Raises ValueError, naming the member. With `discovery` it must also hold what RFC 8414 section 2 requires of a document.
    """
    metadata: dict[str, Any] = {}
    for name, value in stated.items():
        try:
            metadata |= json.loads(json.dumps({name: value}, allow_nan=False))
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be made of JSON values only.") from None
    check_issuer(metadata.get("issuer"))
    if "registration_endpoint" in metadata:
        raise ValueError("registration_endpoint is filled in by the extension; leave it out.")
    for name, value in metadata.items():
        _check_member(name, value)
    metadata = copy.deepcopy(DEFAULTS) | metadata
    grants = set(metadata["grant_types_supported"])
    if "authorization_code" in grants:
        metadata.setdefault("code_challenge_methods_supported", ["S256"])  # RFC 9700 section 2.1.1 requires PKCE
    if discovery:
        _check_document(metadata, grants)
    # RFC 8414 section 3.2: a member with no values is left out.
    return MappingProxyType({name: value for name, value in metadata.items() if value != [] or name in DEFAULTS})


def check_issuer(issuer: Any) -> None:
    """RFC 8414 section 2: https, no query, no fragment. Plain http is for a server on the own machine."""
    if not is_url(issuer, queries=False):
        raise ValueError("issuer must be an https URL without query and fragment; plain http is for loopback alone.")
    if len(issuer) > LONGEST_ISSUER or not issuer.startswith(("https:", "http:")):
        raise ValueError(f"issuer must be of at most {LONGEST_ISSUER} characters, with its scheme in small letters.")


def is_url(value: Any, *, queries: bool = True) -> bool:
    """Whether it is an absolute https URL with a host, or an http one of a loopback host."""
    if not isinstance(value, str) or not _URL.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    found = host_and_port(parts.netloc)
    if not found or "#" in value or ("?" in value and not queries):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and found[0] in LOOPBACK_HOSTS)


def _check_member(name: str, value: Any) -> None:
    # Formats and configurations of credentials are objects, and whether there is something at all is true or false.
    if name.endswith("_supported") and (_LIST.fullmatch(name) or not isinstance(value, bool | dict)):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f'{name} must be a list of strings, in JSON ["..."].')
        if name in DEFAULTS and not all(map(_NAMES.fullmatch, value)):
            raise ValueError(f"{name} must have ASCII names without quotation mark and backslash.")
        if name == "scopes_supported" and not all(map(_SCOPE.fullmatch, value)):
            raise ValueError(f"{name} must have ASCII names without space, quotation mark and backslash.")
    elif (name.endswith("_endpoint") or name in ("jwks_uri", "service_documentation")) and not is_url(value):
        raise ValueError(f"{name} must be an absolute https URL; plain http is for loopback alone.")


def _check_document(metadata: Mapping[str, Any], grants: set[str]) -> None:
    if grants & REDIRECT_GRANTS and "authorization_endpoint" not in metadata:
        raise ValueError("authorization_endpoint must be there (or DYNREG_DISCOVERY be false).")
    if grants - {"implicit"} and "token_endpoint" not in metadata:
        raise ValueError("token_endpoint must be there (or DYNREG_DISCOVERY be false).")
    for endpoint in ("token", "revocation", "introspection"):
        methods = metadata.get(f"{endpoint}_endpoint_auth_methods_supported", [])
        algorithms = f"{endpoint}_endpoint_auth_signing_alg_values_supported"
        if {"private_key_jwt", "client_secret_jwt"} & set(methods) and not metadata.get(algorithms):
            raise ValueError(f"{algorithms} must be there, since a JWT is among the methods.")
        if "none" in metadata.get(algorithms, []):
            raise ValueError(f"{algorithms} must not have none.")
