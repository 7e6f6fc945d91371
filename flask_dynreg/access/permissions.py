"""What operators may do: the one check for the operators' API and the commands."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flask_dynreg.errors import ForbiddenError, MissingTokenError
from flask_dynreg.registry.models import LONGEST_TEXT


class Permission(StrEnum):
    """Each is its name, such as `"clients:read"`."""

    READ_CLIENTS = "clients:read"
    WRITE_CLIENTS = "clients:write"
    APPROVE_CLIENTS = "clients:approve"
    DELETE_CLIENTS = "clients:delete"
    ISSUE_TOKENS = "tokens:issue"
    REVOKE_TOKENS = "tokens:revoke"
    MANAGE_ISSUERS = "issuers:manage"
    READ_AUDIT = "audit:read"
    WRITE_SETTINGS = "settings:write"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who runs the server: the `name` for the trail, and what they may do; `frozenset(Permission)` is everything.

    Raises ValueError for a name of none or more than 255 characters, and for what is no permission.
    """

    name: str
    permissions: frozenset[str]

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= LONGEST_TEXT:
            raise ValueError(f"The name of an operator must be of 1 to {LONGEST_TEXT} characters.")
        if strange := sorted(set(self.permissions).difference(Permission)):
            raise ValueError(f"permissions must be some of {', '.join(Permission)}; {strange[0]} is none.")


class MissingPermissionError(ForbiddenError):
    """The operator of this name lacks this permission."""

    def __init__(self, by: str, permission: str) -> None:
        super().__init__(f"The operator must have the permission {permission}.")
        self.by = by
        self.permission = permission


OperatorOf = Callable[[str | None], Operator | None]
"""A host's function: the operator of this name or, with None, the one who sends the request at hand; None if there is none."""


class Permissions:
    """Who may do what in one app. Without a host's function nobody is an operator."""

    def __init__(self, operator_of: OperatorOf | None) -> None:
        self._operator_of = operator_of

    @property
    def are_there(self) -> bool:
        """Whether somebody says who operators are."""
        return self._operator_of is not None

    def require(self, permission: str, name: str | None = None) -> Operator:
        """The operator of this name, or who sends the request at hand, if they may.

        Raises MissingTokenError (401) if there is no such operator, and MissingPermissionError (403) without the permission.
        """
        operator = self._operator_of(name) if self._operator_of else None
        if operator is None:
            raise MissingTokenError("This is for operators of the server.")
        if permission not in operator.permissions:
            raise MissingPermissionError(operator.name, permission)
        return operator
