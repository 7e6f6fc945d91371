"""The whole vocabulary, and the part of it that one server knows: one member, one line."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, missing
from marshmallow.fields import Field

from flask_dynreg.errors import ConfigurationError, Problem
from flask_dynreg.metadata.algorithms import MACS
from flask_dynreg.metadata.choices import MetadataChoices
from flask_dynreg.metadata.fields import Choice, Identifier, Items, KeySet, Member, Name, Scope, SecureURL, Text, WebURL
from flask_dynreg.metadata.openid import BackchannelAuthentication, Federation, OpenIDLogout, OpenIDRegistration, Wallet
from flask_dynreg.metadata.security import MutualTLS, OtherSpecifications, ProtectedAnswers, ProtectedRequests
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.metadata.text import is_language_tag
from flask_dynreg.signals import logger

RFC7591 = "RFC 7591 section 2"
MOST_TAGGED = 64

# What the server alone says of a client (RFC 7591 section 3.2.1, RFC 7592 section 3): never client metadata.
SERVER_MADE = frozenset(
    {"client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at"}
    | {"registration_access_token", "registration_client_uri"}
)


class Registration(Schema):
    """RFC 7591."""

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
    jwks_uri = SecureURL(RFC7591, fetched=True)
    jwks = KeySet(RFC7591)
    software_id = Text(RFC7591)
    software_version = Text(RFC7591)


class ClientMetadataSchema(
    Registration,
    OpenIDRegistration,
    OpenIDLogout,
    BackchannelAuthentication,
    Federation,
    Wallet,
    MutualTLS,
    ProtectedRequests,
    ProtectedAnswers,
    OtherSpecifications,
    MetadataChoices,
):
    """What a client may say of itself. A name that is not here is ignored, as RFC 7591 section 2 wants.

    A host adds names by a subclass, with the types of `flask_dynreg.fields` or with fields of marshmallow's own:

        class OurMetadata(ClientMetadataSchema):
            department = Text("Our handbook")
            risk_class = Name("Our handbook", "low", "high", operator=True)
    """


class Vocabulary:
    """The names of a schema that one server knows, ready to read what clients send: made once, used by all threads.

    Raises ConfigurationError for a schema that is no ClientMetadataSchema, for hooks and options of fields that nobody would
    heed, and for names that the server makes.
    """

    def __init__(self, schema: Schema, server: ServerSupport) -> None:
        if not isinstance(schema, ClientMetadataSchema):
            raise ConfigurationError("The schema must be a subclass of ClientMetadataSchema.")
        if any(schema._hooks.values()):
            raise ConfigurationError("The schema must have no hooks and no validators beside those of its fields.")
        for name, field in schema.fields.items():
            if field.required or field.load_default is not missing or field.dump_only:
                options = "none of required, load_default and dump_only"
                raise ConfigurationError(f"The schema must have {options} on {name}.")
        members = {field.data_key or name: _as_member(field) for name, field in schema.fields.items()}
        if made := sorted(SERVER_MADE.intersection(members)):
            raise ConfigurationError(f"The schema must not have {', '.join(made)}: the server alone sets it.")
        self._operators = {name: member for name, member in members.items() if member.operator}
        self.operator_names = frozenset(self._operators)
        self._members = {
            name: member for name, member in members.items() if not member.operator and _is_known(name, member, server)
        }
        self.choices = {name: member for name, member in self._members.items() if isinstance(member, Choice)}
        self.supported = {name: server.values(member.among) for name, member in self._members.items() if member.among}
        """For a member that is limited, the values that the server lists."""
        self.defaults = {
            name: _in_force(member.default, self.supported.get(name, ()))
            for name, member in self._members.items()
            if member.default
        }

    def read(self, sent: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """The members that are there and sound, and what is wrong with the others.

        Null and empty text count as absent (cross-field rules, section 12); so does a name that nobody knows.
        """
        metadata: dict[str, Any] = {}
        problems: list[Problem] = []
        tags: set[str] = set()
        for name, value in sent.items():
            member = self._members.get(name) or self._tagged(name)
            if member is None or value is None or value == "" or member.is_blank(value):
                continue
            if name not in self._members:
                if name.lower() in tags or len(tags) == MOST_TAGGED:
                    description = f"must have each language tag once, and at most {MOST_TAGGED} tagged members in all."
                    problems.append(Problem(f"/{name}", description, "RFC 7591 section 2.2"))
                tags.add(name.lower())
            found = _faults(name, member, value)
            problems += found
            if not found:
                metadata[name] = value
        return metadata, problems

    def check_operator_metadata(self, members: Mapping[str, Any]) -> None:
        """Raises ValueError, naming the member: for what is no operator's name, or no value of it. None stands for no value."""
        for name, value in members.items():
            member = self._operators.get(name)
            if member is None:
                raise ValueError(f"{name} must be a name of the schema that is an operator's to set.")
            for problem in [] if value is None else _faults(name, member, value):
                raise ValueError(f"{name}: {problem.description}")

    def ignored(self, sent: Mapping[str, Any]) -> frozenset[str]:
        """The names that are no client metadata here."""
        return frozenset(name for name in sent if name not in self._members and not self._tagged(name))

    def _tagged(self, name: str) -> Member | None:
        """RFC 7591 section 2.2: `client_name#ja`. A tag that is none, or on another member, makes an unknown name."""
        base, _, tag = name.partition("#")
        member = self._members.get(base) if tag else None
        return member if member is not None and member.tagged and is_language_tag(tag) else None

    def unsupported(self, metadata: Mapping[str, Any]) -> list[Problem]:
        """A stated value that the server does not list is refused, never replaced."""
        return [
            Problem(f"/{name}", f"must be one that is supported: {', '.join(values)}.", self._members[name].section)
            for name, values in self.supported.items()
            if name in metadata and isinstance(metadata[name], str) and metadata[name] not in values
        ]


