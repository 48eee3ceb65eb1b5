"""Who may do what: groups that hold the rights, and logins in them.

The owner is the user that migrates: all tables are its own, and so are TimescaleDB's jobs, which only run as
a user that may log in. `tickplant_writer` may read and write all rows; `tickplant_reader` may read.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
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

_FIXED: Final = ("migration", "plant", "retention")
"""Tables that only migrations write."""

_TRIES: Final = 10
_ITERATIONS: Final = 4096


class Passwords(Struct, frozen=True, kw_only=True):
    """Of the logins to be made; None for those that are not wanted."""

    service: str | None = None
    grafana: str | None = None


async def apply_grants(connection: asyncpg.Connection, passwords: Passwords) -> list[str]:
    """Make the groups and logins, and give the groups their rights on this database.

    Roles belong to the server: other databases may share them, and be making them at the same time.

    Args:
        connection: of the tables' owner.
        passwords: of the logins.

    Returns:
        What this user may not do, for a person to read.

    Raises:
        FatalError: a password can't be used.
    """
    steps = _Steps(connection)
    for name in (READER, WRITER):
        await steps.create_role(name, "nologin")
    await _grant_rights(steps)
    if passwords.service is not None:
        await _make_login(steps, SERVICE, WRITER, passwords.service)
    if passwords.grafana is not None and await _make_login(steps, GRAFANA, READER, passwords.grafana):
        # What keeps a dashboard from harm: it can't write, nor hold the server up for long.
        await steps.run(f"alter role {GRAFANA} set default_transaction_read_only = on")
        await steps.run(f"alter role {GRAFANA} set statement_timeout = '30s'")
        await steps.run(f"alter role {GRAFANA} set idle_in_transaction_session_timeout = '10s'")
    if not steps.refused:
        return []
    return ["the database user may not do the following; whoever may can run it: " + "; ".join(steps.refused)]


class _Steps:
    """Statements that are run one by one; what this user may not do is kept aside."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.refused: list[str] = []

    async def create_role(self, name: str, login: str) -> bool:
        """Create a role unless there is one; return whether it exists afterwards."""
        if not await self.connection.fetchval("select to_regrole($1) is not null", name):
            return await self.run(f"create role {name} {login}")
        return True

    async def run(self, statement: str, *, shown: str | None = None) -> bool:
        """Run a statement that other databases' migrations may be running, too.

        Args:
            statement: to run.
            shown: what to show of it where it holds a secret.
        """
        for left in reversed(range(_TRIES)):
            try:
                await self.connection.execute(statement)
            except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                return True
            except asyncpg.InsufficientPrivilegeError:
                self.refused.append(shown or statement)
                return False
            except asyncpg.InternalServerError as error:
                if "concurrently" not in str(error) or not left:
                    raise
            else:
                return True
        return False


async def _grant_rights(steps: _Steps) -> None:
    """Give the groups that exist their rights on what this user owns in the plant's schema."""
    rows = await steps.connection.fetch(_RELATIONS)
    readable = {row["name"] for row in rows}
    tables = {row["name"] for row in rows if row["relkind"] != "v"}
    schema: str = await steps.connection.fetchval("select quote_ident(current_schema())")
    owned = f"alter default privileges in schema {schema} grant"  # of what is made before the next migration
    for group in (READER, WRITER):
        if not await steps.connection.fetchval("select to_regrole($1) is not null", group):
            continue
        if not await steps.connection.fetchval("select has_schema_privilege($1, $2, 'usage')", group, schema):
            await steps.run(f"grant usage on schema {schema} to {group}")
        seen = readable - set(SECRET) if group == READER else readable
        await steps.run(f"grant select on {_listed(seen)} to {group}")
        await steps.run(f"{owned} select on tables to {group}")
        if group == READER:
            await steps.run(f"revoke all on {_listed(SECRET)} from {group}")
        else:
            await steps.run(f"grant insert, update, delete on {_listed(tables - set(_FIXED))} to {group}")
            await steps.run(f"revoke insert, update, delete on {_listed(_FIXED)} from {group}")
            await steps.run(f"grant update (source) on plant to {group}")
            await steps.run(f"{owned} insert, update, delete on tables to {group}")
            await steps.run(f"{owned} usage on sequences to {group}")


async def _make_login(steps: _Steps, name: str, group: str, password: str) -> bool:
    """Make a login that is in a group; return whether all of it could be done."""
    secret = scram(password, secrets.token_bytes(16))
    if not await steps.create_role(name, "login"):
        steps.refused += [f"grant {group} to {name}", f"alter role {name} password '...'"]
        return False
    member = "select to_regrole($2) is not null and pg_has_role($1, $2, 'member')"
    joined = await steps.connection.fetchval(member, name, group) or await steps.run(
        f"grant {group} to {name}"
    )
    return joined and await steps.run(
        f"alter role {name} login password '{secret}'", shown=f"alter role {name} login password '...'"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


_RELATIONS: Final = """
    select quote_ident(relname) as name, relkind::text from pg_class c
    where relnamespace = to_regnamespace(quote_ident(current_schema())) and relkind in ('r', 'p', 'v')
        and pg_has_role(relowner, 'usage')
        and not exists (select from pg_depend where objid = c.oid and deptype = 'e')
"""
"""This user's tables and views, without those of extensions."""


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
