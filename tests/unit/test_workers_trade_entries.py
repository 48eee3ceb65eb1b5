"""A read of entries absorbed at once has the results of its entries absorbed one by one."""

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from working import MINUTE_US, START_US, make_state

from tickplant import wire
from tickplant.copy_rows import join_rows
from tickplant.errors import PoisonError
from tickplant.kernel import ROW_FORMAT, decode_columns, encode_columns, from_trades, group_trades
from tickplant.market import Trade
from workers.partition_state import Fields

Entry = tuple[str, Fields]
_BINARY_START = len(join_rows([b""], "binary")) - 2
_FIELDS = 8


def rows_of(copied: bytes) -> list[bytes]:
    """Return the rows of a COPY, in whichever format the kernel in use writes."""
    if ROW_FORMAT == "text":
        return copied.splitlines()
    rows, at = [], _BINARY_START
    while at < len(copied) - 2:
        start, at = at, at + 2
        for _ in range(_FIELDS):
            at += 4 + max(0, int.from_bytes(copied[at : at + 4], "big", signed=True))
        rows.append(copied[start:at])
    return rows


SYMBOLS = ("AAA", "BBB", "CCC")
START_MS = START_US // 1000


class Venue:
    """Three symbols whose trades come with every kind of fault."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._fault_share = rng.choice([0.0, 0.05, 1.0])
        self._last = dict.fromkeys(SYMBOLS, 100)
        self._recent: dict[str, list[Trade]] = {symbol: [] for symbol in SYMBOLS}
        self._time_us = START_US
        self._price = 1000

    def entries(self, count: int) -> Iterator[Entry]:
        """Return entries, mostly of trades in order."""
        time_ms = START_MS
        for number in range(count):
            time_ms += self._rng.choice([0, 1, 40, 3_000])
            yield f"{time_ms}-{number}", self._fields()

    def _fields(self) -> Fields:
        draw = self._rng.random() / max(self._fault_share, 1e-9)
        if draw < 0.05:
            symbol = self._rng.choice(SYMBOLS)
            clock = wire.Clock("v", (symbol,), self._time_us)
            return {wire.CLOCK: wire.encode_clock(clock)}
        if draw < 0.08:
            symbol = self._rng.choice(SYMBOLS)
            last = self._last[symbol]
            verdict = wire.Verdict("v", symbol, last - 5, last, self._rng.choice(["unrecoverable", "void"]))
            return {wire.VERDICT: wire.encode_verdict(verdict)}
        if draw < 0.1:
            return {wire.TRADES: b"\x93\x01"}
        trades = [self._trade() for _ in range(self._rng.choice([1, 2, 6]))]
        name = wire.HISTORICAL if draw < 0.13 else wire.TRADES
        return {name: wire.encode_trades(trades) if draw < 0.2 else encode_columns(group_trades(trades))}

    def _trade(self) -> Trade:
        symbol = self._rng.choice(SYMBOLS)
        recent, draw = self._recent[symbol], self._rng.random() / max(self._fault_share, 1e-9)
        if draw < 0.05 and recent:
            return self._rng.choice(recent[-20:])
        self._time_us += self._rng.choice([0, 1_000, 300_000, 20_000_000])
        self._price = max(100, self._price + self._rng.choice([-30, -2, -1, 0, 1, 2, 20]))
        missing = self._rng.choice([0] * 30 + [1, 3, 2_000]) if draw < 1 else 0
        trade_id = self._last[symbol] + 1 + missing
        price, size, time_us = f"{self._price}.5", str(self._rng.randint(1, 9)), self._time_us
        if draw < 0.07:
            size = self._rng.choice(["0.0", "x", "1e3"])
        elif draw < 0.09:
            time_us += self._rng.choice([2, 2_000]) * MINUTE_US
        elif draw < 0.10:
            price = f"{self._price}00000"
        elif draw < 0.12 and missing == 0:
            trade_id = max(1, trade_id - self._rng.randint(2, 30))
        if missing < 2_000:
            self._last[symbol] = max(self._last[symbol], trade_id)
        found = Trade("v", symbol, trade_id, price, size, "buy", time_us, self._time_us + 50)
        recent.append(found)
        return found


class Outcome:
    """Everything that a partition has committed and published of entries."""

    def __init__(self) -> None:
        self.state = make_state()
        self.batches: list[Any] = []
        self.live: dict[str, Any] = {}
        self.prices: list[Any] = []
        self.rejections: list[Any] = []

    def absorb(self, entry: Entry) -> None:
        try:
            self.state.absorb(*entry, published="0-0")
        except PoisonError:
            self.rejections.append((entry[0], b"", "poison", ""))

    def commit(self) -> None:
        state = self.state
        self.rejections += [tuple(rejection) for rejection in state.take_rejections()]
        update = state.take_live(candles=True, longer_candles=True)
        if update is not None:
            for live in update.entries:
                columns = decode_columns(live.trades)
                self.live[live.entry_id] = {part.symbol: part.trades() for part in columns}
            self.prices.append((sorted(update.prices, key=str), sorted(update.candles, key=str)))
        if state.pending:
            batch = state.take_batch()
            self.batches.append(
                (
                    batch.entry_id,
                    sorted(rows_of(batch.trade_rows)),
                    sorted(batch.ledger),
                    sorted(batch.candles, key=str),
                    sorted(batch.symbols_to_close),
                    sorted(batch.gaps),
                    sorted(batch.verdicts, key=str),
                    (batch.trade_count, batch.duplicates),
                    sorted(batch.repeated, key=str),
                    sorted(batch.to_publish.signals, key=str),
                    sorted(batch.to_publish.accounts, key=str),
                    sorted(batch.to_publish.unified, key=str),
                    sorted(batch.outliers, key=str),
                )
            )

    def result(self) -> tuple[Any, ...]:
        return self.batches, self.live, self.prices, sorted(self.rejections, key=str)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_absorbing_a_read_at_once_equals_absorbing_its_entries_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    entries = list(Venue(rng).entries(50))
    together, one_by_one = Outcome(), Outcome()
    while entries:
        count = rng.choice([1, 5, 32])
        read, entries = entries[:count], entries[count:]
        for entry in read:
            one_by_one.absorb(entry)
        while read:
            applied = together.state.absorb_trades(read, published="0-0")
            if not applied:
                together.absorb(read[0])
            read = read[applied or 1 :]
        if rng.random() < 0.4 or not entries:
            together.commit()
            one_by_one.commit()
    assert together.result() == one_by_one.result()


def test_entries_after_a_malformed_one_are_left_to_the_next_call() -> None:
    trades = [Trade("v", "AAA", trade_id, "1.5", "2", "buy", START_US, START_US) for trade_id in (1, 2, 3)]
    payloads = [encode_columns([from_trades([trade])]) for trade in trades]
    entries: list[Entry] = [(f"{START_MS}-{n}", {wire.TRADES: payload}) for n, payload in enumerate(payloads)]
    entries[1] = (entries[1][0], {wire.TRADES: payloads[1][:-3]})
    state = make_state()
    assert state.absorb_trades(entries, published="0-0") == 1
    assert state.absorb_trades(entries[1:], published="0-0") == 0
    assert state.absorb_trades(entries[2:], published="0-0") == 1


def test_trades_published_by_a_former_owner_are_not_published_again() -> None:
    state = make_state()
    trades = [Trade("v", "AAA", trade_id, "1.5", "2", "buy", START_US, START_US) for trade_id in (1, 2, 3)]
    entries: list[Entry] = [
        (f"{START_MS}-{n}", {wire.TRADES: encode_columns([from_trades([trade])])})
        for n, trade in enumerate(trades)
    ]
    assert state.absorb_trades(entries, published=entries[1][0]) == 3
    update = state.take_live(candles=False, longer_candles=False)
    assert update is not None
    assert [live.entry_id for live in update.entries] == [entries[2][0]]
