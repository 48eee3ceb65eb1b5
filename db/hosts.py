"""Connects to one of several hosts of an address: the primary of the newest timeline, or any that is wanted.

PostgreSQL's own clients try the hosts one after the other, so that one that does not answer delays every
connection, and the first primary is taken even if it is a former one that has come back. Here all hosts are
tried at once, and of several primaries the one whose timeline is the newest is taken: each promotion of a
replica begins a new timeline, with a greater number (https://www.postgresql.org/docs/current/
continuous-archiving.html#BACKUP-TIMELINES).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

Wanted = Literal["any", "primary", "standby", "prefer-standby", "read-write", "read-only"]
"""The values of `target_session_attrs`, as in libpq."""

UNREACHABLE: Final = "the database can't be reached: "

_PORT: Final = 5432
_GRACE_S: Final = 0.5
"""How long the other hosts are waited for once one will do, in case one of them is better."""

_STATE_S: Final = 5.0
"""How long a host may take to say which server it is, once it is connected."""

_newest: dict[int, int] = {}
"""By system identifier, the newest timeline on which this process knows of a primary: it only rises."""


class Host(NamedTuple):
    """One host of an address."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the host and its port."""
        return f"{self.host}:{self.port}"


class ServerState(NamedTuple):
    """What distinguishes the servers of a cluster."""

    standby: bool
    system: int
    """The system identifier: that of the cluster whose copies the servers are; 0 where it is unknown."""
    timeline: int
    """The timeline of a primary; 0 of a standby, or where it is unknown."""

    def replaces(self, other: "ServerState") -> bool:
        """Return whether it is the primary in place of another one of its cluster."""
        return self.system == other.system and self.timeline > other.timeline > 0


class Found(NamedTuple):
    """A connection to one of several hosts."""

    host: Host
    connection: asyncpg.Connection
    state: ServerState


Open = Callable[[Host], Awaitable[asyncpg.Connection]]


