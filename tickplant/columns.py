"""The trades of one symbol as columns: what goes from a venue's socket to a row without an object a trade.

`TradeColumns` is the type; `tickplant.kernel` has it from here, or compiled, with the same methods. Both are
immutable: every method that changes something returns new columns. A piece of some 500 trades is handled
fastest; longer ones cost more a trade.

Sides are one text with a letter a trade: `b` the aggressor bought, `s` it sold, `-` the venue doesn't say.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, islice, repeat
from operator import lt
from typing import Final

from tickplant import folding
from tickplant.copy_rows import copy_binary_rows, copy_rows
from tickplant.json_rows import json_rows
from tickplant.market import Candle, Side, Trade
from tickplant.trade_rules import ZEROS, are_fine

PIECE: Final = 500
"""Trades of all symbols together that are best handled at once."""

SIDES: Final[dict[str, Side | None]] = {"b": "buy", "s": "sell", "-": None}
"""The side that each letter stands for."""

_LETTERS: Final[dict[Side | None, str]] = {side: letter for letter, side in SIDES.items()}


class TradeColumns:
    """The trades of one symbol, in their order, as columns of one length."""

    __slots__ = (
        "event_times_us",
        "ids",
        "ingest_times_us",
        "prices",
        "sides",
        "sizes",
        "symbol",
        "venue",
    )

    def __init__(
        self,
        venue: str,
        symbol: str,
        ids: Sequence[int],
        prices: Sequence[str],
        sizes: Sequence[str],
        sides: str,
        event_times_us: Sequence[int],
        ingest_times_us: Sequence[int],
    ) -> None:
        """Take columns, which nobody may change afterwards.

        Args:
            venue: as in `venue:symbol`.
            symbol: as the venue writes it.
            ids: see `Trade`, as for all that follows.
            prices: decimal text.
            sizes: decimal text.
            sides: a letter of `SIDES` a trade.
            event_times_us: the venue's times, microseconds since the epoch.
            ingest_times_us: ours, likewise.
        """
        self.venue = venue
        self.symbol = symbol
        self.ids = ids
        self.prices = prices
        self.sizes = sizes
        self.sides = sides
        self.event_times_us = event_times_us
        self.ingest_times_us = ingest_times_us

    def __len__(self) -> int:
        """Return the number of trades."""
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<{len(self)} trades of {self.venue}:{self.symbol}>"

    @property
    def lowest_id(self) -> int:
        """The least id; there must be a trade."""
        return min(self.ids)

    @property
    def highest_id(self) -> int:
        """The greatest id; there must be a trade."""
        return max(self.ids)

    @property
    def latest_time_us(self) -> int:
        """The latest event time; there must be a trade."""
        return max(self.event_times_us)

    @property
    def consecutive(self) -> bool:
        """Whether each id is the one before plus one."""
        ids = self.ids
        return not ids or (
            ids[-1] - ids[0] == len(ids) - 1 and list(ids) == list(range(ids[0], ids[0] + len(ids)))
        )

    @property
    def ascending(self) -> bool:
        """Whether each id is greater than the one before."""
        ids = self.ids
        return self.consecutive or all(map(lt, ids, islice(ids, 1, None)))

    @property
    def has_zero(self) -> bool:
        """Whether a price or a size is zero."""
        return not (ZEROS.isdisjoint(self.prices) and ZEROS.isdisjoint(self.sizes))

    def valid(self) -> bool:
        """Return whether every trade is valid; `trade_rules.split_valid` finds those that are not."""
        return are_fine(
            (self.venue, self.symbol),
            self.ids,
            [*self.prices, *self.sizes],
            self.event_times_us,
            self.ingest_times_us,
        )

    def trade(self, index: int) -> Trade:
        """Return one trade.

        Raises:
            IndexError: there is none; a negative index counts from the end.
        """
        return Trade(
            self.venue,
            self.symbol,
            self.ids[index],
            self.prices[index],
            self.sizes[index],
            SIDES[self.sides[index]],
            self.event_times_us[index],
            self.ingest_times_us[index],
        )

    def trades(self) -> list[Trade]:
        """Return an object a trade, for what handles them one by one."""
        return list(
            map(
                Trade,
                repeat(self.venue),
                repeat(self.symbol),
                self.ids,
                self.prices,
                self.sizes,
                map(SIDES.__getitem__, self.sides),
                self.event_times_us,
                self.ingest_times_us,
            )
        )

    def slice(self, start: int, stop: int) -> "TradeColumns":
        """Return the trades from `start` to before `stop`, as `list[start:stop]` has them."""
        return TradeColumns(
            self.venue,
            self.symbol,
            self.ids[start:stop],
            self.prices[start:stop],
            self.sizes[start:stop],
            self.sides[start:stop],
            self.event_times_us[start:stop],
            self.ingest_times_us[start:stop],
        )

    def select(self, indices: Sequence[int]) -> "TradeColumns":
        """Return the trades at some indices, in the order of the indices.

        Raises:
            IndexError: one is out of range.
        """
        return TradeColumns(
            self.venue,
            self.symbol,
            [self.ids[i] for i in indices],
            [self.prices[i] for i in indices],
            [self.sizes[i] for i in indices],
            "".join([self.sides[i] for i in indices]),
            [self.event_times_us[i] for i in indices],
            [self.ingest_times_us[i] for i in indices],
        )

    def with_ids(self, ids: Sequence[int]) -> "TradeColumns":
        """Return the same trades under other ids.

        Raises:
            ValueError: there are not as many ids as trades.
        """
        if len(ids) != len(self.ids):
            raise ValueError(f"{len(ids)} ids for {len(self.ids)} trades")
        return TradeColumns(
            self.venue,
            self.symbol,
            list(ids),
            self.prices,
            self.sizes,
            self.sides,
            self.event_times_us,
            self.ingest_times_us,
        )

    def shift_ids(self, offset: int) -> "TradeColumns":
        """Return the same trades with a number added to their ids."""
        return self.with_ids([trade_id + offset for trade_id in self.ids])

    def fold(self) -> list[Candle]:
        """Fold each run of consecutive trades in one minute into a candle, exactly as `market.fold_runs`.

        Raises:
            decimal.Inexact: never, for trades that are `valid`.
        """
        return folding.fold(self)

    def copy_rows(self) -> bytes:
        """Return COPY text, a line a trade, in the order of `db.commit.TRADE_COLUMNS`; for valid trades."""
        return copy_rows(self)

    def copy_binary_rows(self) -> bytes:
        """Return the same as binary rows; `copy_rows.join_rows` makes them the input of a COPY."""
        return copy_binary_rows(self)

    def json_rows(self) -> bytes:
        """Return a JSON array with an object a trade, as the API sends it; for valid trades."""
        return json_rows(self)


def from_trades(trades: Sequence[Trade]) -> TradeColumns:
    """Return trades of one and the same symbol as columns; there must be one."""
    return TradeColumns(
        trades[0].venue,
        trades[0].symbol,
        [trade.trade_id for trade in trades],
        [trade.price for trade in trades],
        [trade.size for trade in trades],
        "".join([_LETTERS[trade.side] for trade in trades]),
        [trade.event_time_us for trade in trades],
        [trade.ingest_time_us for trade in trades],
    )


def group_trades(trades: Iterable[Trade]) -> list[TradeColumns]:
    """Return trades by symbol, in order of the symbols' first appearance."""
    groups: dict[tuple[str, str], list[Trade]] = {}
    for trade in trades:
        groups.setdefault((trade.venue, trade.symbol), []).append(trade)
    return list(map(from_trades, groups.values()))


def concat(parts: Sequence[TradeColumns]) -> TradeColumns:
    """Return the trades of several columns of one symbol, one after the other.

    Raises:
        ValueError: there is no part, or they are not of one symbol.
    """
    if not parts:
        raise ValueError("no columns")
    first = parts[0]
    if len(parts) == 1:
        return first
    if any(part.symbol != first.symbol or part.venue != first.venue for part in parts):
        raise ValueError("columns of several symbols in one")
    joined = chain.from_iterable
    return TradeColumns(
        first.venue,
        first.symbol,
        list(joined([part.ids for part in parts])),
        list(joined([part.prices for part in parts])),
        list(joined([part.sizes for part in parts])),
        "".join([part.sides for part in parts]),
        list(joined([part.event_times_us for part in parts])),
        list(joined([part.ingest_times_us for part in parts])),
    )
