"""The defaults that come into force, and what is taken away from what a client asks for. Nothing else is ever added."""

from typing import Any

from flask_dynreg.metadata.server import ServerSupport, grants_of, words

Metadata = dict[str, Any]

NARROWED_BY = {
    "grant_types": {"grant_types", "token_endpoint_auth_method"},
    "response_types": {"response_types", "grant_types", "token_endpoint_auth_method"},
}
"""For each member that is narrowed, the members that decide how."""


def completed(metadata: Metadata, server: ServerSupport) -> None:
    """Fills in what RFC 7591 section 2 says of an absent member, and what the answer always shows."""
    if not metadata.get("grant_types"):
        metadata["grant_types"] = ["authorization_code"]
    if "response_types" not in metadata:
        metadata["response_types"] = ["code"] if "authorization_code" in metadata["grant_types"] else []
    if "token_endpoint_auth_method" not in metadata:
        metadata["token_endpoint_auth_method"] = _default_auth_method(server)
    metadata.setdefault("redirect_uris", [])
    if metadata.get("contacts") == []:
        del metadata["contacts"]


def _default_auth_method(server: ServerSupport) -> str:
    usual = "client_secret_basic"
    return usual if usual in server.auth_methods or not server.auth_methods else server.auth_methods[0]


def narrowed(metadata: Metadata, server: ServerSupport) -> dict[str, list[str]]:
    """Takes away the grant types and response types that cannot be had; gives them back by the name of their member."""
    public = metadata["token_endpoint_auth_method"] == "none"
    asked_grants = list(dict.fromkeys(metadata["grant_types"]))
    grants = [
        grant
        for grant in asked_grants
        if grant in server.grant_types and not (public and grant == "client_credentials")  # RFC 6749 section 4.4
    ]
    asked_types = list(dict.fromkeys(metadata["response_types"]))
    types = [name for name in asked_types if words(name) in server.response_types and grants_of(name) <= set(grants)]
    metadata["grant_types"], metadata["response_types"] = grants, types
    taken = {
        "grant_types": [grant for grant in asked_grants if grant not in grants],
        "response_types": [name for name in asked_types if name not in types],
    }
    return {member: names for member, names in taken.items() if names}


def scoped(metadata: Metadata, server: ServerSupport) -> None:
    """Scope is never a reason to refuse: what is asked for and allowed, and what every client gets."""
    asked = metadata.pop("scope", "").split(" ")
    scopes = [scope for scope in dict.fromkeys([*asked, *server.default_scopes]) if scope in server.scopes]
    if scopes:
        metadata["scope"] = " ".join(scopes)
