"""The in-memory state of an owned partition: trades become rows, candles and results. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from db.commit import CommitBatch
from db.ledger import LedgerRow
from tickplant import wire
from tickplant.derived import AlertChange, Change
from tickplant.errors import PoisonError
from tickplant.kernel import TradeColumns, from_trades
from tickplant.market import Candle, Gap, SymbolId
from tickplant.streams import entry_order
from tickplant.trade_rules import reject_reason_of_time, split_valid
from tickplant.wire import LiveUpdate
from workers.admission import Admission, AdmissionState
from workers.changes import check_change
from workers.ledger import Ledger
from workers.partition_symbols import PartitionSymbols
from workers.plausibility import MAX_ID, SUSPECT_AHEAD_US
from workers.ranges import Ranges
from workers.rejections import RejectedTrade, Rejection, Rejections
from workers.roles.partition import PartitionRoles
from workers.strategies.runner import StrategyFailure
from workers.trade_absorber import TradeAbsorber
from workers.trade_entries import TradeEntry, decode_trade_entries
from workers.trimming import Entry
from workers.uncommitted import Uncommitted
from workers.unpublished import Unpublished

Fields = dict[bytes, bytes]


class PartitionState:
    """The state of one partition: its symbols, their roles, and what is not published or committed yet."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        ledger: Iterable[LedgerRow],
        open_candles: Iterable[Candle],
        roles: PartitionRoles,
        admissions: Mapping[SymbolId, AdmissionState] = MappingProxyType({}),
    ) -> None:
        """Restore what the database holds.

        Args:
            partition: the one owned.
            partitions: how many there are.
            ledger: the rows of the partition's symbols.
            open_candles: their candles that have not closed.
            roles: receive all new trades.
            admissions: the stored state of admission, by symbol.
        """
        self._roles = roles
        self._symbols = PartitionSymbols(partition, partitions)
        self._uncommitted = Uncommitted(partition)
        self._unpublished = Unpublished()
        self._rejections = Rejections(partitions)
        self._absorber = TradeAbsorber(roles, self._uncommitted, self._unpublished, self._rejections)
        self.clocks_ignored = 0
        """Clock entries that were in the future."""
        for row in ledger:
            state = self._symbols.state((row.venue, row.symbol))
            ids = Ledger(row.first_trade_id, row.last_trade_id, row.missing, row.void, numbered=row.numbered)
            state.restore(ids, row.watermark_us, row.last_event_time_us)
        for candle in open_candles:
            self._symbols.state((candle.venue, candle.symbol)).restore_open(candle)
        for key, admission in admissions.items():
            self._symbols.state(key).admission = Admission(admission)

    @property
    def pending(self) -> bool:
        """Whether an entry has been absorbed since the last batch was taken."""
        return self._uncommitted.entry_id is not None

    @property
    def pending_trades(self) -> int:
        """New trades since the last batch was taken."""
        return self._uncommitted.trade_count

    @property
    def duplicates(self) -> int:
        """Repeated trades since the last batch was taken."""
        return self._uncommitted.duplicates

    @property
    def candles_changed(self) -> bool:
        """Whether open 1m candles have changed since they were last published."""
        return bool(self._unpublished.candles)

    @property
    def longer_candles_changed(self) -> bool:
        """Whether open candles longer than a minute have changed since they were last published."""
        return bool(self._unpublished.longer_candles)

    @property
    def past_only(self) -> bool:
        """Whether all trades since the last batch was taken are past ones, from files or a backfill."""
        return self._uncommitted.past_only

    @property
    def urgent(self) -> bool:
        """Whether a commit is urgent: candles may have closed, or there are results to publish."""
        return self._uncommitted.needs_close or self._roles.urgent

    def absorb(self, entry_id: str, fields: Fields, *, published: str) -> None:
        """Apply one stream entry, entirely or not at all.

        Args:
            entry_id: its id; ids ascend.
            fields: as read from Redis.
            published: the last entry whose trades a former owner has published.

        Raises:
            PoisonError: the entry is malformed; it counts as absorbed, and nothing else has changed.
        """
        self._uncommitted.entry_id = self._rejections.entry_id = entry_id
        self._absorber.entry_ms = entry_order(entry_id)[0]
        payload = fields.get(wire.TRADES) or fields.get(wire.UNNUMBERED) or fields.get(wire.HISTORICAL)
        if payload is not None:
            urgent = self._uncommitted.needs_close
            new = self._absorb_payload(payload, numbered=wire.UNNUMBERED not in fields)
            if wire.HISTORICAL in fields:
                self._uncommitted.needs_close = urgent  # the past is never urgent
            else:
                self._uncommitted.past_only = False
                self._publish(entry_id, new, published)
        elif wire.CLOCK in fields:
            self._absorb_clock(wire.decode_clock(fields[wire.CLOCK]))
        elif wire.VERDICT in fields:
            self._absorb_verdict(wire.decode_verdict(fields[wire.VERDICT]))
        elif wire.CHANGE in fields:
            self._absorb_change(wire.decode_change(fields[wire.CHANGE]))
        else:
            raise PoisonError(f"an entry without trades or a clock: fields {sorted(fields)!r}")

    def absorb_trades(self, entries: Sequence[Entry], *, published: str) -> int:
        """Apply the entries of valid live trades at the start of a read, each symbol's trades as one run.

        The results are those of `absorb`, entry by entry. It is several times as fast where an entry has few
        trades of each symbol.

        Args:
            entries: in order.
            published: the last entry whose trades a former owner has published.

        Returns:
            How many entries were applied; the next one, if any, is for `absorb`.
        """
        batch = decode_trade_entries(entries)
        runs = batch.by_symbol()
        if not all(self._acceptable(run.trades) for run in runs):
            batch = batch.before(lambda trades: not self._acceptable(trades))
            runs = batch.by_symbol()
        for run in runs:
            state = self._symbols.of_trades(run.trades, numbered=batch.numbered)
            if len(run.parts) == 1 or not self._absorber.absorb_run(state, run):
                for entry, trades in run.parts:
                    self._absorber.absorb_part(state, entry, trades)
        self._uncommitted.past_only &= not batch.entries
        for entry in batch.entries:
            self._publish(entry.entry_id, entry.new_payload, published)
            self._absorber.entry_ms = entry.time_ms
            self._uncommitted.entry_id = self._rejections.entry_id = entry.entry_id
        return len(batch.entries)

    def missing_of(self, symbol: SymbolId) -> Ranges | None:
        """Return the missing ids of a symbol's ledger; None if the symbol has no ledger."""
        return self._symbols.missing_of(symbol)

    def gaps_for_ingest(self, gaps: Mapping[tuple[str, str], list[Gap]]) -> dict[tuple[str, str], list[Gap]]:
        """Return gaps as ingest can request them: with the venue's own ids, and with suspected gaps."""
        return self._symbols.gaps_for_ingest(gaps, self._absorber.entry_ms * 1000)

    def take_live(self, *, candles: bool, longer_candles: bool) -> LiveUpdate | None:
        """Return what has changed since the last call, to be published; None if nothing has changed.

        Args:
            candles: whether to include the open 1m candles; otherwise a later call returns them.
            longer_candles: whether to include all open candles.
        """
        return self._unpublished.take_update(candles=candles, longer_candles=longer_candles)

    def take_batch(self) -> CommitBatch:
        """Return what has been absorbed since the last call, to be committed; there must be an entry."""
        return self._uncommitted.take_batch(self._roles, self._rejections.take_unknown())

    def take_failures(self) -> list[StrategyFailure]:
        """Return the strategies that failed before the last batch was taken."""
        return self._roles.take_failures()

    def take_rejections(self) -> list[Rejection]:
        """Return the trades that have been rejected since the last call."""
        return self._rejections.take()

    def _absorb_payload(self, payload: bytes, *, numbered: bool) -> bytes | None:
        """Apply a batch of trades; an invalid one does not affect the others.

        Returns:
            The new trades, encoded; None if there are none.
        """
        columns = self._rejections.decode(payload)
        entry = TradeEntry(self._rejections.entry_id, payload, columns)
        for part in columns:
            accepted = self._accept(part)
            if accepted is not None:
                self._absorber.absorb_part(
                    self._symbols.of_trades(accepted, numbered=numbered), entry, accepted
                )
        return entry.new_payload

    def _accept(self, trades: TradeColumns) -> TradeColumns | None:
        """Return the valid trades of a symbol of this partition; reject the others."""
        if not trades.valid():
            accepted, rejected = split_valid(trades.trades())
            for invalid in rejected:
                self._rejections.add(RejectedTrade(invalid.trade, "invalid", invalid.reason))
            if not accepted:
                return None
            trades = from_trades(accepted)
        fault = self._symbols.ownership_fault((trades.venue, trades.symbol))
        if fault is None:
            return trades
        for trade in trades.trades():
            self._rejections.add(RejectedTrade(trade, "invalid", fault))
        return None

    def _acceptable(self, trades: TradeColumns) -> bool:
        """Return whether trades are valid and belong to this partition."""
        return trades.valid() and self._symbols.ownership_fault((trades.venue, trades.symbol)) is None

    def _absorb_clock(self, clock: wire.Clock) -> None:
        if fault := reject_reason_of_time(clock.time_us):
            raise PoisonError(f"a clock: {fault}")
        for symbol in clock.symbols:
            state = self._symbols.find((clock.venue, symbol))
            if state is None or state.empty:
                continue
            if clock.time_us > max(self._absorber.entry_ms * 1000, state.watermark_us) + SUSPECT_AHEAD_US:
                self.clocks_ignored += 1
            else:
                state.advance_clock(clock.time_us)
                self._roles.touch(state.key).advance_clock(
                    clock.time_us, state.ledger, self._absorber.entry_ms
                )
                if state.needs_close:
                    self._uncommitted.touch(state)

    def _absorb_verdict(self, verdict: wire.Verdict) -> None:
        state = self._symbols.find((verdict.venue, verdict.symbol))
        if state is None or state.empty or not 0 <= verdict.first_id <= verdict.last_id <= MAX_ID:
            raise PoisonError(f"a verdict on nothing: {verdict}")
        offset = state.admission.offset
        if offset:
            verdict = replace(verdict, first_id=verdict.first_id + offset, last_id=verdict.last_id + offset)
        if verdict.verdict == "void":
            state.mark_void(verdict.first_id, verdict.last_id)
        if verdict.verdict != "backfilling":
            self._roles.touch(state.key).apply_verdict(verdict, state.ledger, self._absorber.entry_ms)
        self._absorber.note_verdict(state, verdict)

    def _absorb_change(self, change: Change) -> None:
        check_change(change)
        if isinstance(change, AlertChange):
            fault = self._symbols.ownership_fault((change.alert.venue, change.alert.symbol))
            if fault is not None:
                raise PoisonError(fault)
        self._roles.change(change)

    def _publish(self, entry_id: str, new: bytes | None, published: str) -> None:
        if new is not None and entry_order(entry_id) > entry_order(published):
            self._unpublished.add_trades(entry_id, new)
