"""Who may do what: groups that hold the rights, and logins in them.

The owner is the user that migrates: all tables are its own, and so are TimescaleDB's jobs, which only run as
a user that may log in. `tickplant_writer` may read and write all rows; `tickplant_reader` may read.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from typing import Final

import asyncpg
from msgspec import Struct

from tickplant.errors import FatalError

WRITER: Final = "tickplant_writer"
READER: Final = "tickplant_reader"
SERVICE: Final = "tickplant_service"
"""Logs in as a writer."""
GRAFANA: Final = "tickplant_grafana"
"""Logs in as a reader."""

SECRET: Final = ("alerts", "alert_state", "webhooks")
"""Tables that a reader doesn't see: who knows a webhook's address can write there."""

_TRIES: Final = 10
_ITERATIONS: Final = 4096


class Passwords(Struct, frozen=True, kw_only=True):
    """Of the logins to be made; None for those that are not wanted."""

    service: str | None = None
    grafana: str | None = None


async def apply_roles(connection: asyncpg.Connection, passwords: Passwords) -> list[str]:
    """Make the groups and logins, and give the groups their rights on this database.

    Roles belong to the server: other databases may share them, and be making them at the same time.

    Args:
        connection: of the tables' owner.
        passwords: of the logins.

    Returns:
        What can't be done, for a person to read.

    Raises:
        FatalError: a password can't be used, or logins are asked for and may not be made.
    """
    missing = {WRITER, READER} - {
        row["rolname"] for row in await connection.fetch("select rolname from pg_roles")
    }
    may_create = await connection.fetchval(
        "select rolcreaterole or rolsuper from pg_roles where rolname = current_user"
    )
    logins = passwords.service is not None or passwords.grafana is not None
    if not may_create and (missing or logins):
        how = f"create role {WRITER}; create role {READER};"
        if logins:
            raise FatalError(
                "the database user may not create roles, so no logins with TICKPLANT_DATABASE_*_PASSWORD:"
                " give it CREATEROLE, or make the logins by hand and unset these"
            )
        return [f"the database user may not create roles; whoever may can run: {how} and migrate again"]
    groups: list[str] = []
    logins_made: list[str] = []
    if may_create:
        groups = [f"create role {name} nologin" for name in sorted(missing)]
        logins_made = [
            *_login(SERVICE, WRITER, passwords.service),
            *_login(GRAFANA, READER, passwords.grafana),
        ]
        if passwords.grafana is not None:
            logins_made += _limits()
    for statement in groups:
        await _execute(connection, statement)
    async with connection.transaction():  # a reader sees the secret tables at no moment
        for statement in _rights():
            await connection.execute(statement)
    for statement in logins_made:
        await _execute(connection, statement)
    return []


def _rights() -> Iterator[str]:
    yield f"grant usage on schema public to {READER}, {WRITER}"
    yield f"grant select on all tables in schema public to {READER}, {WRITER}"
    yield f"grant insert, update, delete on all tables in schema public to {WRITER}"
    yield f"grant usage on all sequences in schema public to {WRITER}"
    yield f"revoke insert, update, delete on migration, plant, retention from {WRITER}"
    yield f"revoke all on {', '.join(SECRET)} from {READER}"
    # Of what the owner makes later, before the next migration.
    owned = "alter default privileges in schema public grant"
    yield f"{owned} select on tables to {READER}, {WRITER}"
    yield f"{owned} insert, update, delete on tables to {WRITER}"
    yield f"{owned} usage on sequences to {WRITER}"


def _login(name: str, group: str, password: str | None) -> Iterator[str]:
    if password is not None:
        yield f"create role {name} login in role {group}"
        yield f"alter role {name} password '{scram(password, secrets.token_bytes(16))}'"


def _limits() -> Iterator[str]:
    """Yield what keeps a dashboard from harm: it can't write, nor hold the server up for long."""
    yield f"alter role {GRAFANA} set default_transaction_read_only = on"
    yield f"alter role {GRAFANA} set statement_timeout = '30s'"
    yield f"alter role {GRAFANA} set idle_in_transaction_session_timeout = '10s'"


async def _execute(connection: asyncpg.Connection, statement: str) -> None:
    """Run a statement that other databases' migrations may be running, too."""
    for left in reversed(range(_TRIES)):
        try:
            await connection.execute(statement)
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            return
        except asyncpg.InternalServerError as error:
            if "concurrently" not in str(error) or not left:
                raise
        else:
            return


def scram(password: str, salt: bytes) -> str:
    """Return what the server stores of a password, so that itself it comes into no statement or log.

    Source: RFC 5803.

    Raises:
        FatalError: the password has characters whose encoding is ambiguous.
    """
    if not (password.isascii() and password.isprintable() and password):
        raise FatalError("a database password must be of printable ASCII characters")
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(key, b"Client Key", "sha256")).digest()
    server = hmac.digest(key, b"Server Key", "sha256")
    shown = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{shown[0]}${shown[1]}:{shown[2]}"
