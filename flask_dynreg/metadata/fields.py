"""The types of client metadata, as marshmallow fields that take a JSON value for what it is and change nothing about it."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from flask_dynreg.metadata import key_sets, uris
from flask_dynreg.metadata.text import is_dangerous

LONGEST_TEXT = 255
LONGEST_SCOPE = 8192
MOST_ITEMS = 100


class Member(fields.Field[Any]):
    """A member of client metadata. `section` says where it is defined; `tagged` whether it may carry a language tag."""

    def __init__(self, section: str, *, tagged: bool = False) -> None:
        super().__init__()
        self.section = section
        self.tagged = tagged

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

    def is_blank(self, value: object) -> bool:
        return isinstance(value, str) and value.isspace()

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string.")
        if len(value) > LONGEST_TEXT:
            raise ValidationError(f"must be of at most {LONGEST_TEXT} characters.")
        if is_dangerous(value):
            raise ValidationError("must have no control characters and no invisible or direction-changing ones.")


class Name(Member):
    """A word of the protocol, such as an authentication method. Which words are known is a rule, not the type's matter."""

    def __init__(self, section: str, *choices: str) -> None:
        super().__init__(section)
        self.choices = choices

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise ValidationError("must be a string.")
        if self.choices and value not in self.choices:
            raise ValidationError(f"must be {' or '.join(self.choices)}.")
        if len(value) > LONGEST_TEXT or not value.isascii() or not value.isprintable():
            raise ValidationError(f"must be of at most {LONGEST_TEXT} ASCII characters.")


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
        if len(value) > uris.LONGEST:
            raise ValidationError(f"must be of at most {uris.LONGEST} characters.")


class WebURL(Member):
    """A page or a picture about the client."""

    def check(self, value: Any) -> None:
        uri = uris.parsed(value) if isinstance(value, str) else None
        if not uri or uri.scheme not in ("https", "http") or not uri.host:
            raise ValidationError("must be an absolute http or https URL with a host, of at most 2048 characters.")


class KeySetURL(Member):
    """`jwks_uri`"""

    def check(self, value: Any) -> None:
        fault = key_sets.address_fault(value) if isinstance(value, str) else "must be a string."
        if fault:
            raise ValidationError(fault)


class KeySet(Member):
    """`jwks`"""

    def check(self, value: Any) -> None:
        found = list(key_sets.faults(value))
        if found and found[0][0] is None:
            raise ValidationError(found[0][1])
        if found:
            raise ValidationError({f"keys/{number}": [fault] for number, fault in found if number is not None})


class Items(Member):
    """An array of strings, each sound by itself."""

    item: Member

    def __init__(self, item: Member) -> None:
        super().__init__(item.section)
        self.item = item

    def check(self, value: Any) -> None:
        if not isinstance(value, list):
            raise ValidationError("must be an array of strings.")
        if len(value) > MOST_ITEMS:
            raise ValidationError(f"must have at most {MOST_ITEMS} items.")
        found = {str(number): fault for number, item in enumerate(value) if (fault := self._item_fault(item))}
        if found:
            raise ValidationError(found)

    def _item_fault(self, item: Any) -> list[str] | None:
        if not isinstance(item, str) or not item.strip():
            return ["must be a string that is not empty."]
        try:
            self.item.check(item)
        except ValidationError as error:
            return [str(message) for message in error.messages]
        return None
