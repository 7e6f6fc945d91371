"""OpenID Connect Relying Party Metadata Choices 1.0: a client lists what it can do, and one value of that is registered."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marshmallow import Schema

from flask_dynreg.errors import Problem
from flask_dynreg.metadata.fields import Choice
from flask_dynreg.metadata.repairs import ENCRYPTED
from flask_dynreg.metadata.server import ServerSupport

SECTION = "OpenID Connect RP Metadata Choices 1.0 section 2"

Metadata = dict[str, Any]


class MetadataChoices(Schema):
    """Each list, and what becomes of it. The method stands first, as the algorithms have to go with it; and each algorithm
    stands before the content encryption, which is nothing without it."""

    token_endpoint_auth_methods_supported = Choice(SECTION, "token_endpoint_auth_method")
    subject_types_supported = Choice(SECTION, "subject_type")
    id_token_signing_alg_values_supported = Choice(SECTION, "id_token_signed_response_alg")
    id_token_encryption_alg_values_supported = Choice(SECTION, "id_token_encrypted_response_alg")
    id_token_encryption_enc_values_supported = Choice(SECTION, "id_token_encrypted_response_enc")
    userinfo_signing_alg_values_supported = Choice(SECTION, "userinfo_signed_response_alg")
    userinfo_encryption_alg_values_supported = Choice(SECTION, "userinfo_encrypted_response_alg")
    userinfo_encryption_enc_values_supported = Choice(SECTION, "userinfo_encrypted_response_enc")
    request_object_signing_alg_values_supported = Choice(SECTION, "request_object_signing_alg")
    request_object_encryption_alg_values_supported = Choice(SECTION, "request_object_encryption_alg")
    request_object_encryption_enc_values_supported = Choice(SECTION, "request_object_encryption_enc")
    token_endpoint_auth_signing_alg_values_supported = Choice(SECTION, "token_endpoint_auth_signing_alg")
    backchannel_authentication_request_signing_alg_values_supported = Choice(
        SECTION, "backchannel_authentication_request_signing_alg"
    )
    authorization_signing_alg_values_supported = Choice(SECTION, "authorization_signed_response_alg")
    authorization_encryption_alg_values_supported = Choice(SECTION, "authorization_encrypted_response_alg")
    authorization_encryption_enc_values_supported = Choice(SECTION, "authorization_encrypted_response_enc")
    introspection_signing_alg_values_supported = Choice(SECTION, "introspection_signed_response_alg")
    introspection_encryption_alg_values_supported = Choice(SECTION, "introspection_encrypted_response_alg")
    introspection_encryption_enc_values_supported = Choice(SECTION, "introspection_encrypted_response_enc")


def negotiated(
    metadata: Metadata, choices: Mapping[str, Choice], server: ServerSupport, fits: Callable[[str, str], bool]
) -> Iterator[Problem]:
    """Puts one value in the place of each list: the stated one where it can be had, else the client's first that can. Nothing
    is encrypted where the client has no key for any algorithm of its list: it says what it can do, and asks for nothing by it.

    Yields what leaves nothing to choose. `choices` are the lists that are known here, in the order of the schema; `fits(member,
    value)` says whether a value goes with the rest of what the client sent.
    """
    for name, choice in choices.items():
        wanted = metadata.pop(name, None)
        algorithm = choice.single.removesuffix("_enc") + "_alg"
        if wanted is None or (choice.single.endswith("_enc") and algorithm not in metadata):
            continue
        stated, supported = metadata.get(choice.single), server.values(name)
        if stated is not None and stated not in wanted:
            yield Problem(f"/{choice.single}", f"must be one of the client's own {name}.", SECTION)
        elif stated not in supported:
            common = [value for value in dict.fromkeys(wanted) if value in supported]
            if common:
                # If none of them fits, the rules tell what is missing for the first of those that a client has to have.
                last = stated if choice.single in ENCRYPTED else common[0]
                chosen = next((value for value in common if fits(choice.single, value)), last)
                if chosen is not None:
                    metadata[choice.single] = chosen
            else:
                description = f"must have one that this server supports: {', '.join(supported)}."
                yield Problem(f"/{name}", description, "OpenID Connect RP Metadata Choices 1.0 section 4")
