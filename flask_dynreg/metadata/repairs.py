"""The defaults that come into force, and what is taken away from what a client asks for. Nothing else is ever added."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from flask_dynreg.metadata.algorithms import DEFAULT_CONTENT_ENCRYPTION
from flask_dynreg.metadata.server import CERTIFICATE_SUBJECTS, ServerSupport, grants_of, words

Metadata = dict[str, Any]

NARROWED_BY = {
    "grant_types": {"grant_types", "token_endpoint_auth_method"},
    "response_types": {"response_types", "grant_types", "token_endpoint_auth_method"},
}
"""For a member that others decide about, the members that decide how it is narrowed."""

ENCRYPTED = {
    f"{what}_alg": f"{what}_enc"
    for what in (
        "id_token_encrypted_response",
        "userinfo_encrypted_response",
        "request_object_encryption",
        "authorization_encrypted_response",
        "introspection_encrypted_response",
    )
}
"""The members that name the algorithm of an encryption, each with the one that names that of the content."""


def _method(*methods: str) -> Callable[[Metadata], bool]:
    return lambda metadata: metadata["token_endpoint_auth_method"] in methods


_WORKS_WITH: Mapping[str, Callable[[Metadata], bool]] = {
    "frontchannel_logout_session_required": lambda metadata: "frontchannel_logout_uri" in metadata,
    "backchannel_logout_session_required": lambda metadata: "backchannel_logout_uri" in metadata,
    "token_endpoint_auth_signing_alg": _method("client_secret_jwt", "private_key_jwt"),
    **dict.fromkeys(CERTIFICATE_SUBJECTS, _method("tls_client_auth")),
}
"""For a member that does something only beside others, whether these are there."""


def completed(metadata: Metadata, server: ServerSupport, defaults: Mapping[str, str]) -> None:
    """Fills in what RFC 7591 section 2 says of an absent member, and what the answer always shows.

    `defaults` are those of the further vocabularies that the server knows.
    """
    if not metadata.get("grant_types"):
        metadata["grant_types"] = ["authorization_code"]
    if "response_types" not in metadata:
        metadata["response_types"] = ["code"] if "authorization_code" in metadata["grant_types"] else []
    if "token_endpoint_auth_method" not in metadata:
        metadata["token_endpoint_auth_method"] = _default_auth_method(server)
    metadata.setdefault("redirect_uris", [])
    for name, value in defaults.items():
        metadata.setdefault(name, value)


def _default_auth_method(server: ServerSupport) -> str:
    usual = "client_secret_basic"
    return usual if usual in server.auth_methods or not server.auth_methods else server.auth_methods[0]


def encrypted(metadata: Metadata, supported: Mapping[str, tuple[str, ...]]) -> None:
    """OpenID Connect Registration section 2: the encryption of the content, where only the algorithm is stated."""
    for algorithm, content in ENCRYPTED.items():
        values = supported.get(content)
        if values and algorithm in metadata and content not in metadata:
            metadata[content] = DEFAULT_CONTENT_ENCRYPTION if DEFAULT_CONTENT_ENCRYPTION in values else values[0]


def narrowed(
    metadata: Metadata, server: ServerSupport, supported: Mapping[str, tuple[str, ...]]
) -> dict[str, list[str]]:
    """Takes away what the server does not support; gives it back by the name of its member."""
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
    for member, values in supported.items():
        asked = metadata.get(member)
        if isinstance(asked, list):
            taken[member] = [name for name in asked if name not in values]
            metadata[member] = [name for name in dict.fromkeys(asked) if name in values]
            if not metadata[member]:
                del metadata[member]
    return {member: names for member, names in taken.items() if names}


def cleared(metadata: Metadata) -> dict[str, list[str]]:
    """Takes away what has no effect beside the rest of the metadata; gives it back by the name of its member."""
    idle = [member for member in _WORKS_WITH.keys() & metadata.keys() if not _WORKS_WITH[member](metadata)]
    return {member: [str(metadata.pop(member))] for member in idle}


def scoped(metadata: Metadata, server: ServerSupport, most: Collection[str] | None) -> None:
    """Scope is never a reason to refuse: what is asked for, and what every client gets, of what is allowed.

    `most` is what a software statement allows, if it says anything about that.
    """
    allowed = server.scopes if most is None else server.scopes.intersection(most)
    asked = metadata.pop("scope", "").split(" ")
    metadata["scope"] = " ".join(dict.fromkeys([*asked, *server.default_scopes]))
    confined(metadata, allowed)


def confined(metadata: Metadata, scopes: Collection[str]) -> None:
    """Takes away all but these scopes."""
    left = [scope for scope in metadata.pop("scope", "").split(" ") if scope in scopes]
    if left:
        metadata["scope"] = " ".join(left)
