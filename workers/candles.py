"""The role that stores trades and makes candles of them. Pure but for its rows' text: no I/O, no clock."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import DecimalException
from functools import lru_cache
from typing import Final

from msgspec import Raw

from db.commit import Batch, LedgerRow
from tickplant import wire
from tickplant.derived import AlertChange, Change
from tickplant.errors import PoisonError
from tickplant.market import MAX_DECIMAL_CHARS, Candle, Trade, fold_runs
from tickplant.streams import entry_order, partition_of
from tickplant.wire import LiveEntry, LiveUpdate
from workers.changes import check_change
from workers.ledger import Ledger
from workers.partition_roles import PartitionRoles
from workers.strategies.runner import StrategyFailure
from workers.symbol import SymbolState

ROLE: Final = "candles"

_MAX_ID: Final = 2**63 - 2
_MIN_TIME_US: Final = 10**9  # a quarter of an hour into 1970: what is earlier is no time, but a mistake
_MAX_TIME_US: Final = 4_102_444_800_000_000  # the year 2100

Fields = dict[bytes, bytes]


class CandleMaker:
    """Everything that one owner of a partition has in memory."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        ledger: Iterable[LedgerRow],
        open_candles: Iterable[Candle],
        roles: PartitionRoles,
    ) -> None:
        """Begin with what the database holds.

        Args:
            partition: the one owned.
            partitions: how many there are.
            ledger: the rows of the partition's symbols.
            open_candles: their candles that have not closed.
            roles: are told of all that is new.
        """
        self._roles = roles
        self._partition = partition
        self._partitions = partitions
        self._states: dict[tuple[str, str], SymbolState] = {}
        self._rows: defaultdict[SymbolState, list[str]] = defaultdict(list)
        self._touched: dict[SymbolState, None] = {}
        self._priced: dict[SymbolState, None] = {}
        self._unpublished: dict[SymbolState, None] = {}
        self._verdicts: list[wire.Verdict] = []
        self._live_entries: list[LiveEntry] = []
        self._entry_id: str | None = None
        self._now_ms = 0
        self.pending_trades = 0
        self.duplicates = 0
        for row in ledger:
            state = self._state((row.venue, row.symbol))
            ids = Ledger(row.first_trade_id, row.last_trade_id, row.missing, row.void, numbered=row.numbered)
            state.load(ids, row.watermark_us, row.last_event_time_us)
        for candle in open_candles:
            self._state((candle.venue, candle.symbol)).load_open(candle)

    @property
    def pending(self) -> bool:
        """Whether an entry has been absorbed since the last batch was taken."""
        return self._entry_id is not None

    @property
    def unpublished(self) -> bool:
        """Whether open candles have changed since they were last taken."""
        return bool(self._unpublished)

    @property
    def closing(self) -> bool:
        """Whether candles may have closed, or something is to be told, so that a commit should not wait."""
        return self._roles.urgent or any(state.settle for state in self._touched)

    def absorb(self, entry_id: str, fields: Fields, *, published: str) -> None:
        """Take one stream entry, entirely or not at all.

        Args:
            entry_id: its id; entries come in order.
            fields: as read from Redis.
            published: up to which entry trades have been published already, by a former owner.

        Raises:
            PoisonError: the entry can't be understood; it counts as taken, nothing else has changed.
        """
        self._entry_id = entry_id
        self._now_ms = entry_order(entry_id)[0]
        payload = fields.get(wire.TRADES) or fields.get(wire.UNNUMBERED) or fields.get(wire.PAST)
        if payload is not None:
            new = self._absorb_trades(wire.decode_trades(payload), numbered=wire.UNNUMBERED not in fields)
            live = wire.PAST not in fields
            if live and new is not None and entry_order(entry_id) > entry_order(published):
                trades = wire.encode_trades(new) if new else payload
                self._live_entries.append(LiveEntry(entry_id, Raw(trades)))
        elif wire.CLOCK in fields:
            self._absorb_clock(wire.decode_clock(fields[wire.CLOCK]))
        elif wire.VERDICT in fields:
            self._absorb_verdict(wire.decode_verdict(fields[wire.VERDICT]))
        elif wire.CHANGE in fields:
            self._absorb_change(wire.decode_change(fields[wire.CHANGE]))
        else:
            raise PoisonError(f"an entry without trades or a clock: fields {sorted(fields)!r}")

    def take_live(self, *, candles: bool) -> LiveUpdate | None:
        """Return what has changed since the last call, to be published; None if nothing has.

        Args:
            candles: whether to include the open candles; those left out are in a later call.
        """
        if candles:
            changed, self._unpublished = self._unpublished, {}
        else:
            changed = {}
        if not self._live_entries and not changed:
            return None
        entries, self._live_entries = self._live_entries, []
        priced, self._priced = self._priced, {}
        return LiveUpdate(
            tuple(entries),
            tuple(state.last for state in priced if state.last is not None),
            tuple(candle for state in changed for candle in state.take_open()),
        )

    def take_batch(self) -> Batch:
        """Return what has been absorbed since the last call, to be committed; there must be an entry."""
        assert self._entry_id is not None
        touched, self._touched = self._touched, {}
        traded = [state.last for state in touched if state in self._rows and state.last is not None]
        derived = self._roles.take(traded)
        # Symbol by symbol, so that neighbours in the batch are neighbours in the index.
        rows = [row for state in touched for row in self._rows.pop(state, ())]
        duplicates, self.duplicates = self.duplicates, 0
        self.pending_trades = 0
        verdicts, self._verdicts = self._verdicts, []
        settle = [(state.venue, state.symbol) for state in touched if state.settle]
        gaps = [
            (state.venue, state.symbol, state.gaps_after_us)
            for state in touched
            if state.gaps_after_us is not None
        ]
        entry_id, self._entry_id = self._entry_id, None
        return Batch(
            entry_id,
            "".join(rows).encode(),
            [_ledger_row(state) for state in touched],
            [part for state in touched for part in state.take_pending()],
            settle,
            gaps,
            verdicts,
            len(rows),
            duplicates,
            derived.rows,
            derived.told,
        )

    def take_failures(self) -> list[StrategyFailure]:
        """Return the strategies that were put aside, as of the last batch taken."""
        return self._roles.take_failures()

    def _absorb_trades(self, trades: list[Trade], *, numbered: bool) -> list[Trade] | None:
        """Absorb a batch.

        Returns:
            None where no trade is new, an empty list where all are, and else those that are.
        """
        by_symbol: defaultdict[tuple[str, str], list[Trade]] = defaultdict(list)
        for trade in trades:
            by_symbol[trade.venue, trade.symbol].append(trade)
        # Whatever may refuse a trade comes before anything changes.
        folded = [(key, group, self._fold(key, group)) for key, group in by_symbol.items()]
        accepted: list[Trade] = []
        for key, group, runs in folded:
            state = self._state(key, numbered=numbered)
            new, new_runs = state.absorb(group, runs)
            if new:
                self._roles.absorb(state.key, new, new_runs, state.ledger, self._now_ms)
                self._rows[state].extend(_rows(state, new))
                self._touched[state] = self._unpublished[state] = self._priced[state] = None
                accepted.extend(new)
        self.pending_trades += len(accepted)
        self.duplicates += len(trades) - len(accepted)
        if not accepted:
            return None
        return [] if len(accepted) == len(trades) else accepted

    def _absorb_clock(self, clock: wire.Clock) -> None:
        if not _MIN_TIME_US <= clock.time_us <= _MAX_TIME_US:
            raise PoisonError(f"a clock out of range: {clock.time_us}")
        for symbol in clock.symbols:
            state = self._states.get((clock.venue, symbol))
            if state is not None:
                state.pass_time(clock.time_us)
                self._roles.pass_time(state.key, clock.time_us, state.ledger, self._now_ms)
                if state.settle:
                    self._touched[state] = None

    def _absorb_verdict(self, verdict: wire.Verdict) -> None:
        state = self._states.get((verdict.venue, verdict.symbol))
        if state is None or verdict.first_id > verdict.last_id:
            raise PoisonError(f"a verdict on nothing: {verdict}")
        if verdict.verdict == "void":
            state.annul(verdict.first_id, verdict.last_id)
        if verdict.verdict != "backfilling":
            self._roles.judge(state.key, verdict, state.ledger, self._now_ms)
        self._verdicts.append(verdict)
        self._touched[state] = None

    def _absorb_change(self, change: Change) -> None:
        check_change(change)
        if isinstance(change, AlertChange):
            self._check_owned((change.alert.venue, change.alert.symbol))
        self._roles.change(change)

    def _check_owned(self, key: tuple[str, str]) -> None:
        """Refuse a symbol that is none, or not of this partition."""
        if key not in self._states:
            _check_name(key)
            if partition_of(*key, self._partitions) != self._partition:
                raise PoisonError(f"{key[0]}:{key[1]} belongs to another partition than {self._partition}")

    def _state(self, key: tuple[str, str], *, numbered: bool = True) -> SymbolState:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = SymbolState(*key, numbered=numbered)
        return state

    def _fold(self, key: tuple[str, str], trades: list[Trade]) -> list[Candle]:
        """Fold a batch, refusing one that a column, a sum or the partition could not take.

        Ingest has checked all of this; what is in Redis may still have come from elsewhere.
        """
        self._check_owned(key)
        numbers = [trade.price for trade in trades] + [trade.size for trade in trades]
        text = "".join(numbers)
        if not (text.isascii() and text.replace(".", "").isdecimal()):
            raise PoisonError("a price or size that is no plain decimal")
        if max(map(len, numbers)) > MAX_DECIMAL_CHARS:
            raise PoisonError(f"a price or size of more than {MAX_DECIMAL_CHARS} characters")
        ids = [trade.trade_id for trade in trades]
        times = [trade.event_time_us for trade in trades] + [trade.ingest_time_us for trade in trades]
        if min(ids) < 0 or max(ids) > _MAX_ID or min(times) < _MIN_TIME_US or max(times) > _MAX_TIME_US:
            raise PoisonError("a trade id or time out of range")
        try:
            return list(fold_runs(trades))
        except DecimalException as error:
            raise PoisonError("a price or size that is no plain decimal") from error


