"""The tables. Mixins for a host's own models, and the default models made of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from flask import current_app
from sqlalchemy import BigInteger, FromClause, Index, Integer, MetaData, String, Table, Text, inspect
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.registry.client import RegisteredClient

# What is compared exactly: MySQL and MariaDB would find client abc by the name AbC.
Exact = String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
ExactText = String(255).with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LONGEST_TEXT = 255
"""Characters of the columns above, and of reasons, labels and owners."""
Surrogate = BigInteger().with_variant(Integer, "sqlite")
Json = Text().with_variant(mysql.MEDIUMTEXT, "mysql", "mariadb")


class RegisteredClientMixin(RegisteredClient):
    """The columns of a registered client, for a model of the host's: `class Client(RegisteredClientMixin, db.Model)`.

    The host's model has a primary key of its own. Names and meanings of the first five columns are those of Authlib's
    `OAuth2ClientMixin`, so an existing table keeps its rows; `client_id` must be unique and not null there. Rows are written by
    SQLAlchemy Core: column defaults apply, ORM events do not. A model with `__table_args__` of its own has to repeat the index on
    `issuer` and `software_id`.

    `status` is `active`, `pending`, `refused` or `suspended`, for the reason that `status_reason` tells operators.
    `statement_issuer` is the `iss` of the software statement in force. `name_skeleton` is filled for names that an operator
    vouches for. `owned_by` is whom the host says it belongs to. `policies` (a JSON array of names) and `terms` (the JSON of
    `Terms`) are what it was registered under. `expires_at` is when it ends, if it does. `requested_metadata` is what it has asked
    to be. `waiting_since` is since when that, or the client itself, waits for an operator. `last_used_at` is when the host said
    last that it is used (`touch`). Of its registration access tokens, the `next` one was not used yet, and the `spent` ones
    (digests with a space between them, the last one first) were good before. `keys_changed_at` is when it last changed its keys.
    `older_client_secrets` (a JSON array of secrets as they are kept, each with until when it is good and the end that was told)
    came before the newest. `trail_head` is the last link of the chain of its events.
    """

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]
        __tablename__: Any

    client_id: Mapped[str] = mapped_column(Exact, index=True, unique=True, sort_order=-10)
    client_secret: Mapped[str | None] = mapped_column(String(255), sort_order=-9)
    client_id_issued_at: Mapped[int] = mapped_column(BigInteger, default=lambda: int(time.time()), sort_order=-8)
    client_secret_expires_at: Mapped[int] = mapped_column(BigInteger, default=0, sort_order=-7)
    _client_metadata: Mapped[str | None] = mapped_column("client_metadata", Json, sort_order=-6)
    issuer: Mapped[str | None] = mapped_column(Exact)
    source: Mapped[str | None] = mapped_column(String(32))
    initial_access_token_id: Mapped[int | None] = mapped_column(BigInteger)
    registration_access_token: Mapped[str | None] = mapped_column(String(255))
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    updated_at: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16), default="active", server_default="active")
    status_reason: Mapped[str | None] = mapped_column(String(255))
    # The metadata say it; the column is there to find clients by.
    _software_id: Mapped[str | None] = mapped_column("software_id", ExactText)
    statement_issuer: Mapped[str | None] = mapped_column(Exact, index=True)
    name_skeleton: Mapped[str | None] = mapped_column(ExactText, index=True)
    owned_by: Mapped[str | None] = mapped_column(ExactText, index=True)
    policies: Mapped[str | None] = mapped_column(Text)
    terms: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    requested_metadata: Mapped[str | None] = mapped_column(Json)
    waiting_since: Mapped[int | None] = mapped_column(BigInteger, index=True)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    next_registration_access_token: Mapped[str | None] = mapped_column(String(255))
    spent_registration_access_token: Mapped[str | None] = mapped_column(Text)
    registration_access_token_expires_at: Mapped[int | None] = mapped_column(BigInteger)
    keys_changed_at: Mapped[int | None] = mapped_column(BigInteger)
    older_client_secrets: Mapped[str | None] = mapped_column(Text)
    trail_head: Mapped[str | None] = mapped_column(String(64))

    def touch(self) -> None:
        """Says that the client is used: for the token endpoint, once it has authenticated.

        `last_used_at` (seconds since the epoch) is written, unless that was done less than an hour ago, or than half of the clock
        `idle` of its door, if that is less. Takes part in the transaction of the session: the caller commits. Raises
        TemporarilyUnavailableError when the database cannot be asked.
        """
        current_app.extensions["dynreg"].touch(self)

    def set_client_metadata(self, value: Mapping[str, Any]) -> None:
        """Replaces the metadata, as they are: nothing is checked. `version` grows when the session writes it."""
        super().set_client_metadata(value)
        if inspect(self).has_identity:
            # Counted in the database: somebody else may have written the row since it was read.
            self.version = type(self).version + 1

    @declared_attr.directive
    def __table_args__(cls) -> Any:  # noqa: N805 - SQLAlchemy calls it with the class
        return (Index(f"ix_{cls.__tablename__}_issuer", "issuer", "software_id"),)


class InitialAccessTokenMixin:
    """A token that lets its holder register clients (RFC 7591 section 3). Only its digest is kept."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    id: Mapped[int] = mapped_column(Surrogate, primary_key=True)
    digest: Mapped[str] = mapped_column(Exact, index=True, unique=True)
    issuer: Mapped[str] = mapped_column(Exact, index=True)
    label: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    max_uses: Mapped[int | None] = mapped_column(Integer)
    uses: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(ExactText)
    terms: Mapped[str | None] = mapped_column(Text)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class ClientEventMixin:
    """Something that happened, to a client mostly, written in the transaction that did it.

    `version` is the client's afterwards; `metadata_before` what it had before an update. `link` is a digest of the event and
    of the link `previous` to it.
    """

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]
        __tablename__: Any

    id: Mapped[int] = mapped_column(Surrogate, primary_key=True)
    issuer: Mapped[str] = mapped_column(Exact)
    client_id: Mapped[str] = mapped_column(Exact)
    type: Mapped[str] = mapped_column(String(32))
    occurred_at: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str | None] = mapped_column(String(32))
    initial_access_token_id: Mapped[int | None] = mapped_column(BigInteger)
    details: Mapped[str | None] = mapped_column(Json)
    version: Mapped[int | None] = mapped_column(Integer)
    metadata_before: Mapped[str | None] = mapped_column(Json)
    previous: Mapped[str | None] = mapped_column(String(64))
    link: Mapped[str | None] = mapped_column(String(64))

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Index, ...]:  # noqa: N805 - SQLAlchemy calls it with the class
        return (Index(f"ix_{cls.__tablename__}_issuer", "issuer", "client_id", "id"),)


