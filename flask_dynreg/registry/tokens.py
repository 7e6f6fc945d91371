"""Initial access tokens: RFC 7591 section 3."""

from typing import Any

from sqlalchemy import Row, bindparam, insert, or_, select, update

from flask_dynreg.registry.credentials import INITIAL_ACCESS_TOKEN, Credentials, digest, is_token, new_token
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions


class InitialAccessTokens:
    """The initial access tokens of one issuer."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._issuer = issuer
        self._table = table = table_of(models.initial_access_token)
        is_good = (
            (table.c.issuer == issuer)
            & or_(table.c.expires_at.is_(None), table.c.expires_at > bindparam("now"))
            & or_(table.c.max_uses.is_(None), table.c.uses < table.c.max_uses)
        )
        this_digest = table.c.digest == bindparam("this", type_=table.c.digest.type)
        self._find = select(table.c.id).where(this_digest & is_good)
        self._use = update(table).where((table.c.id == bindparam("this")) & is_good).values(uses=table.c.uses + 1)

    def issue(self, label: str | None, expires_in: int | None, uses: int | None) -> str:
        """A new token, which nobody can read again. Takes part in the transaction of the session."""
        token, now = new_token(INITIAL_ACCESS_TOKEN), self._credentials.now()
        row = {
            "digest": digest(token),
            "issuer": self._issuer,
            "label": label,
            "created_at": now,
            "expires_at": None if expires_in is None else now + expires_in,
            "max_uses": uses,
            "uses": 0,
        }
        self._sessions.connection().execute(insert(self._table).inline(), row)
        return token

    def find(self, presented: str) -> int | None:
        """The number of a token that is good now. What cannot be one is not asked about."""
        if not is_token(presented, INITIAL_ACCESS_TOKEN):
            return None
        row: Row[Any] | None = self._sessions.first(
            self._find, {"this": digest(presented), "now": self._credentials.now()}
        )
        return row.id if row else None

    def use(self, token_id: int) -> bool:
        """Counts a use; False if the token is not good any more. One statement decides, however many ask at once."""
        parameters = {"this": token_id, "now": self._credentials.now()}
        return self._sessions.connection().execute(self._use, parameters).rowcount == 1
