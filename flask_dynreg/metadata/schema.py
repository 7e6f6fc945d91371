"""The vocabulary of RFC 7591 section 2 and 2.2, and `application_type`: one member, one line."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError

from flask_dynreg.errors import Problem
from flask_dynreg.metadata.fields import Identifier, Items, KeySet, KeySetURL, Member, Name, Scope, Text, WebURL
from flask_dynreg.metadata.text import is_language_tag

RFC7591 = "RFC 7591 section 2"
OIDC = "OpenID Connect Registration 1.0 section 2"
MOST_TAGGED = 64


class ClientMetadataSchema(Schema):
    """What a client may say of itself. A name that is not here is ignored, as RFC 7591 section 2 wants."""

    redirect_uris = Items(Identifier(RFC7591))
    token_endpoint_auth_method = Name(RFC7591)
    grant_types = Items(Name(RFC7591))
    response_types = Items(Name(RFC7591))
    client_name = Text(RFC7591, tagged=True)
    client_uri = WebURL(RFC7591, tagged=True)
    logo_uri = WebURL(RFC7591, tagged=True)
    scope = Scope(RFC7591)
    contacts = Items(Text(RFC7591))
    tos_uri = WebURL(RFC7591, tagged=True)
    policy_uri = WebURL(RFC7591, tagged=True)
    jwks_uri = KeySetURL(RFC7591)
    jwks = KeySet(RFC7591)
    software_id = Text(RFC7591)
    software_version = Text(RFC7591)
    application_type = Name(OIDC, "web", "native")


class Shape:
    """A schema, ready to read what clients send: made once, as it is costly, and used by all threads."""

    def __init__(self, schema: Schema) -> None:
        self._members = {name: field for name, field in schema.fields.items() if isinstance(field, Member)}

    def read(self, sent: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """The members that are there and sound, and what is wrong with the others.

        Null and empty text count as absent (cross-field rules, section 12); so does a name that nobody knows.
        """
        metadata: dict[str, Any] = {}
        problems: list[Problem] = []
        tags: set[str] = set()
        for name, value in sent.items():
            member = self._members.get(name)
            if member is None:
                member = self._tagged(name)
                if member is None:
                    continue
                if name.lower() in tags or len(tags) == MOST_TAGGED:
                    description = f"must have each language tag once, and at most {MOST_TAGGED} tagged members in all."
                    problems.append(Problem(f"/{name}", description, "RFC 7591 section 2.2"))
                tags.add(name.lower())
            if value is None or value == "" or member.is_blank(value):
                continue
            try:
                member.deserialize(value, name)
            except ValidationError as error:
                problems += _problems(name, member, error)
            else:
                metadata[name] = value
        return metadata, problems

    def _tagged(self, name: str) -> Member | None:
        """RFC 7591 section 2.2: `client_name#ja`. A tag that is none, or on another member, makes an unknown name."""
        base, _, tag = name.partition("#")
        member = self._members.get(base) if tag else None
        return member if member is not None and member.tagged and is_language_tag(tag) else None


def _problems(name: str, member: Member, error: ValidationError) -> list[Problem]:
    if isinstance(error.messages, dict):
        return [
            Problem(f"/{name}/{where}", str(message), member.section)
            for where, messages in error.messages.items()
            for message in messages
        ]
    return [Problem(f"/{name}", str(message), member.section) for message in error.messages]
