"""What the quickstart keeps beside the clients: who allowed what, as codes and tokens, and which assertions were used.

Codes and tokens are random, so a plain SHA-256 digest of each is all that is stored.
"""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidGrantError
from flask import Flask
from flask_migrate import upgrade
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, ColumnElement, ForeignKey, String, Text, delete, event, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.dml import UpdateBase

from flask_dynreg import Withdrawal

USERS = {"alice": "password"}  # a host asks its own table, which holds slow hashes
LIFETIMES = {"code": 60, "access_token": 3600, "refresh_token": 30 * 24 * 3600}

db = SQLAlchemy()


class Base(DeclarativeBase):
    metadata = db.metadata


class Authorization(Base):
    """What a user (for client_credentials: nobody) allowed a client: one code, and every token that comes of it."""

    __tablename__ = "quickstart_authorization"
    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(String(255), index=True)
    subject: Mapped[str | None] = mapped_column(String(255))
    scope: Mapped[str] = mapped_column(Text)
    resource: Mapped[str] = mapped_column(Text)  # RFC 8707: URIs, a space between two
    code_digest: Mapped[str | None] = mapped_column(String(64), index=True, unique=True)
    code_challenge: Mapped[str | None] = mapped_column(String(43))
    redirect_uri: Mapped[str | None] = mapped_column(Text)
    redirect_uri_sent: Mapped[bool] = mapped_column(default=False)
    nonce: Mapped[str | None] = mapped_column(Text)  # this and the next: for ID tokens
    auth_time: Mapped[int | None] = mapped_column(BigInteger)
    used: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)

    def get_redirect_uri(self) -> str | None:
        return self.redirect_uri if self.redirect_uri_sent else None

    def get_scope(self) -> str:
        return self.scope


class Token(Base):
    """An access token or a refresh token, as `kind` says."""

    __tablename__ = "quickstart_token"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), index=True, unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    authorization_id: Mapped[int] = mapped_column(
        ForeignKey(Authorization.id, name="fk_quickstart_token_authorization_id", ondelete="CASCADE"), index=True
    )
    authorization: Mapped[Authorization] = relationship(lazy="joined", innerjoin=True)
    scope: Mapped[str] = mapped_column(Text)
    resource: Mapped[str] = mapped_column(Text)
    used: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)

    def check_client(self, client: Any) -> bool:
        return bool(self.authorization.client_id == client.client_id)

    def get_scope(self) -> str:
        return self.scope


class UsedAssertion(Base):
    """RFC 7523 section 3: a `jti` is good once."""

    __tablename__ = "quickstart_used_assertion"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


def now() -> int:
    return int(time.time())


def digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()


def execute(statement: UpdateBase) -> int:
    """How many rows it changed."""
    return db.session.connection().execute(statement).rowcount


def random_token(**_: object) -> str:
    return secrets.token_urlsafe(32)


def new_code(**allowed: Any) -> str:
    code = random_token()
    expires_at = now() + LIFETIMES["code"]
    db.session.add(Authorization(code_digest=digest(code), expires_at=expires_at, **allowed))
    db.session.commit()
    return code


def find_code(code: str, client: Any) -> Authorization | None:
    issued = Authorization.code_digest == digest(code), Authorization.client_id == client.client_id
    return db.session.scalar(select(Authorization).where(*issued, Authorization.expires_at > now()))


def find_token(token: str, *kinds: str) -> Token | None:
    issued = Token.digest == digest(token), Token.kind.in_(kinds)
    return db.session.scalar(select(Token).where(*issued, Token.expires_at > now()))


def end(*which: ColumnElement[bool]) -> None:
    """Ends authorizations: from here on their codes and tokens are unknown."""
    execute(delete(Token).where(Token.authorization_id.in_(select(Authorization.id).where(*which))))
    execute(delete(Authorization).where(*which))


def use_once(row: Authorization | Token) -> None:
    """One UPDATE decides who was first. A second use of a code or refresh token ends everything that came of it."""
    model, owner = type(row), row if isinstance(row, Authorization) else row.authorization
    if not execute(update(model).where(model.id == row.id, model.used.is_(False)).values(used=True)):
        end(Authorization.id == owner.id)
        db.session.commit()
        raise InvalidGrantError("It was used before.")