class StatementIssuerMixin:
    """Who may sign software statements, as operators add and withdraw them; `definition` is the JSON of a `StatementIssuer`."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]
        __tablename__: Any

    id: Mapped[int] = mapped_column(Surrogate, primary_key=True)
    issuer: Mapped[str] = mapped_column(Exact)
    statement_issuer: Mapped[str] = mapped_column(Exact)
    definition: Mapped[str] = mapped_column(Json)
    version: Mapped[int] = mapped_column(Integer, default=1)
    added_at: Mapped[int] = mapped_column(BigInteger)

    @declared_attr.directive
    def __table_args__(cls) -> Any:  # noqa: N805 - SQLAlchemy calls it with the class
        return (Index(f"ix_{cls.__tablename__}_issuer", "issuer", "statement_issuer", unique=True),)


class UsedStatementMixin:
    """The digest of a `jti` that is good once and was used, until the JWT that it came in is over."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    digest: Mapped[str] = mapped_column(Exact, primary_key=True)
    issuer: Mapped[str] = mapped_column(Exact)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class RuntimeSettingMixin:
    """What operators have set while the server runs, for all of its workers: a name and a value."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    issuer: Mapped[str] = mapped_column(Exact, primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[int] = mapped_column(BigInteger)


class QuotaMixin:
    """How many clients there are of a kind for which there is a quota. `name` is a digest of the kind."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    issuer: Mapped[str] = mapped_column(Exact, primary_key=True)
    name: Mapped[str] = mapped_column(Exact, primary_key=True)
    clients: Mapped[int] = mapped_column(Integer)


class KeptAnswerMixin:
    """The answer to a registration that had an Idempotency-Key, encrypted; without one if it is not kept any more."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    digest: Mapped[str] = mapped_column(Exact, primary_key=True)
    issuer: Mapped[str] = mapped_column(Exact)
    client_id: Mapped[str] = mapped_column(Exact, index=True)
    body_digest: Mapped[str] = mapped_column(Exact)
    answer: Mapped[str | None] = mapped_column(Json)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class TombstoneMixin:
    """The id of a client that was removed, kept for a while: when it was registered and removed, and why."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    client_id: Mapped[str] = mapped_column(Exact, primary_key=True)
    issuer: Mapped[str] = mapped_column(Exact)
    registered_at: Mapped[int] = mapped_column(BigInteger)
    removed_at: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(32))
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class TrailHeadMixin:
    """The last link of a chain of events about something that is no client: its subject, and how many events there are."""

    if TYPE_CHECKING:
        __table__: ClassVar[FromClause]

    issuer: Mapped[str] = mapped_column(Exact, primary_key=True)
    subject: Mapped[str] = mapped_column(Exact, primary_key=True)
    link: Mapped[str] = mapped_column(String(64))
    events: Mapped[int] = mapped_column(Integer)


Model = type[
    RegisteredClientMixin
    | InitialAccessTokenMixin
    | ClientEventMixin
    | StatementIssuerMixin
    | UsedStatementMixin
    | RuntimeSettingMixin
    | QuotaMixin
    | KeptAnswerMixin
    | TombstoneMixin
    | TrailHeadMixin
]


