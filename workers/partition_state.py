"""The in-memory state of an owned partition: trades become rows, candles and results. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from db.commit import CommitBatch
from db.ledger import LedgerRow
from db.suspects import NewSeries
from tickplant import wire
from tickplant.derived import AlertChange, Change
from tickplant.errors import PoisonError
from tickplant.kernel import TradeColumns, from_trades, rows_to_copy
from tickplant.market import Candle, Gap, SymbolId
from tickplant.streams import entry_order, partition_of
from tickplant.trade_rules import is_name, reject_reason_of_time, split_valid
from tickplant.wire import LiveUpdate
from workers.admission import Admission, AdmissionState
from workers.changes import check_change
from workers.ledger import Ledger
from workers.plausibility import MAX_ID, SUSPECT_AHEAD_US
from workers.ranges import Ranges
from workers.rejections import RejectedTrade, Rejection, Rejections
from workers.roles.partition import PartitionRoles
from workers.strategies.runner import StrategyFailure
from workers.symbol_state import SymbolState
from workers.trade_entries import SymbolRun, TradeEntry, decode_trade_entries
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
        self._partition = partition
        self._partitions = partitions
        self._states: dict[tuple[str, str], SymbolState] = {}
        self._uncommitted = Uncommitted(partition)
        self._unpublished = Unpublished()
        self._entry_ms = 0
        self._rejections = Rejections(partitions)
        self.clocks_ignored = 0
        """Clock entries that were in the future."""
        for row in ledger:
            state = self._state((row.venue, row.symbol))
            ids = Ledger(row.first_trade_id, row.last_trade_id, row.missing, row.void, numbered=row.numbered)
            state.restore(ids, row.watermark_us, row.last_event_time_us)
        for candle in open_candles:
            self._state((candle.venue, candle.symbol)).restore_open(candle)
        for key, admission in admissions.items():
            self._state(key).admission = Admission(admission)

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
    def urgent(self) -> bool:
        """Whether a commit is urgent: candles may have closed, or there are results to publish."""
        return self._uncommitted.needs_close or self._roles.urgent

    def missing_of(self, symbol: SymbolId) -> Ranges | None:
        """Return the missing ids of a symbol's ledger; None if the symbol has no ledger."""
        state = self._states.get(symbol)
        return None if state is None else state.ledger.missing

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
        self._entry_ms = entry_order(entry_id)[0]
        payload = fields.get(wire.TRADES) or fields.get(wire.UNNUMBERED) or fields.get(wire.HISTORICAL)
        if payload is not None:
            new = self._absorb_payload(payload, numbered=wire.UNNUMBERED not in fields)
            if wire.HISTORICAL not in fields:
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
            state = self._state_for(run.trades, numbered=batch.numbered)
            if len(run.parts) == 1 or not self._absorb_run(state, run):
                for entry, trades in run.parts:
                    self._absorb_part(state, entry, trades)
        for entry in batch.entries:
            self._publish(entry.entry_id, entry.new_payload, published)
            self._entry_ms = entry.time_ms
            self._uncommitted.entry_id = self._rejections.entry_id = entry.entry_id
        return len(batch.entries)

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

    def gaps_for_ingest(self, gaps: Mapping[tuple[str, str], list[Gap]]) -> dict[tuple[str, str], list[Gap]]:
        """Return gaps as ingest can request them: with the venue's own ids, and with suspected gaps."""
        now_us = self._entry_ms * 1000
        return {
            key: state.gaps_for_ingest(members, now_us) if (state := self._states.get(key)) else members
            for key, members in gaps.items()
        }

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
                self._absorb_part(self._state_for(accepted, numbered=numbered), entry, accepted)
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
        fault = self._ownership_fault((trades.venue, trades.symbol))
        if fault is None:
            return trades
        for trade in trades.trades():
            self._rejections.add(RejectedTrade(trade, "invalid", fault))
        return None

    def _acceptable(self, trades: TradeColumns) -> bool:
        """Return whether trades are valid and belong to this partition."""
        return trades.valid() and self._ownership_fault((trades.venue, trades.symbol)) is None

    def _absorb_run(self, state: SymbolState, run: SymbolRun) -> bool:
        """Apply the trades of several entries at once, if they are the next ones of their symbol.

        Returns:
            Whether they were applied; if not, nothing has changed, and each entry has to be applied alone.
        """
        admission = state.admission
        if not admission.clear:
            return False
        trades = admission.renumber(run.trades)
        # The earliest limit of all entries: what is within it is plausible in each of them.
        limit_us = max(run.parts[0][0].time_ms * 1000, state.watermark_us) + SUSPECT_AHEAD_US
        expected = self._roles.touch(state.key).expects(trades, state.ledger)
        if not expected or not state.append(trades, limit_us):
            return False
        self._store(state, trades)
        for entry, part in run.parts:
            entry.new.append(admission.renumber(part))
        return True

    def _absorb_part(self, state: SymbolState, entry: TradeEntry, trades: TradeColumns) -> None:
        """Pass valid trades of one symbol and entry through admission, ledger, candles and roles."""
        self._entry_ms, self._rejections.entry_id = entry.time_ms, entry.entry_id
        limit_us = (
            max(entry.time_ms * 1000, trades.ingest_times_us[-1], state.watermark_us) + SUSPECT_AHEAD_US
        )
        renumbered = state.admission.renumber(trades)
        if state.admission.clear and state.append(renumbered, limit_us):
            self._store(state, renumbered)
            entry.new.append(renumbered)
        else:
            new = self._assess(state, trades)
            if new is not None:
                entry.new.append(new)

    def _assess(self, state: SymbolState, trades: TradeColumns) -> TradeColumns | None:
        """Assess trades one by one, and store the new ones.

        Returns:
            The new ones; None if there are none.
        """
        admission, group = state.admission, trades.trades()
        admitted = admission.assess(
            group,
            trades.fold(),
            state.ledger,
            watermark_us=state.watermark_us,
            last_us=state.last_us,
            now_us=self._entry_ms * 1000,
            is_stored=lambda trade: self._rejections.is_stored(state.key, trade),
        )
        new, repeated = state.register(admitted) if admitted else ((), ())
        stored = None
        if new:
            stored = trades if new is group else from_trades(new)
            self._store(state, stored)
        if repeated:
            self._uncommitted.duplicates += len(repeated)
            self._rejections.compare(state.key, repeated)
        if admitted is not group or admission.pending:
            self._apply_admission(state)
        return stored

    def _store(self, state: SymbolState, trades: TradeColumns) -> None:
        """Fold new trades into candles, pass them to the roles, and keep their rows for the next commit."""
        runs = trades.fold()
        state.fold(trades, runs)
        self._roles.touch(state.key).feed(trades, runs, state.ledger, self._entry_ms)
        self._rejections.note_stored(state.key, trades)
        uncommitted, unpublished = self._uncommitted, self._unpublished
        uncommitted.trade_count += len(trades)
        uncommitted.trade_rows[state].append(rows_to_copy(trades))
        uncommitted.touch(state)
        unpublished.candles[state] = unpublished.longer_candles[state] = unpublished.priced[state] = None

    def _apply_admission(self, state: SymbolState) -> None:
        """Apply what the admission of a symbol has found besides the trades to admit."""
        admission = state.admission
        for rejected in admission.take_rejected():
            self._rejections.add(rejected)
        for trade_id in admission.take_void():
            state.mark_one_void(trade_id)
            self._add_verdict(state, trade_id, "void", None)
        if (gap := admission.take_series_gap()) is not None:
            self._uncommitted.series.append(NewSeries(*state.key, gap + 1, admission.offset, state.last_us))
            self._add_verdict(
                state,
                gap,
                "unrecoverable",
                f"the venue has restarted its trade ids at {gap + 1 - admission.offset}",
            )
        for low, high in admission.take_missing_rejected(state.ledger):
            for trade_id in range(low, high + 1):
                self._add_verdict(
                    state, trade_id, "unrecoverable", "its trade was rejected: its time is in the future"
                )
        if admission.changed and not state.empty:
            self._uncommitted.touch(state)

    def _add_verdict(
        self, state: SymbolState, trade_id: int, kind: wire.VerdictKind, reason: str | None
    ) -> None:
        """Apply a verdict that this worker gives on an id."""
        verdict = wire.Verdict(*state.key, trade_id, trade_id, kind, reason)
        self._roles.touch(state.key).apply_verdict(verdict, state.ledger, self._entry_ms)
        self._note_verdict(state, verdict)

    def _note_verdict(self, state: SymbolState, verdict: wire.Verdict) -> None:
        self._uncommitted.verdicts.append(verdict)
        self._uncommitted.touch(state)

    def _absorb_clock(self, clock: wire.Clock) -> None:
        if fault := reject_reason_of_time(clock.time_us):
            raise PoisonError(f"a clock: {fault}")
        for symbol in clock.symbols:
            state = self._states.get((clock.venue, symbol))
            if state is None or state.empty:
                continue
            if clock.time_us > max(self._entry_ms * 1000, state.watermark_us) + SUSPECT_AHEAD_US:
                self.clocks_ignored += 1
            else:
                state.advance_clock(clock.time_us)
                self._roles.touch(state.key).advance_clock(clock.time_us, state.ledger, self._entry_ms)
                if state.needs_close:
                    self._uncommitted.touch(state)

    def _absorb_verdict(self, verdict: wire.Verdict) -> None:
        state = self._states.get((verdict.venue, verdict.symbol))
        if state is None or state.empty or not 0 <= verdict.first_id <= verdict.last_id <= MAX_ID:
            raise PoisonError(f"a verdict on nothing: {verdict}")
        offset = state.admission.offset
        if offset:
            verdict = replace(verdict, first_id=verdict.first_id + offset, last_id=verdict.last_id + offset)
        if verdict.verdict == "void":
            state.mark_void(verdict.first_id, verdict.last_id)
        if verdict.verdict != "backfilling":
            self._roles.touch(state.key).apply_verdict(verdict, state.ledger, self._entry_ms)
        self._note_verdict(state, verdict)

    def _absorb_change(self, change: Change) -> None:
        check_change(change)
        if isinstance(change, AlertChange):
            fault = self._ownership_fault((change.alert.venue, change.alert.symbol))
            if fault is not None:
                raise PoisonError(fault)
        self._roles.change(change)

    def _ownership_fault(self, key: tuple[str, str]) -> str | None:
        """Return why a symbol can't belong to this partition; None if it does."""
        if key in self._states:
            return None
        if not all(map(is_name, key)):
            return f"not a venue and symbol: {key!r}"
        if partition_of(*key, self._partitions) != self._partition:
            return f"{key[0]}:{key[1]} belongs to another partition than {self._partition}"
        return None

    def _publish(self, entry_id: str, new: bytes | None, published: str) -> None:
        if new is not None and entry_order(entry_id) > entry_order(published):
            self._unpublished.add_trades(entry_id, new)

    def _state_for(self, trades: TradeColumns, *, numbered: bool) -> SymbolState:
        """Return the state of a symbol whose first trades decide whether its ids are the venue's own."""
        state = self._state((trades.venue, trades.symbol), numbered=numbered)
        if state.empty:
            state.ledger.numbered = numbered
        return state

    def _state(self, key: tuple[str, str], *, numbered: bool = True) -> SymbolState:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = SymbolState(*key, numbered=numbered)
        return state
