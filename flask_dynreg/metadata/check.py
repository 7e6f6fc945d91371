"""The way from what a client sends to what is registered: shape, defaults, what is taken away, rules that refuse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from flask_dynreg.errors import Problem, refusal
from flask_dynreg.metadata import repairs, rules
from flask_dynreg.metadata.schema import Shape
from flask_dynreg.metadata.server import ServerSupport


@dataclass(frozen=True, slots=True)
class CheckedMetadata:
    """Client metadata as it will be registered, and what was taken away from it, by the name of the member."""

    metadata: dict[str, Any]
    taken: dict[str, list[str]]


class MetadataCheck:
    """Made once for an app."""

    def __init__(self, schema: Schema, server: ServerSupport, *, reject_unsupported: bool) -> None:
        self._shape = Shape(schema)
        self._server = server
        self._reject = reject_unsupported

    def __call__(self, sent: Mapping[str, Any]) -> CheckedMetadata:
        """Raises RefusedMetadataError with all that is wrong."""
        metadata, problems = self._shape.read(sent)
        unsound = {problem.member for problem in problems}
        repairs.completed(metadata, self._server)
        taken = repairs.narrowed(metadata, self._server)
        repairs.scoped(metadata, self._server)
        if self._reject:
            problems += [
                Problem(f"/{member}", "must have only what this server supports for the client.", "RFC 7591 section 2")
                for member in taken
                if unsound.isdisjoint(repairs.NARROWED_BY[member])  # a default stood in for what cannot be read
            ]
        problems += rules.broken(metadata, self._server, unsound)
        if problems:
            raise refusal(problems)
        return CheckedMetadata(metadata, taken)
