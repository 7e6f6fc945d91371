"""The types of client metadata, for names of a host's own in a subclass of `ClientMetadataSchema`.

Each takes the section where the name is defined, which errors tell; `Member` says what else, and is the base of types of the
host's own.
"""

from flask_dynreg.metadata.fields import (
    AbsoluteURI,
    AppURL,
    DistinguishedName,
    Flag,
    HostName,
    IPAddress,
    Items,
    JsonObject,
    KeySet,
    MailAddress,
    Member,
    Name,
    Seconds,
    SecureURL,
    Text,
    WebURL,
)

__all__ = [
    "AbsoluteURI",
    "AppURL",
    "DistinguishedName",
    "Flag",
    "HostName",
    "IPAddress",
    "Items",
    "JsonObject",
    "KeySet",
    "MailAddress",
    "Member",
    "Name",
    "Seconds",
    "SecureURL",
    "Text",
    "WebURL",
]