def table_of(model: Model) -> Table:
    """The table of a model. Raises ConfigurationError for a model that has none of its own."""
    table = getattr(model, "__table__", None)
    if not isinstance(table, Table):
        raise ConfigurationError(f"The model {model.__name__} must have a table.")
    return table


@dataclass(frozen=True)
class Models:
    """The model classes of one app: its own, or those of `define_models`."""

    client: type[RegisteredClientMixin]
    initial_access_token: type[InitialAccessTokenMixin]
    event: type[ClientEventMixin]
    statement_issuer: type[StatementIssuerMixin]
    used_statement: type[UsedStatementMixin]
    runtime_setting: type[RuntimeSettingMixin]
    quota: type[QuotaMixin]
    kept_answer: type[KeptAnswerMixin]
    tombstone: type[TombstoneMixin]
    trail_head: type[TrailHeadMixin]

    def __post_init__(self) -> None:
        if len({table.metadata.info.get("bind_key") for table in self.tables}) > 1:
            raise ConfigurationError("The models must be in one database: they have different bind keys.")

    @property
    def tables(self) -> list[Table]:
        """That of the clients first."""
        return [table_of(getattr(self, model.name)) for model in fields(self)]


_REMEMBERED = "flask_dynreg"


def define_models(db: Any, client: type[RegisteredClientMixin] | None = None, *, bind_key: str | None = None) -> Models:
    """The default models on the metadata of `db` (Flask-SQLAlchemy, or a declarative base).

    `client` is the host's own client model, if it has one: the other tables go where its table is. Without it, `bind_key` puts
    the tables into that database of Flask-SQLAlchemy. For the same metadata the same models come back: calling it twice is fine.
    """
    metadata: MetaData = table_of(client).metadata if client else _metadata_of(db, bind_key)
    remembered: dict[type | None, Models] = metadata.info.setdefault(_REMEMBERED, {})
    if client not in remembered:
        others = next(iter(remembered.values()), None)
        chosen = client or _client(metadata)
        remembered[client] = replace(others, client=chosen) if others else _with_companions(chosen, metadata)
    return remembered[client]


def _metadata_of(db: Any, bind_key: str | None) -> MetaData:
    """Flask-SQLAlchemy makes that of a key for its first model, or in `init_app`: here it may be the first to be asked for."""
    if bind_key is None:
        common: MetaData = db.metadata
        return common
    fresh = MetaData(naming_convention=db.metadata.naming_convention, info={"bind_key": bind_key})
    metadata: MetaData = db.metadatas.setdefault(bind_key, fresh)
    return metadata


def _client(metadata_: MetaData) -> type[RegisteredClientMixin]:
    class Base(DeclarativeBase):
        metadata = metadata_

    class Client(RegisteredClientMixin, Base):
        """The default client model."""

        __tablename__ = "dynreg_client"

        @declared_attr
        def client_id(cls) -> Mapped[str]:  # noqa: N805 - SQLAlchemy calls it with the class
            return mapped_column(Exact, primary_key=True, sort_order=-10)

    return Client


def _with_companions(client: type[RegisteredClientMixin], metadata_: MetaData) -> Models:
    class Base(DeclarativeBase):
        metadata = metadata_

    class InitialAccessToken(InitialAccessTokenMixin, Base):
        """The default initial access token model."""

        __tablename__ = "dynreg_initial_access_token"

    class ClientEvent(ClientEventMixin, Base):
        """The default event model."""

        __tablename__ = "dynreg_event"

    class StatementIssuer(StatementIssuerMixin, Base):
        """The default model of trusted issuers."""

        __tablename__ = "dynreg_statement_issuer"

    class UsedStatement(UsedStatementMixin, Base):
        """The default model of statements that are good once."""

        __tablename__ = "dynreg_used_statement"

    class RuntimeSetting(RuntimeSettingMixin, Base):
        """The default model of what operators have set."""

        __tablename__ = "dynreg_runtime_setting"

    class Quota(QuotaMixin, Base):
        """The default model of what is counted for quotas."""

        __tablename__ = "dynreg_quota"

    class Tombstone(TombstoneMixin, Base):
        """The default model of clients that were removed."""

        __tablename__ = "dynreg_tombstone"

    class TrailHead(TrailHeadMixin, Base):
        """The default model of chains of events."""

        __tablename__ = "dynreg_trail_head"

    class KeptAnswer(KeptAnswerMixin, Base):
        """The default model of answers that are kept for a while."""

        __tablename__ = "dynreg_kept_answer"

    return Models(
        client,
        InitialAccessToken,
        ClientEvent,
        StatementIssuer,
        UsedStatement,
        RuntimeSetting,
        Quota,
        KeptAnswer,
        Tombstone,
        TrailHead,
    )
