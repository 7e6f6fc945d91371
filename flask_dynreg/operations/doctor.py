"""`flask dynreg doctor`: what is not as it should be, and what mends it. It changes nothing, and shows no secret."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from math import inf
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app
from sqlalchemy import Dialect, Inspector, String, Table, func, inspect, select
from sqlalchemy.exc import DBAPIError, NoSuchTableError, TimeoutError
from sqlalchemy.types import TypeEngine

from flask_dynreg.operations.commands import Desk, operated
from flask_dynreg.operations.migrations import VERSION_TABLE
from flask_dynreg.protocol import discovery, views
from flask_dynreg.protocol.endpoints import RegistrationServer
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.models import table_of
from flask_dynreg.registry.principals import STRANGERS

MEND, KNOW = "To mend", "To know"
"""What is wrong; and what nobody can see from here, or what an operator has wanted."""
LATE = 7 * 86400
"""Seconds after which somebody should have cleaned up."""
SAMPLE = 200
"""Clients that are looked at."""
TEXTS = {"TINYTEXT": 2**8 - 1, "TEXT": 2**16 - 1, "MEDIUMTEXT": 2**24 - 1}
"""How much there is room for in types that say no length, in MariaDB and MySQL. Elsewhere these are not told from each other."""

Check = Callable[[Registrar], Iterator[str]]


# ---- By the settings


def audit_keys(registrar: Registrar) -> Iterator[str]:
    ours, others = registrar.settings.audit_keys, registrar.settings.secret_keys
    if not ours:
        yield "DYNREG_AUDIT_KEYS is empty: whoever can write to the database can make the chains of the trail anew."
    elif ours[0] in others:
        yield (
            "The first of DYNREG_AUDIT_KEYS is in DYNREG_SECRET_KEYS as well: who has it for the secrets can make links of the "
            "trail. Put another one in front of it."
        )


def secret_keys(registrar: Registrar) -> Iterator[str]:
    if len(registrar.settings.secret_keys) > 1:
        yield "DYNREG_SECRET_KEYS has older keys: run `flask dynreg secrets reencrypt`, then take them out."


def trusted_proxies(registrar: Registrar) -> Iterator[str]:
    settings = registrar.settings
    if settings.certificate_header and any(not ip_network(each).prefixlen for each in settings.trusted_proxies):
        yield (
            "DYNREG_TRUSTED_PROXIES has every address: whoever reaches the app can say whose certificate they have. Name those "
            "alone that set DYNREG_CERTIFICATE_HEADER."
        )


def clocks(registrar: Registrar) -> Iterator[str]:
    settings, lifetimes = registrar.settings, registrar.settings.client_lifetimes
    policies = {each["policy"] if isinstance(each, Mapping) else each for each in settings.policies}
    if registrar.issuer.startswith("http:"):
        return  # no stranger comes to a loopback address
    for door in sorted(STRANGERS.intersection(settings.access)):
        has = set(lifetimes.get(door, lifetimes.get("all", {})))
        if "approval" in policies and not has & {"pending", "absolute"}:
            yield (
                f"DYNREG_CLIENT_LIFETIMES has neither pending nor absolute for the door {door}: strangers of whom nobody "
                "approves wait for ever."
            )
        if "lifetime" not in policies and not has & {"unused", "absolute"}:
            yield (
                f"DYNREG_CLIENT_LIFETIMES has neither unused nor absolute for the door {door}: what strangers register and never "
                "use stays, unless a policy of yours ends it."
            )


def limits(registrar: Registrar) -> Iterator[str]:
    if registrar.settings.limits and registrar.settings.limits_storage.startswith("memory:"):
        yield "Each worker counts DYNREG_LIMITS for itself: with more than one, DYNREG_LIMITS_STORAGE should name a Redis."


def addresses(registrar: Registrar) -> Iterator[str]:
    server: RegistrationServer = current_app.extensions[views.SERVER]
    issuer, root = urlsplit(registrar.issuer), current_app.config["APPLICATION_ROOT"]
    if registrar.settings.discovery and (issuer.path + root).strip("/"):
        documents = [f"{issuer.scheme}://{issuer.netloc}{path}" for path in discovery.paths(registrar)]
        yield (
            f"Clients come to {', '.join(documents)} and {server.addresses.registration}: the front server must pass all of "
            "these on to the app, documents with their whole path. APPLICATION_ROOT says where the app is mounted."
        )


# ---- By the database


def missing(inspector: Inspector, table: Table) -> list[str]:
    """The table or columns that the database lacks."""
    try:
        there = {column["name"] for column in inspector.get_columns(table.name, table.schema)}
    except NoSuchTableError:
        return [table.name]
    return [f"{table.name}.{column.name}" for column in table.columns if column.name not in there]


def too_short(inspector: Inspector, table: Table) -> list[str]:
    """The columns that hold less text than they must."""
    if inspector.dialect.name == "sqlite" or not inspector.has_table(table.name, table.schema):
        return []  # SQLite has no lengths
    dialect = inspector.dialect
    there = {
        column["name"]: room(column["type"], dialect) for column in inspector.get_columns(table.name, table.schema)
    }
    must = {column.name: room(column.type, dialect) for column in table.columns}
    return [f"{table.name}.{name}" for name, least in must.items() if there.get(name, inf) < least]


def room(type_: TypeEngine[Any], dialect: Dialect) -> float:
    """How much text there may be in a column of this type; no end to it where none is known."""
    if not isinstance(type_, String):
        return inf
    words = type_.compile(dialect)
    length = re.search(r"\((\d+)\)", words)
    return int(length[1]) if length else TEXTS.get(words.split()[0], inf)


def tables(registrar: Registrar) -> Iterator[str]:
    inspector = inspect(registrar.sessions.connection())
    lacks = [name for table in registrar.models.tables for name in missing(inspector, table)]
    short = [name for table in registrar.models.tables for name in too_short(inspector, table)]
    if not lacks + short:
        return
    clients = table_of(registrar.models.client)
    is_new = clients.name == "dynreg_client" and clients.name in lacks and "migrate" not in current_app.extensions
    if is_new or inspector.has_table(VERSION_TABLE):
        mended = "Run `flask dynreg db upgrade`."
    else:
        mended = "They belong in the app's own history: `flask db migrate` and `flask db upgrade` with Flask-Migrate."
    if lacks:
        yield f"The database lacks {', '.join(lacks)}. {mended}"
    if short:
        yield f"These columns are too short in the database: {', '.join(short)}. {mended}"


def switch(registrar: Registrar) -> Iterator[str]:
    if registrar.switch.now() is not None:
        yield (
            "An operator has closed registration. `flask dynreg registration status` says why, and "
            "`flask dynreg registration open` opens it."
        )


def statement_issuers(registrar: Registrar) -> Iterator[str]:
    if "software_statement" in registrar.settings.access and not registrar.issuers.are_there():
        yield (
            "DYNREG_ACCESS has software_statement, and nobody is trusted to sign one: name somebody in DYNREG_STATEMENT_ISSUERS, "
            "or by `flask dynreg issuer add`."
        )


def clean_up(registrar: Registrar) -> Iterator[str]:
    if registrar.clean_up_is_late(LATE):
        yield "Nothing was cleaned up for a week. Let `flask dynreg clients clean-up` run each day."


def uses(registrar: Registrar) -> Iterator[str]:
    if not {"unused", "idle"}.intersection(*map(set, registrar.settings.client_lifetimes.values())):
        return
    client = table_of(registrar.models.client)
    sample = select(client.c.last_used_at).where(client.c.issuer == registrar.issuer).limit(SAMPLE).subquery()
    counts = select(func.count(), func.count(sample.c.last_used_at)).select_from(sample)
    if registrar.sessions.first(counts, {}) == (SAMPLE, 0):
        yield (
            f"Of {SAMPLE} clients none was ever used, and DYNREG_CLIENT_LIFETIMES ends those that are not. Does your token "
            "endpoint call client.touch()?"
        )


# ---- All of it

SETTINGS: Sequence[tuple[str, Check]] = (
    (MEND, audit_keys),
    (MEND, secret_keys),
    (MEND, trusted_proxies),
    (MEND, clocks),
    (KNOW, limits),
    (KNOW, addresses),
)
STORED: Sequence[tuple[str, Check]] = (
    (KNOW, switch),
    (MEND, statement_issuers),
    (MEND, clean_up),
    (KNOW, uses),
)
"""Asked where the tables are as they should be."""


def findings(registrar: Registrar) -> Iterator[tuple[str, str]]:
    yield from _of(SETTINGS, registrar)
    try:
        behind = list(_of([(MEND, tables)], registrar))
        yield from behind or _of(STORED, registrar)
    except (DBAPIError, TimeoutError) as error:
        registrar.sessions.session.rollback()
        yield (
            MEND,
            f"The database cannot be asked ({type(error).__name__}). Does it run, and is SQLALCHEMY_DATABASE_URI right?",
        )


def _of(checks: Sequence[tuple[str, Check]], registrar: Registrar) -> Iterator[tuple[str, str]]:
    return ((kind, text) for kind, check in checks for text in check(registrar))


@click.command()
@operated("settings:write")
def doctor(desk: Desk) -> None:
    """Say what is not as it should be and what mends it, one finding a line. Ends with 1 if something is to be mended.

    What begins with "To know" nobody can see from here, or an operator has wanted it.
    """
    kinds = set()
    for kind, text in findings(desk.registrar):
        click.echo(f"{kind}: {text}")
        kinds.add(kind)
    if MEND in kinds:
        raise SystemExit(1)
    click.echo("Nothing is to be mended.")
