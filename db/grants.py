"""Database groups with their rights, and database users in them.

The user that migrates owns all tables and TimescaleDB's jobs, which run only as a user that may log in. The
group `tickplant_writer` may read and write all rows; `tickplant_reader` may read. PostgreSQL calls groups and
users roles; here a role is always a worker's.
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
"""A user in the group of writers."""
GRAFANA: Final = "tickplant_grafana"
"""A user in the group of readers."""

SECRET: Final = ("alerts", "alert_requests", "alert_state", "api_keys", "notifications", "webhooks")
"""Tables hidden from readers: with the address of a webhook, anybody can post to it."""

_FIXED: Final = ("migration", "plant", "retention", "unfilled_candles")
"""Tables that only migrations write to."""

_TRIES: Final = 10
_ITERATIONS: Final = 4096


class Passwords(Struct, frozen=True, kw_only=True):
    """Passwords of the users to create; None: no such user."""

    service: str | None = None
    grafana: str | None = None


async def apply_grants(connection: asyncpg.Connection, passwords: Passwords) -> list[str]:
    """Create the groups and users, and grant the groups their rights on this database.

    Groups and users belong to the server: other databases may share them, and create them at the same time.

    Args:
        connection: of the tables' owner.
        passwords: of the users.

    Returns:
        Messages about statements that this user may not run.

    Raises:
        FatalError: a password has unusable characters.
    """
    steps = _StatementRunner(connection)
    for name in (READER, WRITER):
        await steps.create(name, "nologin")
    await _grant_rights(steps)
    if passwords.service is not None:
        await _create_user(steps, SERVICE, WRITER, passwords.service)
    if passwords.grafana is not None and await _create_user(steps, GRAFANA, READER, passwords.grafana):
        # A dashboard can neither write nor block the server for long.
        await steps.run(f"alter role {GRAFANA} set default_transaction_read_only = on")
        await steps.run(f"alter role {GRAFANA} set statement_timeout = '30s'")
        await steps.run(f"alter role {GRAFANA} set idle_in_transaction_session_timeout = '10s'")
    if not steps.refused:
        return []
    return [
        "the database user lacks the rights for these statements; a superuser can run them: "
        + "; ".join(steps.refused)
    ]


class _StatementRunner:
    """Runs statements one by one, and collects those that this user may not run."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.refused: list[str] = []

    async def create(self, name: str, login: str) -> bool:
        """Create a group or user unless it exists; return whether it exists afterwards."""
        if not await self.connection.fetchval("select to_regrole($1) is not null", name):
            return await self.run(f"create role {name} {login}")
        return True

    async def run(self, statement: str, *, shown: str | None = None) -> bool:
        """Run a statement that the migrations of other databases may run at the same time.

        Args:
            statement: to run.
            shown: the statement without its secret, if it has one.
        """
        for remaining in reversed(range(_TRIES)):
            try:
                await self.connection.execute(statement)
            except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                return True
            except asyncpg.InsufficientPrivilegeError:
                self.refused.append(shown or statement)
                return False
            except asyncpg.InternalServerError as error:
                if "concurrently" not in str(error) or not remaining:
                    raise
            else:
                return True
        return False


async def _grant_rights(steps: _StatementRunner) -> None:
    """Grant the existing groups their rights on what this user owns in the plant's schema."""
    rows = await steps.connection.fetch(_RELATIONS)
    readable = {row["name"] for row in rows}
    tables = {row["name"] for row in rows if row["relkind"] != "v"}
    schema: str = await steps.connection.fetchval("select quote_ident(current_schema())")
    owned = (
        f"alter default privileges in schema {schema} grant"  # for tables created before the next migration
    )
    for group in (READER, WRITER):
        if not await steps.connection.fetchval("select to_regrole($1) is not null", group):
            continue
        if not await steps.connection.fetchval("select has_schema_privilege($1, $2, 'usage')", group, schema):
            await steps.run(f"grant usage on schema {schema} to {group}")
        visible = readable - set(SECRET) if group == READER else readable
        await steps.run(f"grant select on {_listed(visible)} to {group}")
        await steps.run(f"{owned} select on tables to {group}")
        if group == READER:
            await steps.run(f"revoke all on {_listed(SECRET)} from {group}")
        else:
            await steps.run(f"grant insert, update, delete on {_listed(tables - set(_FIXED))} to {group}")
            await steps.run(f"revoke insert, update, delete on {_listed(_FIXED)} from {group}")
            await steps.run(f"grant update (source) on plant to {group}")
            await steps.run(f"{owned} insert, update, delete on tables to {group}")
            await steps.run(f"{owned} usage on sequences to {group}")


async def _create_user(steps: _StatementRunner, name: str, group: str, password: str) -> bool:
    """Create a user in a group; return whether every step succeeded."""
    secret = scram_verifier(password, secrets.token_bytes(16))
    if not await steps.create(name, "login"):
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


def scram_verifier(password: str, salt: bytes) -> str:
    """Return the verifier that the server stores, so that no statement or log contains the password itself.

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
