"""The tables of signals and of strategies' state."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
from msgspec import Struct

from db.bulk import execute_rows
from db.pages import fetch_page
from tickplant.derived import Signal
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us


class StrategyState(NamedTuple):
    """A row of the table strategy_state."""

    strategy: str
    venue: str
    symbol: str
    number: int
    """How many signals the strategy has produced."""
    state: bytes
    """`NO_STATE` for a cold start."""


NO_STATE: Final = b""


class SignalKey(NamedTuple):
    """A signal's place in a list."""

    event_time_us: int
    venue: str = ""
    symbol: str = ""
    strategy: str = ""
    number: int = 0
    """The defaults lie before every signal of that moment."""


class SignalRows(Struct, frozen=True):
    """The rows of signals and strategies that a transaction writes; implements `db.commit.DerivedRows`."""

    partition: int
    signals: Sequence[Signal]
    states: Sequence[StrategyState]
    """At most one per strategy and symbol."""

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows inside the worker's transaction.

        Args:
            connection: in the transaction.
            entry_id: the last stream entry that the transaction includes.
        """
        await execute_rows(connection, _INSERT, map(_values, self.signals), entry_id)
        await execute_rows(connection, _WRITE_STATES, self.states, self.partition)


async def read_strategy_states(
    pool: asyncpg.Pool, partition: int
) -> dict[tuple[str, str], list[StrategyState]]:
    """Return the strategies' state for a partition's symbols, by venue and symbol."""
    rows = await pool.fetch(
        "select strategy, venue, symbol, number, state from strategy_state where partition = $1"
        " order by venue, symbol, strategy",
        partition,
    )
    states: defaultdict[tuple[str, str], list[StrategyState]] = defaultdict(list)
    for row in rows:
        states[row["venue"], row["symbol"]].append(StrategyState(*row))
    return dict(states)


async def read_signals(
    connection: asyncpg.Connection,
    *,
    symbol: SymbolId | None = None,
    strategy: str | None = None,
    after: SignalKey,
    before: SignalKey,
    limit: int,
    newest: bool = False,
) -> list[Signal]:
    """Return signals in order of event time, venue, symbol, strategy and number.

    Args:
        connection: to the database.
        symbol: only those of one symbol; None for all.
        strategy: only those of one strategy; None for all.
        after: exclusive.
        before: exclusive.
        limit: the most signals.
        newest: whether the limit leaves out the oldest signals rather than the newest.
    """
    rows = await fetch_page(
        connection,
        _READ.replace("{where}", "and venue = $13 and symbol = $14" if symbol else ""),
        to_datetime(after.event_time_us),
        *after[1:],
        to_datetime(before.event_time_us),
        *before[1:],
        strategy,
        limit,
        *(symbol or ()),
        newest=newest,
    )
    return [signal_of(row) for row in rows]


async def read_last_signals(pool: asyncpg.Pool, partition: int) -> list[Signal]:
    """Return the newest signal of each strategy and symbol of a partition."""
    rows = await pool.fetch(
        f"select {SIGNAL_COLUMNS} from strategy_state k cross join lateral ("  # noqa: S608 - constants only
        ' select event_time, trade_id, price, side, strength, "values" from signals s'
        " where s.venue = k.venue and s.symbol = k.symbol and s.strategy = k.strategy and s.number = k.number"
        " order by event_time desc limit 1"
        ") s where k.partition = $1 and k.number > 0",
        partition,
    )
    return [signal_of(row) for row in rows]


async def read_signals_of_entry(pool: asyncpg.Pool, partition: int, entry_id: str) -> list[Signal]:
    """Return the signals that one transaction stored, in order of time.

    Args:
        pool: connections.
        partition: of the symbols.
        entry_id: the last stream entry that the transaction included.
    """
    rows = await pool.fetch(
        f"select {SIGNAL_COLUMNS} from ledger l join signals s using (venue, symbol)"  # noqa: S608 - constants only
        " where l.partition = $1 and s.entry_id = $2"
        " order by event_time, venue, symbol, strategy, number",
        partition,
        entry_id,
    )
    return [signal_of(row) for row in rows]


_INSERT: Final = """
insert into signals (
    entry_id, strategy, venue, symbol, number, event_time, trade_id, price, side, strength, "values"
)
select $1, strategy, venue, symbol, number, event_time, trade_id, price::numeric, side, strength,
    "values"::jsonb
from unnest(
    $2::text[], $3::text[], $4::text[], $5::int8[], $6::timestamptz[], $7::int8[], $8::text[], $9::text[],
    $10::float8[], $11::text[]
) as r (strategy, venue, symbol, number, event_time, trade_id, price, side, strength, "values")
"""

_WRITE_STATES: Final = """
insert into strategy_state (partition, strategy, venue, symbol, number, state)
select $1::int, strategy, venue, symbol, number, state
from unnest($2::text[], $3::text[], $4::text[], $5::int8[], $6::bytea[])
    as r (strategy, venue, symbol, number, state)
on conflict (strategy, venue, symbol) do update set number = excluded.number, state = excluded.state
"""

SIGNAL_COLUMNS: Final = (
    'strategy, venue, symbol, number, event_time, trade_id, price::text, side, strength, "values"::text'
)

# The times are compared separately, too: TimescaleDB selects chunks only by plain comparisons of the time.
_READ: Final = f"""
    select {SIGNAL_COLUMNS} from signals
    where event_time >= $1 and (event_time, venue, symbol, strategy, number) > ($1, $2, $3, $4, $5)
        and event_time <= $6 and (event_time, venue, symbol, strategy, number) < ($6, $7, $8, $9, $10)
        and ($11::text is null or strategy = $11) {{where}}
    order by event_time {{order}}, venue {{order}}, symbol {{order}}, strategy {{order}}, number {{order}}
    limit $12
"""  # noqa: S608 - constants only


def _values(signal: Signal) -> tuple[Any, ...]:
    return (
        signal.strategy,
        signal.venue,
        signal.symbol,
        signal.number,
        to_datetime(signal.event_time_us),
        signal.trade_id,
        signal.price,
        signal.side,
        signal.strength,
        msgspec.json.encode(signal.values).decode(),
    )


def signal_of(row: asyncpg.Record) -> Signal:
    """Return the signal of a row of `SIGNAL_COLUMNS`."""
    strategy, venue, symbol, number, event_time, trade_id, price, side, strength, values = row
    return Signal(
        strategy,
        venue,
        symbol,
        number,
        to_us(event_time),
        trade_id,
        price,
        side,
        strength,
        msgspec.json.decode(values, type=dict[str, float]),
    )
