"""The rules between authentication methods, algorithms and keys: nothing is registered that the client has no key for."""

from collections.abc import Iterator, Mapping
from typing import Any

from flask_dynreg.errors import Problem
from flask_dynreg.metadata.algorithms import MACS, SIGNATURES, SYMMETRIC, can_encrypt, can_verify
from flask_dynreg.metadata.openid import CIBA, OIDC
from flask_dynreg.metadata.repairs import ENCRYPTED
from flask_dynreg.metadata.rules import Metadata, Rules
from flask_dynreg.metadata.schema import RFC7591
from flask_dynreg.metadata.security import INTROSPECTION, JAR, JARM, MUTUAL_TLS
from flask_dynreg.metadata.server import CERTIFICATE_SUBJECTS, SECRET_METHODS, ServerSupport

RULES = Rules()

SIGNED_BY_SERVER: Mapping[str, str] = {
    "id_token_signed_response_alg": OIDC,
    "userinfo_signed_response_alg": OIDC,
    "authorization_signed_response_alg": JARM,
    "introspection_signed_response_alg": INTROSPECTION,
}
SIGNED_BY_CLIENT: Mapping[str, str] = {
    "request_object_signing_alg": OIDC,
    "token_endpoint_auth_signing_alg": OIDC,
    "backchannel_authentication_request_signing_alg": CIBA,
}
# What is encrypted for the client needs a key of the client; a request object is encrypted for the server.
ENCRYPTED_FOR_CLIENT = tuple(name for name in ENCRYPTED if name != "request_object_encryption_alg")
ALGORITHMS = (*SIGNED_BY_SERVER, *SIGNED_BY_CLIENT, *ENCRYPTED)
"""The members with an algorithm whose key may be the client secret."""

SECRET_OCTETS, KEY_OCTETS = 32, 64
"""HS512 needs 64 (RFC 7518 section 3.2), and a client may change its algorithm while it keeps its secret."""


def secret_octets(metadata: Mapping[str, Any]) -> int:
    """How long the client secret has to be at least: 0 where none is needed, more where it is the key of a MAC or a cipher."""
    method = metadata["token_endpoint_auth_method"]
    if method == "client_secret_jwt" or any(metadata.get(name) in SYMMETRIC for name in ALGORITHMS):
        return KEY_OCTETS
    return SECRET_OCTETS if method in SECRET_METHODS else 0


def _unused(method: str, metadata: Metadata, server: ServerSupport) -> bool:
    """Whether the client does not ask for this method, or asks for what it is refused anyway."""
    return metadata["token_endpoint_auth_method"] != method or method not in server.auth_methods


def _can_sign(metadata: Metadata, *algorithms: str) -> bool:
    """Whether the client has a key for one of these; who has it elsewhere may put it there any time."""
    return "jwks_uri" in metadata or ("jwks" in metadata and can_verify(metadata["jwks"]["keys"], algorithms))