def hosts_of(url: str) -> list[Host]:
    """Return the hosts of an address; none where it leaves them to the driver.

    Raises:
        ValueError: a port is not a number.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    hosts = [part for part in parts.netloc.rpartition("@")[2].split(",") if part]
    if not hosts:
        hosts = [host for host in query.get("host", [""])[0].split(",") if host]
    ports = query.get("port", [""])[0].split(",")
    found = []
    for number, text in enumerate(hosts):
        host, port = _split_port(unquote(text))
        port = port or ports[min(number, len(ports) - 1)]
        try:
            found.append(Host(host, int(port or _PORT)))
        except ValueError:
            raise ValueError(f"{port!r} is not a port") from None
    return found


def _split_port(text: str) -> tuple[str, str]:
    if text.startswith("/"):  # the folder of a socket
        return text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def wanted_of(url: str, default: Wanted) -> Wanted:
    """Return which server of its hosts an address asks for.

    Raises:
        ValueError: its `target_session_attrs` is none of libpq's.
    """
    text = parse_qs(urlsplit(url).query).get("target_session_attrs", [default])[0]
    for wanted in get_args(Wanted):
        if text == wanted:
            return text  # type: ignore[return-value] # it is one of them
    raise ValueError(f"target_session_attrs is {text!r}, not one of {', '.join(get_args(Wanted))}")


def for_other_clients(url: str) -> str:
    """Return an address with which clients of libpq look for the primary, too, if it has several hosts."""
    if len(hosts_of(url)) < 2 or "target_session_attrs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}target_session_attrs=read-write"


def note_timeline(system: int, timeline: int) -> None:
    """Note that a primary has worked on a timeline: those on older ones are refused from now on."""
    _newest[system] = max(_newest.get(system, 0), timeline)


async def connect_to_one(hosts: list[Host], wanted: Wanted, open_: Open) -> Found:
    """Connect to the one of several hosts that is wanted.

    Args:
        hosts: all of them.
        wanted: which.
        open_: connects to one host, within a time limit of its own.

    Raises:
        PostgresConnectionError: none of them will do; the message says why of each.
        PostgresError: all of them refuse the connection, for reasons that waiting does not change.
    """
    tasks = {asyncio.create_task(_look(host, open_)): host for host in hosts}
    waiting = set(tasks)
    found: list[Found] = []
    failed: dict[Host, BaseException] = {}
    deadline: float | None = None
    clock = asyncio.get_running_loop().time
    try:
        while waiting and not any(_is_best(each, wanted) for each in found):
            left_s = None if deadline is None else max(0.0, deadline - clock())
            done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                error = task.exception()
                if error is None:
                    found.append(task.result())
                else:
                    failed[tasks[task]] = error
            if deadline is None and any(_will_do(each, wanted) for each in found):
                deadline = clock() + _GRACE_S
        chosen = _choose(found, wanted)
        if chosen is None:
            raise _none_will_do(found, failed, wanted)
        if chosen.state.timeline:
            note_timeline(chosen.state.system, chosen.state.timeline)
        found.remove(chosen)
        return chosen
    finally:
        for task in waiting:
            task.cancel()
        late = await asyncio.gather(*waiting, return_exceptions=True)
        found += [each for each in late if isinstance(each, Found)]
        for each in found:
            each.connection.terminate()


class Better(NamedTuple):
    """A host that is better than the one in use."""

    host: Host
    replaces: bool
    """Whether it is the primary in place of the one in use; that is only a copy of the past then."""


async def find_better(hosts: list[Host], wanted: Wanted, used: Found, open_: Open) -> Better | None:
    """Look for a host that is better than the one in use; the next connection takes it.

    A primary that has been replaced may still run and answer: nothing else tells of the promotion.

    Args:
        hosts: all of them.
        wanted: which.
        used: the connection that was taken last.
        open_: connects to one host, within a time limit of its own.
    """
    if not _may_get_better(used.state, wanted):
        return None
    others = [host for host in hosts if host != used.host]
    states = await asyncio.gather(*(_state_of(host, open_) for host in others), return_exceptions=True)
    for host, state in zip(others, states, strict=True):
        if not isinstance(state, ServerState):
            continue
        if state.standby and wanted == "prefer-standby":
            return Better(host, replaces=False)
        if state.replaces(used.state):
            note_timeline(state.system, state.timeline)
            return Better(host, replaces=True)
    return None


def _may_get_better(used: ServerState, wanted: Wanted) -> bool:
    if used.standby or wanted in ("standby", "read-only"):
        return False
    return used.timeline > 0 or wanted == "prefer-standby"


async def _state_of(host: Host, open_: Open) -> ServerState:
    found = await _look(host, open_)
    found.connection.terminate()
    return found.state


async def _look(host: Host, open_: Open) -> Found:
    connection = await open_(host)
    # Cut off, not cancelled: a statement is cancelled by the server, which may hang.
    limit = asyncio.get_running_loop().call_later(_STATE_S, connection.terminate)
    try:
        return Found(host, connection, await _read_state(connection))
    except BaseException:
        connection.terminate()
        raise
    finally:
        limit.cancel()


async def _read_state(connection: asyncpg.Connection) -> ServerState:
    try:
        # Within a transaction, so that a pooler does not change the session between its messages.
        async with connection.transaction():
            row = await connection.fetchrow(_STATE)
            assert row is not None  # it has no condition
            return ServerState(row["standby"], row["system"], row["timeline"])
    except (
        asyncpg.FeatureNotSupportedError,
        asyncpg.UndefinedFunctionError,
        asyncpg.InsufficientPrivilegeError,
    ):
        return ServerState(bool(await connection.fetchval("select pg_is_in_recovery()")), 0, 0)


def _will_do(found: Found, wanted: Wanted) -> bool:
    if _is_former(found.state):
        return False
    match wanted:
        case "primary" | "read-write":
            return not found.state.standby
        case "standby" | "read-only":
            return found.state.standby
        case _:
            return True


def _is_former(state: ServerState) -> bool:
    return 0 < state.timeline < _newest.get(state.system, 0)


def _is_best(found: Found, wanted: Wanted) -> bool:
    """Return whether no other host can be better."""
    if not _will_do(found, wanted):
        return False
    if wanted in ("primary", "read-write"):
        return found.state.timeline > 0 and found.state.timeline == _newest.get(found.state.system)
    return wanted != "prefer-standby" or found.state.standby


def _choose(found: list[Found], wanted: Wanted) -> Found | None:
    fitting = [each for each in found if _will_do(each, wanted)]
    if wanted == "prefer-standby":
        return max(fitting, key=lambda each: each.state.standby, default=None)
    return max(fitting, key=lambda each: each.state.timeline, default=None)


def _none_will_do(found: list[Found], failed: dict[Host, BaseException], wanted: Wanted) -> Exception:
    outage = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)
    if not found and all(not isinstance(error, outage) for error in failed.values()):
        for error in failed.values():
            if isinstance(error, Exception):
                return error
    reasons = [f"{each.host} is {_describe(each.state)}" for each in found]
    reasons += [
        f"{host}: {str(error).removeprefix(UNREACHABLE) or type(error).__name__}"
        for host, error in failed.items()
    ]
    what = "the primary" if wanted in ("primary", "read-write") else "a standby"
    return asyncpg.PostgresConnectionError(f"{UNREACHABLE}no host is {what}: {'; '.join(reasons)}")


def _describe(state: ServerState) -> str:
    if state.standby:
        return "a standby"
    if _is_former(state):
        newest = _newest[state.system]
        return f"a former primary (timeline {state.timeline}; there has been a primary on {newest})"
    return "a primary"


TIMELINE: Final = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint"
"""The timeline that a primary writes; that of the control file is an older one just after a promotion."""

_STATE: Final = f"""
    select pg_is_in_recovery() as standby, (select system_identifier from pg_control_system()) as system,
        case when pg_is_in_recovery() then 0 else {TIMELINE} end as timeline
"""  # noqa: S608 - constants only