def _check_name(key: tuple[str, str]) -> None:
    if not all(name and name.isprintable() and "\\" not in name and len(name) <= 64 for name in key):
        raise PoisonError(f"not a venue and symbol: {key!r}")


def _ledger_row(state: SymbolState) -> LedgerRow:
    ledger = state.ledger
    return LedgerRow(
        state.venue,
        state.symbol,
        ledger.first,
        ledger.last,
        ledger.missing.members,
        ledger.void.members,
        ledger.numbered,
        state.watermark_us,
    )


def _rows(state: SymbolState, trades: Iterable[Trade]) -> list[str]:
    """Return COPY text, a line a trade, in the order of `db.commit.TRADE_COLUMNS`."""
    head = f"{state.venue}\t{state.symbol}\t"
    rows = []
    second = second_text = received_text = ""
    received_us = -1
    for trade in trades:
        event = str(trade.event_time_us)
        if event[:-6] != second:  # most trades share their second, and their read of the socket
            second = event[:-6]
            second_text = _second_text(second)
        if trade.ingest_time_us != received_us:
            received_us = trade.ingest_time_us
            received = str(received_us)
            received_text = f"{_second_text(received[:-6])}{received[-6:]}+00\n"
        rows.append(
            f"{head}{trade.trade_id}\t{trade.price}\t{trade.size}\t{trade.side or _NULL}\t"
            f"{second_text}{event[-6:]}+00\t{received_text}"
        )
    return rows


@lru_cache(maxsize=1024)
def _second_text(second: str) -> str:
    return f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%d %H:%M:%S}."


_NULL: Final = "\\N"