def _in_force(default: str, supported: tuple[str, ...]) -> str:
    """The default, or where the server lists others only, one that is good for every client: public ones have no secret."""
    good = [value for value in supported if value not in MACS | {"none"}]
    return default if default in supported or not supported else [*good, *supported][0]


class _Plain(Member):
    """A field of marshmallow's own in a host's schema. What it makes of a value is not kept: the value is."""

    def __init__(self, field: Field[Any]) -> None:
        section = str(field.metadata.get("section", "This server's documentation"))
        super().__init__(section, operator=bool(field.metadata.get("operator")))
        self._field = field

    def check(self, value: Any) -> None:
        try:
            self._field.deserialize(value)
        except ValidationError as error:
            first: Any = error.messages
            while not isinstance(first, str):
                first = next(iter(first.values() if isinstance(first, dict) else first))
            # RFC 6749 section 5.2 says which characters an error may have.
            raise ValidationError(re.sub(r"[^ !#-\[\]-~]", "'", first)) from None


def _as_member(field: Field[Any]) -> Member:
    return field if isinstance(field, Member) else _Plain(field)


def _is_known(name: str, member: Member, server: ServerSupport) -> bool:
    needs = (name,) if isinstance(member, Choice) else member.needs
    return not needs or any(server.declares(need) for need in needs)


def _faults(name: str, member: Member, value: Any) -> list[Problem]:
    """What is wrong with a value."""
    try:
        member.check(value)
        return []
    except ValidationError as error:
        return _problems(name, member, error)
    except Exception as error:  # of a host's own type: a stranger's value must not find out what it did not think of
        logger.error("The type of %s in the schema failed: %s", name, type(error).__name__)
        return _problems(name, member, ValidationError("must be a value of its type."))


def _problems(name: str, member: Member, error: ValidationError) -> list[Problem]:
    name = name.replace("~", "~0").replace("/", "~1")  # RFC 6901 section 3
    if isinstance(error.messages, dict):
        return [
            Problem(f"/{name}/{where}", str(message), member.section)
            for where, messages in error.messages.items()
            for message in messages
        ]
    return [Problem(f"/{name}", str(message), member.section) for message in error.messages]
