"""The types of client metadata, as marshmallow fields that take a JSON value for what it is and change nothing about it."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from flask_dynreg.hosts import is_host_name
from flask_dynreg.metadata import key_sets, uris
from flask_dynreg.metadata.redirect_uris import DANGEROUS_SCHEMES
from flask_dynreg.metadata.text import is_dangerous

LONGEST_TEXT = 255
LONGEST_DESCRIPTION = 2048
LONGEST_SCOPE = 8192
MOST_ITEMS = 100
MOST_SECONDS = 2**31 - 1

_READABLE = "must have no control characters and no invisible or direction-changing ones."

Needs = str | tuple[str, ...]
"""Names of server metadata, or of an authentication method; one of them must be on for a member to be known."""


class Member(fields.Field[Any]):
    """A member of client metadata.

    `section` says where it is defined, and `tagged` whether it may carry a language tag (RFC 7591 section 2.2). `needs` is what
    the server must declare: without it the name is unknown here. `among` is the server metadata that lists the values that may be
    registered, which the server declares by it; `default` is the one in force when the client states none. `operator` says that
    the name is an operator's to set: it is not taken from clients and never shown to them.
    """

    def __init__(
        self,
        section: str,
        *,
        tagged: bool = False,
        needs: Needs = (),
        among: str | None = None,
        default: str | None = None,
        operator: bool = False,
    ) -> None:
        super().__init__()
        self.section = section
        self.tagged = tagged
        self.needs = (among,) if among else (needs,) if isinstance(needs, str) else needs
        self.among = among
        self.default = default
        self.operator = operator

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        self.check(value)
        return value

    def is_blank(self, value: object) -> bool:
        """Whether the value says nothing, beside null and the empty string."""
        return False

    def check(self, value: Any) -> None:
        """Raises ValidationError: what would be right, or for an array a mapping of item numbers to that."""
        raise NotImplementedError


class Text(Member):
    """For people to read."""

    def __init__(self, section: str, *, longest: int = LONGEST_TEXT, **options: Any) -> None:
        super().__init__(section, **options)
        self.longest = longest

    def is_blank(self, value: object) -> bool:
        return isinstance(value, str) and value.isspace()

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string.")
        if len(value) > self.longest:
            raise ValidationError(f"must be of at most {self.longest} characters.")
        if is_dangerous(value):
            raise ValidationError(_READABLE)


class Name(Member):
    """A word of the protocol, such as an authentication method. Which words the server supports is a rule's matter."""

    def __init__(self, section: str, *choices: str, **options: Any) -> None:
        super().__init__(section, **options)
        self.choices = choices

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string.")
        if self.choices and value not in self.choices:
            raise ValidationError(f"must be {' or '.join(self.choices)}.")
        if len(value) > LONGEST_TEXT or not value.isascii() or not value.isprintable():
            raise ValidationError(f"must be of at most {LONGEST_TEXT} ASCII characters.")


class Flag(Member):
    """True or false, and nothing that only looks like it."""

    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false.")


