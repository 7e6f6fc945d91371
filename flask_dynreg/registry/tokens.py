"""Initial access tokens: RFC 7591 section 3."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from flask_dynreg.registry.credentials import INITIAL_ACCESS_TOKEN, Credentials, digest, is_token, new_token
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.principals import NO_TERMS, Principal, Terms
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import Trail

PAGE = 500


def subject_of(token_id: int) -> str:
    """A token in the trail, which never has the token itself."""
    return f"token {token_id}"


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is known of an initial access token; the token itself is not. Times are seconds since the epoch."""

    id: int
    label: str | None
    owner: str | None
    created_at: int
    expires_at: int | None
    max_uses: int | None
    uses: int
    last_used_at: int | None
    revoked_at: int | None
    terms: Terms
    is_good: bool
    """Whether a client could register with it now."""


class InitialAccessTokens:
    """The initial access tokens of one issuer."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str, trail: Trail) -> None:
        self._sessions = sessions
        self._trail = trail
        self._credentials = credentials
        self._issuer = issuer
        self._table = table = table_of(models.initial_access_token)
        now = bindparam("now", type_=table.c.created_at.type)
        is_there = (
            (table.c.issuer == issuer)
            & table.c.revoked_at.is_(None)
            & or_(table.c.expires_at.is_(None), table.c.expires_at > now)
        )
        is_spent = (table.c.max_uses.is_not(None)) & (table.c.uses >= table.c.max_uses)
        is_good = is_there & ~is_spent
        this = (table.c.id == bindparam("this")) & (table.c.issuer == issuer)
        this_digest = table.c.digest == bindparam("this", type_=table.c.digest.type)
        self._find = select(table.c.id, table.c.owner, table.c.terms, is_spent.label("is_spent")).where(
            this_digest & is_there
        )
        self._use = update(table).where(this & is_good).values(uses=table.c.uses + 1, last_used_at=now)
        self._revoke = update(table).where(this & table.c.revoked_at.is_(None)).values(revoked_at=now)
        self._page = (
            select(table, is_good.label("is_good"))
            .where(table.c.issuer == issuer, table.c.id > bindparam("last"))
            .order_by(table.c.id)
            .limit(PAGE)
        )

    def issue(
        self,
        label: str | None,
        expires_in: int | None,
        uses: int | None,
        owner: str | None = None,
        terms: Terms = NO_TERMS,
        by: str | None = None,
    ) -> str:
        """A new token, which nobody can read again. Takes part in the transaction of the session. `by` is who issues it."""
        token, now = new_token(INITIAL_ACCESS_TOKEN), self._credentials.now()
        row = {
            "digest": digest(token),
            "issuer": self._issuer,
            "label": label,
            "owner": owner,
            "terms": terms.to_json() if terms != NO_TERMS else None,
            "created_at": now,
            "expires_at": None if expires_in is None else now + expires_in,
            "max_uses": uses,
            "uses": 0,
        }
        written = self._sessions.connection().execute(insert(self._table), row)
        assert written.inserted_primary_key  # the database has just made it
        self._trail.note(subject_of(written.inserted_primary_key[0]), "token_issued", by=by, owner=owner)
        return token

    def find(self, presented: str, *, spent: bool = False) -> Principal | None:
        """Whom a token that is good now lets in; with `spent`, one that is used up as well.

        What cannot be one is not asked about.
        """
        if not is_token(presented, INITIAL_ACCESS_TOKEN):
            return None
        row = self._sessions.first(self._find, {"this": digest(presented), "now": self._credentials.now()})
        if row is None or (row.is_spent and not spent):
            return None
        terms = Terms.from_json(row.terms)
        return Principal("initial_access_token", row.id, row.owner, terms, is_spent=bool(row.is_spent))

    def use(self, token_id: int) -> bool:
        """Counts a use; False if the token is not good any more. One statement decides, however many ask at once."""
        return self._changed(self._use, token_id)

    def revoke(self, token_id: int, by: str | None = None) -> bool:
        """Makes a token good for nothing; False if it is not there, or was revoked before. `by` is who does it."""
        done = self._changed(self._revoke, token_id)
        if done:
            self._trail.note(subject_of(token_id), "token_revoked", by=by)
        return done

    def all(self) -> Iterator[TokenRecord]:
        """Every token there is, in the order in which they were issued, whether good or not."""
        last = 0
        while page := self.page(last):
            yield from page
            last = page[-1].id

    def page(self, after: int) -> Sequence[TokenRecord]:
        """The first ones of these behind the number `after`."""
        return [
            TokenRecord(
                **{name: getattr(row, name) for name in TokenRecord.__slots__ if name not in ("terms", "is_good")},
                terms=Terms.from_json(row.terms),
                is_good=bool(row.is_good),
            )
            for row in self._sessions.all(self._page, {"last": after, "now": self._credentials.now()})
        ]

    def _changed(self, statement: Any, token_id: int) -> bool:
        parameters = {"this": token_id, "now": self._credentials.now()}
        return self._sessions.connection().execute(statement, parameters).rowcount == 1