def revoke(token: Token) -> None:
    """RFC 7009 section 2.1: a refresh token takes along all that was issued with it."""
    if token.kind == "refresh_token":
        end(Authorization.id == token.authorization_id)
    else:
        execute(delete(Token).where(Token.id == token.id))
    db.session.commit()


def first_use(assertion: str, expires_at: int) -> bool:
    """Committed at once: a request that fails later has used its assertion all the same."""
    execute(delete(UsedAssertion).where(UsedAssertion.expires_at < now()))
    try:
        execute(insert(UsedAssertion).values(digest=digest(assertion), expires_at=expires_at))
    except IntegrityError:
        db.session.rollback()
        return False
    db.session.commit()
    return True


def hold(client: Any) -> None:
    """Keeps the client as it was read until the commit: one that is being deleted or changed gets nothing more."""
    model = type(client)
    same = model.client_id == client.client_id, model.version == client.version
    if not execute(
        update(model).where(*same).values(version=model.version).execution_options(synchronize_session=False)
    ):
        db.session.rollback()
        raise InvalidClientError("The client has changed.", status_code=401)


def save_token(issued: dict[str, Any], request: Any) -> None:
    """Authlib's last step. A narrowed request narrows its access token, not the refresh token (RFC 6749 section 6)."""
    narrowed = {"scope": issued.get("scope", ""), "resource": request.resource}
    source = request.authorization_code or (request.refresh_token and request.refresh_token.authorization)
    if not source:
        hold(request.client)
        source = Authorization(client_id=request.client.client_id, used=True, **narrowed)
    for kind in LIFETIMES.keys() & issued.keys():
        share = narrowed if kind == "access_token" else {"scope": source.scope, "resource": source.resource}
        token = Token(authorization=source, digest=digest(issued[kind]), kind=kind, **share)
        token.expires_at = now() + LIFETIMES[kind]
        source.expires_at = max(source.expires_at or 0, token.expires_at)
        db.session.add(token)
    db.session.flush()
    execute(delete(Token).where(Token.expires_at <= now()))
    end(Authorization.expires_at <= now())
    db.session.commit()


def with_live_tokens(client_ids: Sequence[str]) -> Iterable[str]:
    """Of these clients, those that the clean-up must leave."""
    live = Authorization.client_id.in_(client_ids), Authorization.expires_at > now()
    return db.session.scalars(select(Authorization.client_id).where(*live))


def end_withdrawn(withdrawal: Withdrawal) -> None:
    """A client that is deleted or gives something up loses what was issued for it, in the same transaction."""
    its_own = Authorization.client_id == withdrawal.client_id
    if withdrawal.everything:
        end(its_own)
        return
    if "refresh_token" in withdrawal.grant_types:
        issued = select(Authorization.id).where(its_own)
        execute(delete(Token).where(Token.kind == "refresh_token", Token.authorization_id.in_(issued)))
    for row in db.session.scalars(select(Authorization).where(its_own)).all():
        grant_type = "authorization_code" if row.subject else "client_credentials"
        stray_code = not row.used and row.redirect_uri in withdrawal.redirect_uris
        if grant_type in withdrawal.grant_types or withdrawal.scopes & set(row.scope.split()) or stray_code:
            end(Authorization.id == row.id)


@contextmanager
def one_at_a_time(app: Flask) -> Iterator[Path]:
    """One worker at a time is in the instance folder: the lock on a file is SQLite's own."""
    folder = Path(app.instance_path)
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "start.lock", timeout=60)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield folder


def kept_secret(app: Flask, name: str, make: Callable[[], str]) -> str:
    """A secret of the instance folder, which is made once."""
    with one_at_a_time(app) as folder:
        secret = folder / name
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(make())
        return secret.read_text()


def prepare(app: Flask) -> None:
    """Migrates the tables and makes the secret key."""
    with app.app_context(), one_at_a_time(app):
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", tune_sqlite)
        upgrade()
        if not isinstance(db.engine.pool, StaticPool):
            db.engine.dispose()  # gunicorn --preload forks from here: workers share no connection
    app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or kept_secret(
        app, "secret_key", partial(secrets.token_hex, 32)
    )


def tune_sqlite(connection: sqlite3.Connection, _: object) -> None:
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