class Seconds(Member):
    """A length of time."""

    def check(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_SECONDS:
            raise ValidationError(f"must be a whole number of seconds from 0 to {MOST_SECONDS}.")


class Scope(Member):
    """RFC 6749 section 3.3. What is no scope here is dropped later, so only the type is checked."""

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string of scopes with a space between two.")
        if len(value) > LONGEST_SCOPE:
            raise ValidationError(f"must be of at most {LONGEST_SCOPE} characters.")


class Identifier(Member):
    """A URI as a plain string. Whether it is a sound one is a rule, which knows what the app allows."""

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string.")
        if len(value) > uris.LONGEST:
            raise ValidationError(f"must be of at most {uris.LONGEST} characters.")


class AbsoluteURI(Member):
    """Any URI, of whatever scheme: nobody is sent there by this server, and nothing is fetched from there."""

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or uris.parsed(value) is None:
            raise ValidationError(f"must be an absolute URI of at most {uris.LONGEST} characters.")


class WebURL(Member):
    """A page or a picture about the client."""

    def check(self, value: Any) -> None:
        uri = uris.parsed(value) if isinstance(value, str) else None
        if not uri or uri.scheme not in ("https", "http") or not uri.host:
            raise ValidationError("must be an absolute http or https URL with a host, of at most 2048 characters.")


class SecureURL(Member):
    """An https URL without a fragment.

    `public`: the server sends something there, so that it must not lead inside a network. `fetched`: there is a document that
    `GuardedFetcher` fetches, from public hosts and port 443 alone.
    """

    def __init__(self, section: str, *, public: bool = False, fetched: bool = False, **options: Any) -> None:
        super().__init__(section, **options)
        self.public = public
        self.fetched = fetched

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string.")
        if fault := uris.secure_fault(value, public=self.public, fetched=self.fetched):
            raise ValidationError(fault)


class LogoutURL(Member):
    """A page at which a browser arrives during a logout. Whether plain http will do is a rule's matter."""

    def check(self, value: Any) -> None:
        uri = uris.parsed(value) if isinstance(value, str) else None
        if not uri or uri.scheme not in ("https", "http") or not uri.host:
            raise ValidationError("must be an absolute https URL with a host, of at most 2048 characters.")
        if uri.fragment is not None:
            raise ValidationError("must have no fragment.")


class AppURL(Member):
    """Where a browser hands something over to an app, such as a wallet: its https URL, or one of a private-use scheme.

    Wallets have schemes without a period, against RFC 8252 section 7.1; so only those that do harm are refused.
    """

    def check(self, value: Any) -> None:
        uri = uris.parsed(value) if isinstance(value, str) else None
        is_web = uri is not None and uri.scheme == "https" and uri.host is not None
        if uri is None or not (is_web or self._is_private(uri)):
            raise ValidationError(
                "must be an https URL with a host, or one of a private-use scheme with / after the colon."
            )
        if uri.fragment is not None:
            raise ValidationError("must have no fragment.")

    def _is_private(self, uri: uris.URI) -> bool:
        has_sound_host = not uri.authority or uri.host is not None
        is_opaque = uri.authority is None and not uri.path.startswith("/")
        return uri.scheme not in DANGEROUS_SCHEMES and has_sound_host and not is_opaque


class KeySet(Member):
    """`jwks`"""

    def check(self, value: Any) -> None:
        found = list(key_sets.faults(value))
        if found and found[0][0] is None:
            raise ValidationError(found[0][1])
        if found:
            raise ValidationError({f"keys/{number}": [fault] for number, fault in found if number is not None})


class DistinguishedName(Member):
    """The string form of RFC 4514."""

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or len(value) > LONGEST_DESCRIPTION or not _DISTINGUISHED_NAME.fullmatch(value):
            raise ValidationError("must be a distinguished name in the form of RFC 4514, such as CN=client,O=Example.")
        if is_dangerous(value):
            raise ValidationError(_READABLE)


class HostName(Member):
    """The dNSName of a certificate; the leftmost label may be a wildcard in none of them here."""

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or not is_host_name(value.lower()):
            raise ValidationError("must be a host name.")


class IPAddress(Member):
    """Dotted decimal, or the forms of RFC 4291 section 2.2."""

    def check(self, value: Any) -> None:
        try:
            ipaddress.ip_address(value if isinstance(value, str) and "%" not in value else "")
        except ValueError:
            raise ValidationError("must be an IPv4 or IPv6 address.") from None


class MailAddress(Member):
    """The rfc822Name of a certificate."""

    def check(self, value: Any) -> None:
        local, _, host = value.rpartition("@") if isinstance(value, str) else ("", "", "")
        if not _LOCAL_PART.fullmatch(local) or not is_host_name(host.lower()):
            raise ValidationError("must be a mail address.")


class JsonObject(Member):
    """An object whose members are no business of this server."""

    def check(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValidationError("must be an object.")


class Items(Member):
    """An array of strings, each sound by itself."""

    item: Member

    def __init__(self, item: Member, **options: Any) -> None:
        super().__init__(item.section, **options)
        self.item = item

    def check(self, value: Any) -> None:
        if not isinstance(value, list):
            raise ValidationError("must be an array of strings.")
        if len(value) > MOST_ITEMS:
            raise ValidationError(f"must have at most {MOST_ITEMS} items.")
        found = {str(number): fault for number, item in enumerate(value) if (fault := self._item_fault(item))}
        if found:
            raise ValidationError(found)

    def is_blank(self, value: object) -> bool:
        return value == [] and self.name not in _KEPT_WHEN_EMPTY

    def _item_fault(self, item: Any) -> list[str] | None:
        if not isinstance(item, str) or not item.strip():
            return ["must be a string that is not empty."]
        try:
            self.item.check(item)
        except ValidationError as error:
            return [str(message) for message in error.messages]
        return None


class Choice(Items):
    """A list of what a client can do, of which one value is registered as `single`. It is never kept and never shown.

    Its name is that of the server metadata with which it is compared.
    """

    def __init__(self, section: str, single: str) -> None:
        super().__init__(Name(section))
        self.single = single


# An answer always shows these three, and an empty one says something.
_KEPT_WHEN_EMPTY = frozenset({"redirect_uris", "grant_types", "response_types"})

_ESCAPED = r"\\(?:[ \"#+,;<=>\\]|[0-9A-Fa-f]{2})"
_OUTER = rf'(?:[^\x00\\"+,;<> ]|{_ESCAPED})'
_INNER = rf'(?:[^\x00\\"+,;<>]|{_ESCAPED})'
_VALUE = rf"(?:#(?:[0-9A-Fa-f]{{2}})+|(?!#)(?:{_OUTER}(?:{_INNER}*{_OUTER})?)?)"
_TYPE = r"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)"
_PAIR = rf"{_TYPE}={_VALUE}"
# Most software writes a space after the comma, as RFC 1779 did.
_DISTINGUISHED_NAME = re.compile(rf"{_PAIR}(?:\+{_PAIR})*(?:, ?{_PAIR}(?:\+{_PAIR})*)*")
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