@RULES.rule("jwks", "jwks_uri")
def one_source_of_keys(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if "jwks" in metadata and "jwks_uri" in metadata:
        yield Problem("/jwks", "must not be there beside jwks_uri.", RFC7591)


@RULES.rule("token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks", "jwks_uri")
def key_for_private_key_jwt(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if _unused("private_key_jwt", metadata, server):
        return
    stated = metadata.get("token_endpoint_auth_signing_alg")
    if "jwks" not in metadata and "jwks_uri" not in metadata:
        yield Problem("/jwks", "must be there, or jwks_uri, for private_key_jwt.", "RFC 7523 section 2.2")
    elif not _can_sign(metadata, *([stated] if stated else server.signing_algorithms)):
        description = "must have a key for signatures of the registered or else of a supported algorithm."
        yield Problem("/jwks", description, "RFC 7523 section 2.2")


@RULES.rule("token_endpoint_auth_method", about=["token_endpoint_auth_signing_alg"])
def algorithm_of_auth_method(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    algorithm, method = metadata["token_endpoint_auth_signing_alg"], metadata["token_endpoint_auth_method"]
    if algorithm == "none":
        yield Problem("/token_endpoint_auth_signing_alg", "must not be none.", OIDC)
    elif (algorithm in MACS) != (method == "client_secret_jwt"):
        description = "must be HS256, HS384 or HS512 for client_secret_jwt, and none of these for private_key_jwt."
        yield Problem("/token_endpoint_auth_signing_alg", description, "OpenID Connect Core 1.0 section 9")


@RULES.rule("token_endpoint_auth_method", *CERTIFICATE_SUBJECTS)
def one_certificate_subject(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if _unused("tls_client_auth", metadata, server):
        return
    stated = sorted(CERTIFICATE_SUBJECTS.intersection(metadata))
    if not stated:
        names = ", ".join(sorted(CERTIFICATE_SUBJECTS))
        description = f"must come with exactly one of {names}."
        yield Problem("/token_endpoint_auth_method", description, MUTUAL_TLS)
    for name in stated[1:]:
        yield Problem(f"/{name}", f"must not be there beside {stated[0]}.", MUTUAL_TLS)


@RULES.rule("token_endpoint_auth_method", "jwks", "jwks_uri")
def certificate_for_self_signed(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if _unused("self_signed_tls_client_auth", metadata, server) or "jwks_uri" in metadata:
        return
    keys = metadata.get("jwks", {"keys": ()})["keys"]
    if not any("x5c" in key and can_verify([key], SIGNATURES) for key in keys):
        description = "must have a key with its certificate (x5c), or jwks_uri be there."
        yield Problem("/jwks", description, "RFC 8705 section 2.2.2")


@RULES.rule("token_endpoint_auth_method", about=ALGORITHMS)
def no_symmetric_algorithm_without_secret(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if metadata["token_endpoint_auth_method"] != "none":
        return
    for name in ALGORITHMS:
        if metadata.get(name) in SYMMETRIC:
            description = "must be asymmetric: a client of the method none has no secret."
            yield Problem(f"/{name}", description, "OpenID Connect Core 1.0 section 10")


@RULES.rule("jwks", "jwks_uri", about=ENCRYPTED_FOR_CLIENT)
def key_for_encryption(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    keys = metadata.get("jwks", {"keys": ()})["keys"]
    for name in ENCRYPTED_FOR_CLIENT:
        algorithm = metadata.get(name)
        if algorithm is None or algorithm in SYMMETRIC or "jwks_uri" in metadata:
            continue
        if not can_encrypt(keys, algorithm):
            description = "must be an algorithm for which jwks has a key for encryption, or jwks_uri be there."
            yield Problem(f"/{name}", description, "OpenID Connect Core 1.0 section 10.2")


@RULES.rule("jwks", "jwks_uri", about=["request_object_signing_alg", "backchannel_authentication_request_signing_alg"])
def key_for_signed_requests(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for name in ("request_object_signing_alg", "backchannel_authentication_request_signing_alg"):
        algorithm = metadata.get(name)
        if algorithm is None or algorithm == "none" or algorithm in MACS or _can_sign(metadata, algorithm):
            continue
        description = "must be an algorithm for which jwks has a key for signatures, or jwks_uri be there."
        yield Problem(f"/{name}", description, SIGNED_BY_CLIENT[name])


@RULES.rule(
    *("token_endpoint_auth_method", "request_object_signing_alg", "jwks", "jwks_uri"),
    about=["require_signed_request_object"],
)
def signed_request_object(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if not metadata["require_signed_request_object"]:
        return
    stated = metadata.get("request_object_signing_alg")
    algorithms = [stated] if stated else server.values("request_object_signing_alg_values_supported") or SIGNATURES
    signs_with_secret = secret_octets(metadata) and not MACS.isdisjoint(algorithms)
    if stated == "none":
        yield Problem("/request_object_signing_alg", "must not be none beside require_signed_request_object.", JAR)
    elif not signs_with_secret and not _can_sign(metadata, *algorithms):
        description = "must be false without jwks, jwks_uri or a client secret with which requests can be signed."
        yield Problem("/require_signed_request_object", description, JAR)


@RULES.rule("response_types", about=["id_token_signed_response_alg"])
def signed_id_token(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    from_authorization = any("id_token" in name.split() for name in metadata["response_types"])
    if metadata["id_token_signed_response_alg"] == "none" and from_authorization:
        description = "must not be none where the authorization endpoint gives ID tokens."
        yield Problem("/id_token_signed_response_alg", description, OIDC)


@RULES.rule(about=["authorization_signed_response_alg", "introspection_signed_response_alg"])
def signed_answers(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for name in ("authorization_signed_response_alg", "introspection_signed_response_alg"):
        if metadata.get(name) == "none":
            yield Problem(f"/{name}", "must not be none.", SIGNED_BY_SERVER[name])


@RULES.rule(*ENCRYPTED, about=ENCRYPTED.values())
def algorithm_beside_content_encryption(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for algorithm, content in ENCRYPTED.items():
        if content in metadata and algorithm not in metadata:
            yield Problem(f"/{content}", f"must not be there without {algorithm}.", OIDC)
