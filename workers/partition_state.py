"""Everything an owner holds of a partition in memory: trades become rows, candles and results. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from db.commit import CommitBatch
from db.ledger import LedgerRow
from db.suspects import NewSeries, SuspectRows
from tickplant import wire
from tickplant.derived import AlertChange, Change
from tickplant.errors import PoisonError
from tickplant.market import Candle, Gap, SymbolId, Trade, fold_runs
from tickplant.streams import entry_order, partition_of
from tickplant.trade_rules import accept, fault_of_time, is_name
from tickplant.wire import LiveEntry, LiveUpdate
from workers.admission import AHEAD_US, Admission, AdmissionState
from workers.changes import check_change
from workers.ledger import Ledger
from workers.ranges import Ranges
from workers.rejections import RejectedTrade, Rejection, Rejections
from workers.roles.partition import PartitionRoles
from workers.strategies.runner import StrategyFailure
from workers.symbol_state import SymbolState
from workers.trade_rows import trade_rows

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
        """Start from what the database holds.

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
        self._rows: defaultdict[SymbolState, list[str]] = defaultdict(list)
        self._touched: dict[SymbolState, None] = {}
        self._priced: dict[SymbolState, None] = {}
        self._unpublished: dict[SymbolState, None] = {}
        self._verdicts: list[wire.Verdict] = []
        self._live_entries: list[LiveEntry] = []
        self._entry_id: str | None = None
        self._now_ms = 0
        self._rejections = Rejections()
        self._series: list[NewSeries] = []
        self.pending_trades = 0
        self.duplicates = 0
        self.clocks_ignored = 0
        """Clock entries since the last batch that were in the future."""
        for row in ledger:
            state = self._state((row.venue, row.symbol))
            ids = Ledger(row.first_trade_id, row.last_trade_id, row.missing, row.void, numbered=row.numbered)
            state.load(ids, row.watermark_us, row.last_event_time_us)
        for candle in open_candles:
            self._state((candle.venue, candle.symbol)).load_open(candle)
        for key, kept in admissions.items():
            self._state(key).admission = Admission(kept)

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
        """Whether candles may have closed or there are results to publish: a commit should not wait."""
        return self._roles.urgent or any(state.needs_close for state in self._touched)

    def missing_of(self, symbol: SymbolId) -> Ranges | None:
        """Return the ids that a symbol's ledger misses; None for a symbol that has none."""
        state = self._states.get(symbol)
        return None if state is None else state.ledger.missing

    def absorb(self, entry_id: str, fields: Fields, *, published: str) -> None:
        """Take one stream entry, entirely or not at all.

        Args:
            entry_id: its id; entries come in order.
            fields: as read from Redis.
            published: up to which entry trades have been published already, by a former owner.

        Raises:
            PoisonError: the entry can't be understood; it counts as taken, nothing else has changed.
        """
        self._entry_id = self._rejections.entry_id = entry_id
        self._now_ms = entry_order(entry_id)[0]
        payload = fields.get(wire.TRADES) or fields.get(wire.UNNUMBERED) or fields.get(wire.PAST)
        if payload is not None:
            new = self._absorb_trades(payload, numbered=wire.UNNUMBERED not in fields)
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

    def take_batch(self) -> CommitBatch:
        """Return what has been absorbed since the last call, to be committed; there must be an entry."""
        assert self._entry_id is not None
        touched, self._touched = self._touched, {}
        traded = [state.last for state in touched if state in self._rows and state.last is not None]
        derived = self._roles.take(traded)
        # Symbol by symbol, so that neighbours in the batch are neighbours in the index.
        rows = [row for state in touched for row in self._rows.pop(state, ())]
        changed_admissions = {state for state in touched if state.admission.changed}
        suspects = self._take_suspects(changed_admissions)
        duplicates, self.duplicates = self.duplicates, 0
        self.pending_trades = 0
        verdicts, self._verdicts = self._verdicts, []
        to_close = [(state.venue, state.symbol) for state in touched if state.needs_close]
        gaps = [
            (state.venue, state.symbol, state.last_us if state.gaps_after_us is None else state.gaps_after_us)
            for state in touched
            if state.gaps_after_us is not None
            or state in changed_admissions  # suspects are reported with the gaps
        ]
        entry_id, self._entry_id = self._entry_id, None
        return CommitBatch(
            entry_id,
            "".join(rows).encode(),
            [state.ledger_row for state in touched if not state.empty],
            [part for state in touched for part in state.take_pending()],
            to_close,
            gaps,
            verdicts,
            len(rows),
            duplicates,
            self._rejections.take_unknown(),
            [*derived.rows, *suspects],
            derived.to_publish,
            derived.outliers,
        )

    def take_failures(self) -> list[StrategyFailure]:
        """Return the strategies that failed, as of the last batch taken."""
        return self._roles.take_failures()

    def take_rejections(self) -> list[Rejection]:
        """Return the trades that have been rejected since the last call."""
        return self._rejections.take()

    def gaps_for_ingest(self, gaps: Mapping[tuple[str, str], list[Gap]]) -> dict[tuple[str, str], list[Gap]]:
        """Return gaps as ingest can ask for them: with the venue's own ids, and with those only suspected."""
        now_us = self._now_ms * 1000
        return {
            key: state.gaps_for_ingest(members, now_us) if (state := self._states.get(key)) else members
            for key, members in gaps.items()
        }

    def _absorb_trades(self, payload: bytes, *, numbered: bool) -> list[Trade] | None:
        """Take a batch of trades; an invalid one does not affect the others.

        Returns:
            None if no trade is new, an empty list if all are and none was changed, else the new ones.
        """
        trades = self._rejections.decode(payload)
        accepted, rejected = accept(trades)
        for invalid in rejected:
            self._rejections.add(RejectedTrade(invalid.trade, "invalid", invalid.reason))
        by_symbol: defaultdict[tuple[str, str], list[Trade]] = defaultdict(list)
        for trade in accepted:
            by_symbol[trade.venue, trade.symbol].append(trade)
        new: list[Trade] = []
        unchanged = True
        for key, group in by_symbol.items():
            fault = self._fault_of_owner(key)
            if fault is not None:
                for trade in group:
                    self._rejections.add(RejectedTrade(trade, "invalid", fault))
                continue
            state = self._state(key, numbered=numbered)
            if state.empty:
                state.ledger.numbered = numbered
            new_of_symbol = self._absorb_symbol(state, group)
            new.extend(new_of_symbol)
            unchanged &= new_of_symbol is group
        self.pending_trades += len(new)
        if not new:
            return None
        return [] if unchanged and len(new) == len(trades) else new

    def _absorb_symbol(self, state: SymbolState, group: Sequence[Trade]) -> Sequence[Trade]:
        """Pass valid trades of one symbol through admission, ledger, candles and roles.

        Returns:
            Those that are new; the same object where all are, as they came.
        """
        admission = state.admission
        runs = list(fold_runs(group))
        admitted = admission.assess(
            group,
            runs,
            state.ledger,
            watermark_us=state.watermark_us,
            last_us=state.last_us,
            now_us=self._now_ms * 1000,
            is_stored=lambda trade: self._rejections.is_stored(state.key, trade),
        )
        new, repeated = state.register(admitted) if admitted else ((), ())
        if new:
            if new is not group:
                runs = list(fold_runs(new))
            state.fold(new, runs)
            self._roles.touch(state.key).feed(new, runs, state.ledger, self._now_ms)
            self._rejections.note_stored(state.key, new)
            self._rows[state].extend(trade_rows(state.key, new))
            self._touched[state] = self._unpublished[state] = self._priced[state] = None
        if repeated:
            self.duplicates += len(repeated)
            self._rejections.compare(state.key, repeated)
        if admitted is not group or admission.pending:
            self._apply_admission(state)
        return new

    def _apply_admission(self, state: SymbolState) -> None:
        """Apply what the admission of a symbol has found besides the admitted trades."""
        admission = state.admission
        for rejected in admission.take_rejected():
            self._rejections.add(rejected)
        for trade_id in admission.take_void():
            state.mark_one_void(trade_id)
            self._add_verdict(state, trade_id, "void", None)
        if (gap := admission.take_series_gap()) is not None:
            self._series.append(NewSeries(*state.key, gap + 1, admission.offset, state.last_us))
            self._add_verdict(
                state,
                gap,
                "unrecoverable",
                f"the venue has restarted its trade ids at {gap + 1 - admission.offset}",
            )
        for low, high in admission.take_lost(state.ledger):
            for trade_id in range(low, high + 1):
                self._add_verdict(
                    state, trade_id, "unrecoverable", "its trade was rejected: its time is in the future"
                )
        if admission.changed and not state.empty:
            self._touched[state] = None

    def _add_verdict(
        self, state: SymbolState, trade_id: int, kind: wire.VerdictKind, reason: str | None
    ) -> None:
        """Apply a verdict of our own on an id."""
        verdict = wire.Verdict(*state.key, trade_id, trade_id, kind, reason)
        self._roles.touch(state.key).apply_verdict(verdict, state.ledger, self._now_ms)
        self._verdicts.append(verdict)
        self._touched[state] = None

    def _take_suspects(self, changed: Collection[SymbolState]) -> list[SuspectRows]:
        series, self._series = self._series, []
        if not changed and not series:
            return []
        admissions = {}
        for state in changed:
            state.admission.changed = False
            admissions[state.key] = msgspec.msgpack.encode(state.admission.state)
        return [SuspectRows(self._partition, admissions, series)]

    def _absorb_clock(self, clock: wire.Clock) -> None:
        if fault := fault_of_time(clock.time_us):
            raise PoisonError(f"a clock: {fault}")
        for symbol in clock.symbols:
            state = self._states.get((clock.venue, symbol))
            if state is None or state.empty:
                continue
            if clock.time_us > max(self._now_ms * 1000, state.watermark_us) + AHEAD_US:
                self.clocks_ignored += 1
            else:
                state.pass_time(clock.time_us)
                self._roles.touch(state.key).pass_time(clock.time_us, state.ledger, self._now_ms)
                if state.needs_close:
                    self._touched[state] = None

    def _absorb_verdict(self, verdict: wire.Verdict) -> None:
        state = self._states.get((verdict.venue, verdict.symbol))
        if state is None or state.empty or verdict.first_id > verdict.last_id:
            raise PoisonError(f"a verdict on nothing: {verdict}")
        offset = state.admission.offset
        if offset:
            verdict = replace(verdict, first_id=verdict.first_id + offset, last_id=verdict.last_id + offset)
        if verdict.verdict == "void":
            state.mark_void(verdict.first_id, verdict.last_id)
        if verdict.verdict != "backfilling":
            self._roles.touch(state.key).apply_verdict(verdict, state.ledger, self._now_ms)
        self._verdicts.append(verdict)
        self._touched[state] = None

    def _absorb_change(self, change: Change) -> None:
        check_change(change)
        if isinstance(change, AlertChange):
            self._check_owned((change.alert.venue, change.alert.symbol))
        self._roles.change(change)

    def _check_owned(self, key: tuple[str, str]) -> None:
        """Refuse a symbol that is none, or not of this partition."""
        fault = self._fault_of_owner(key)
        if fault is not None:
            raise PoisonError(fault)

    def _fault_of_owner(self, key: tuple[str, str]) -> str | None:
        if key in self._states:
            return None
        if not all(map(is_name, key)):
            return f"not a venue and symbol: {key!r}"
        if partition_of(*key, self._partitions) != self._partition:
            return f"{key[0]}:{key[1]} belongs to another partition than {self._partition}"
        return None

    def _state(self, key: tuple[str, str], *, numbered: bool = True) -> SymbolState:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = SymbolState(*key, numbered=numbered)
        return state
