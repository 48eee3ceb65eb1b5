"""One wrong trade affects no other: later trades are stored, and roles receive them at once."""

from decimal import Decimal

import pytest
from msgspec.structs import replace
from working import MINUTE_US, START_US, trade

from db.outliers import Outlier
from tickplant import wire
from tickplant.errors import PoisonError
from tickplant.intervals import DAY_US, SECOND_US
from tickplant.kernel import decode_trades
from tickplant.market import Gap, Trade
from tickplant.trade_rules import ZEROS
from workers.partition_state import PartitionState
from workers.rejections import Rejection
from workers.roles.partition import PartitionRoles
from workers.roles.signals import PartitionSignals
from workers.strategies import Opinion, Strategy
from workers.suspects import CONFIRMATIONS


class Echo(Strategy):
    """Says something about every trade."""

    name = "echo"
    trades = True
    cooldown_s = 0

    turn: bool = False

    def trade(self, trade: Trade) -> Opinion:
        self.turn = not self.turn
        return Opinion("buy" if self.turn else "sell")


class Worker:
    """A partition's worker without its servers."""

    def __init__(self) -> None:
        roles = PartitionRoles(0, signals=PartitionSignals(0, [Echo], {}), gap_wait_ms=10_000)
        self.state = PartitionState(0, 1, [], [], roles)
        self.entries = 0
        self.received: list[int] = []
        """Ids of the trades that roles received."""
        self.stored: list[int] = []
        self.prices: list[int] = []
        self.rejections: list[Rejection] = []
        self.outliers: list[Outlier] = []

    def take(self, *trades: Trade, field: bytes = wire.TRADES, at_us: int = 0) -> None:
        self.entry(
            {field: wire.encode_trades(trades)}, at_us or max(trade.ingest_time_us for trade in trades)
        )

    def entry(self, fields: dict[bytes, bytes], at_us: int) -> None:
        self.entries += 1
        self.state.absorb(f"{at_us // 1000}-{self.entries}", fields, published="0-0")
        update = self.state.take_live(candles=True, longer_candles=True)
        if update is not None:
            self.stored += [
                trade.trade_id for entry in update.entries for trade in decode_trades(entry.trades)
            ]
            self.prices += [price.trade_id for price in update.prices]
        self.rejections += self.state.take_rejections()
        self.batch = self.state.take_batch()
        self.outliers += self.batch.outliers
        self.received = self.received or self.stored[:1]  # the first trade gives no signal
        self.received += [signal.trade_id for signal in self.batch.to_publish.signals]

    def kinds(self) -> list[str]:
        return [rejection.kind for rejection in self.rejections]

    @property
    def missing(self) -> list[tuple[int, int]]:
        return [gap for row in self.batch.ledger for gap in row.missing]


def second(number: int, **fields: str) -> Trade:
    """The trade of a second, numbered by it."""
    return trade(number, at_us=START_US + number * SECOND_US, **fields)


def dated(number: int, event_time_us: int) -> Trade:
    """A trade received in the second of its number, with another event time."""
    return replace(second(number), event_time_us=event_time_us)


def renumbered(number: int, trade_id: int, *, size: str = "1") -> Trade:
    """A trade of a second, with another id."""
    return trade(trade_id, at_us=START_US + number * SECOND_US, size=size)


def test_every_zero_is_known() -> None:
    assert {"0", "0.0", "0.", ".0", "00.000", "0.00000000"} <= ZEROS
    assert not ZEROS & {"", ".", "0.1", "10", "1"}


@pytest.mark.parametrize("wild", [5_000, 3_000, 10**12, 9 * 10**18, 2**63 - 2])
@pytest.mark.parametrize("together", [True, False])
def test_a_wild_id_blocks_no_later_trade(wild: int, together: bool) -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    following = [second(number) for number in range(1040, 1060)]
    if together:
        worker.take(renumbered(1040, wild), *following)
    else:
        worker.take(renumbered(1040, wild))
        for trade in following:
            worker.take(trade)
    assert worker.received[-20:] == worker.stored[-20:] == list(range(1040, 1060))
    assert worker.prices[-1] == 1059
    assert worker.missing == []
    assert worker.kinds() == ["id"]
    assert str(wild if wild == 2**63 - 2 else wild - 1040) in worker.rejections[0].reason


def test_several_wild_ids_block_no_later_trade() -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    wild = [7_000, 10**9, 5_000, 7_000, 10**15, 10**17, 6_000]
    worker.take(*[renumbered(1040, trade) for trade in wild])
    for number in range(1040, 1060):
        worker.take(second(number))
    assert worker.received[-20:] == list(range(1040, 1060))
    assert sorted(worker.kinds()) == ["id"] * 6  # one has come twice


def test_a_jump_that_trades_confirm_is_a_gap_and_nothing_is_lost() -> None:
    worker = Worker()
    worker.take(*map(second, range(1, 5)))
    beyond = [renumbered(5 + number, 8_000 + number) for number in range(CONFIRMATIONS)]
    for following_trade in beyond[:-1]:
        worker.take(following_trade)
    assert worker.stored == [1, 2, 3, 4]
    (asked,) = worker.state.gaps_for_ingest({("binance", "AAAUSDT"): []}).values()
    assert [(gap.first_id, gap.last_id, gap.state) for gap in asked] == [(5, 7_999, "suspected")]
    worker.take(beyond[-1])
    assert worker.stored == [1, 2, 3, 4, *range(8_000, 8_000 + CONFIRMATIONS)]
    assert worker.missing == [(5, 7_999)]
    assert worker.rejections == []
    assert worker.state.gaps_for_ingest({("binance", "AAAUSDT"): []}) == {("binance", "AAAUSDT"): []}


def test_after_a_long_outage_the_second_trade_confirms_the_first() -> None:
    worker = Worker()
    worker.take(second(1))
    worker.take(trade(500_000, at_us=START_US + 7_200 * SECOND_US))
    worker.take(trade(500_001, at_us=START_US + 7_201 * SECOND_US))
    assert worker.stored == [1, 500_000, 500_001]
    assert worker.rejections == []


def test_a_wild_id_after_a_quiet_hour_blocks_no_later_trade() -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    worker.take(renumbered(4_600, 5_000))
    for number in range(1040, 1060):
        worker.take(renumbered(3_600 + number, number))
    assert worker.received[-20:] == worker.stored[-20:] == list(range(1040, 1060))
    assert worker.kinds() == ["id"]


def test_what_history_leads_up_to_is_believed() -> None:
    worker = Worker()
    worker.take(second(1))
    worker.take(second(5_000))
    assert worker.stored == [1]
    worker.take(*map(second, range(2, 3_000)))
    worker.take(*map(second, range(3_000, 5_000)))
    assert sorted(worker.stored) == list(range(1, 5_001))
    assert worker.rejections == []
    assert worker.missing == []


@pytest.mark.parametrize("times", [2, 3])
def test_each_restart_of_ids_starts_a_series(times: int) -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    for time in range(times):
        for number in range(1, 41):
            worker.take(renumbered(1100 + 100 * time + number, number))
    assert len(worker.stored) == len(worker.received) == 40 * (times + 1)
    assert worker.rejections == []


@pytest.mark.parametrize("first", [0, 1, 300])
@pytest.mark.parametrize("size", [1, 3, 40])
def test_restarted_ids_start_a_new_series(first: int, size: int) -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    restarted = [renumbered(1040 + number, first + number) for number in range(40)]
    for start in range(0, 40, size):
        worker.take(*restarted[start : start + size])
    assert worker.stored == [*range(1000, 1040), *range(1041, 1081)]
    worker.take(renumbered(1090, first + 40), renumbered(1091, first + 42))
    assert worker.stored[-2:] == [1081, 1083]
    assert worker.prices[-1] == 1083
    assert worker.missing == [(1040, 1040), (1082, 1082)]
    assert worker.received[-1] == 1081
    assert worker.rejections == []
    # Requests to the venue and its answers contain its own ids.
    gap = (first + 41, first + 41)
    stored = Gap("binance", "AAAUSDT", 1082, 1082, 0, 0, "open", "ours", None, 1)
    before = Gap("binance", "AAAUSDT", 1040, 1040, 0, 0, "unrecoverable", "ours", None, 1)
    (asked,) = worker.state.gaps_for_ingest({("binance", "AAAUSDT"): [before, stored]}).values()
    assert [(gap.first_id, gap.last_id) for gap in asked] == [gap]
    worker.entry(
        {wire.VERDICT: wire.encode_verdict(wire.Verdict("binance", "AAAUSDT", *gap, "void"))}, START_US
    )
    assert worker.missing == [(1040, 1040)]
    assert worker.received[-1] == 1083


@pytest.mark.parametrize("ids", [(-1, 5), (0, 2**63 - 1), (0, 2**63), (5, 4)])
def test_a_verdict_on_ids_that_no_trade_has_is_refused(ids: tuple[int, int]) -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1003)))
    with pytest.raises(PoisonError):
        worker.entry(
            {wire.VERDICT: wire.encode_verdict(wire.Verdict("binance", "AAAUSDT", *ids, "void"))}, START_US
        )


def test_a_new_series_is_on_record() -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    worker.take(*[renumbered(1040 + number, number) for number in range(1, 9)])
    (verdict,) = worker.batch.verdicts
    assert (verdict.first_id, verdict.last_id, verdict.verdict) == (1040, 1040, "unrecoverable")
    assert verdict.reason == "the venue has restarted its trade ids at 1"
    (series,) = [series for rows in worker.batch.derived for series in getattr(rows, "series", ())]
    assert (series.first_trade_id, series.id_offset) == (1041, 1040)


@pytest.mark.parametrize("ahead_us", [DAY_US, 300 * DAY_US, 3600 * SECOND_US, 5 * MINUTE_US])
@pytest.mark.parametrize("numbered", [True, False])
def test_a_time_from_the_future_moves_no_clock(ahead_us: int, numbered: bool) -> None:
    field = wire.TRADES if numbered else wire.UNNUMBERED
    worker = Worker()
    worker.take(*map(second, range(1, 11)), field=field)
    worker.take(dated(11, START_US + 11 * SECOND_US + ahead_us), second(12), field=field)
    for number in range(13, 130):
        worker.take(second(number), field=field)
        assert [candle.revision for candle in worker.batch.candles] == [0] * len(worker.batch.candles)
    assert worker.batch.ledger[0].watermark_us == START_US + 129 * SECOND_US
    assert worker.received == [*range(1, 11), *range(12, 130)]
    assert worker.kinds() == ["time"]
    assert worker.missing == ([(11, 11)] if numbered else [])


def test_the_clock_of_a_venue_that_is_ahead_moves_nothing() -> None:
    worker = Worker()
    worker.take(second(1))
    for ahead_us in (DAY_US, 10 * MINUTE_US):
        clock = wire.Clock("binance", ("AAAUSDT",), START_US + ahead_us)
        worker.entry({wire.CLOCK: wire.encode_clock(clock)}, START_US)
    assert worker.state.clocks_ignored == 2
    worker.take(second(2))
    assert worker.batch.ledger[0].watermark_us == START_US + 2 * SECOND_US


def test_where_our_own_clock_is_slow_nothing_is_lost() -> None:
    worker = Worker()
    for number in range(1, 200):
        made = dated(number, START_US + number * SECOND_US + 3600 * SECOND_US)
        worker.take(made)
    assert worker.stored == list(range(1, 200))
    assert worker.rejections == []


@pytest.mark.parametrize("zero", [{"price": "0.00"}, {"size": "0"}, {"price": "0", "size": "0.0"}])
def test_a_trade_of_nothing_is_no_price_and_no_gap(zero: dict[str, str]) -> None:
    worker = Worker()
    worker.take(second(1), second(2), second(3, **zero), second(4), second(5, **zero))
    worker.take(second(6))
    worker.take(second(7, **zero))
    worker.take(second(8))
    assert worker.stored == worker.received == [1, 2, 4, 6, 8]
    assert worker.missing == []
    assert worker.batch.ledger[0].void == [(3, 3), (5, 5), (7, 7)]
    assert worker.kinds() == ["zero"] * 3
    worker.take(second(9), second(12))
    worker.take(second(10, **zero), second(11, **zero))  # from history
    assert worker.received[-2:] == [9, 12]
    assert worker.missing == []


def test_a_trade_of_an_entry_is_judged_alone() -> None:
    worker = Worker()
    batch: list[object] = [second(number) for number in range(1, 10)]
    bad = [
        second(101, price="1.2.3"),
        second(102, size="NaN"),
        dated(103, 1),
        trade(-1, at_us=START_US),
        second(104, symbol="A\tB"),
        [1, 2, 3],
        "what is this",
    ]
    mixed = [trade for pair in zip(batch, bad, strict=False) for trade in pair] + batch[len(bad) :]
    worker.entry({wire.TRADES: wire._encoder.encode(mixed)}, START_US + 10 * SECOND_US)
    assert worker.stored == worker.received == list(range(1, 10))
    assert worker.kinds() == ["invalid"] * len(bad)
    assert all(rejection.reason for rejection in worker.rejections)


@pytest.mark.parametrize("other", [{"price": "11"}, {"size": "2"}])
def test_a_known_id_with_another_content_is_rejected(other: dict[str, str]) -> None:
    worker = Worker()
    trades = [second(number) for number in range(1000, 1040)]
    worker.take(*trades)
    worker.take(*trades)
    assert worker.rejections == []
    worker.take(*[second(number, **other) for number in range(1000, 1040)])
    worker.take(
        *[dated(number, START_US + number * SECOND_US - 5 * SECOND_US) for number in range(1000, 1040)]
    )
    worker.take(*[dated(number, START_US + 1060 * SECOND_US) for number in range(1000, 1040)])
    assert worker.kinds() == ["contradiction"] * 120
    worker.take(*[second(number) for number in range(1040, 1080)])
    assert worker.received == worker.stored == list(range(1000, 1080))
    assert worker.kinds() == ["contradiction"] * 120


def test_numbers_written_otherwise_are_no_contradiction() -> None:
    worker = Worker()
    worker.take(second(1, price="10.50", size="1.0"))
    worker.take(second(1, price="10.5", size="1"))
    assert worker.rejections == []
    assert worker.batch.duplicates == 1


@pytest.mark.parametrize("absurd", ["10500", "0.0105", "99999999", "0.00000001"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("field", [wire.TRADES, wire.UNNUMBERED])
def test_roles_do_not_receive_an_absurd_price(absurd: str, together: bool, field: bytes) -> None:
    worker = Worker()
    trades = [second(number) for number in range(1, 10)]
    trades.insert(4, trade(5, at_us=trades[4].event_time_us, price=absurd))
    trades = [replace(trade, trade_id=place) for place, trade in enumerate(trades, 1)]
    for batch in [trades] if together else [[single] for single in trades]:
        worker.take(*batch, field=field)
    assert worker.stored == list(range(1, 11))
    assert worker.received == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert (5 in worker.prices) is False
    assert [(outlier.trade.trade_id, outlier.confirmed) for outlier in worker.outliers] == [(5, False)]


@pytest.mark.parametrize("together", [True, False])
def test_roles_receive_an_absurd_price_once_the_next_trade_confirms_it(together: bool) -> None:
    worker = Worker()
    trades = [second(1), *[second(number, price="0.001") for number in range(2, 6)]]
    for batch in [trades] if together else [[single] for single in trades]:
        worker.take(*batch)
    assert worker.received == [1, 2, 3, 4, 5]
    assert worker.prices[-1] == 5
    assert [(outlier.trade.trade_id, outlier.confirmed) for outlier in worker.outliers] == [
        (2, False),
        (2, True),
    ]


def test_roles_do_not_receive_absurd_prices_that_do_not_confirm_one_another() -> None:
    worker = Worker()
    prices = ["10.5", "10500000", "0.00001", "10.5", "20000", "11"]
    worker.take(*[second(number, price=price) for number, price in enumerate(prices)])
    assert worker.received == [0, 3, 5]


def test_candles_hold_absurd_prices() -> None:
    worker = Worker()
    worker.take(second(1), second(2, price="99999"))
    (minute,) = [
        candle
        for candle in worker.batch.candles
        if candle.interval == "1m" and candle.open_time_us == START_US
    ]
    assert (minute.high, minute.close, minute.trade_count) == (Decimal(99999), Decimal(99999), 2)


@pytest.mark.parametrize("wild", [5_000, 9 * 10**18])
def test_accepted_wild_ids_do_not_block_trades_that_continue_without_them(wild: int) -> None:
    worker = Worker()
    worker.take(*map(second, range(1000, 1040)))
    worker.take(*[renumbered(1040, wild + number) for number in range(CONFIRMATIONS)])
    for number in range(1041, 1061):
        worker.take(renumbered(number + 1, number - 1))
    assert worker.received[-20:] == worker.stored[-20:]
    assert worker.prices[-1] == worker.stored[-1]
    assert len(worker.stored) == 40 + CONFIRMATIONS + 20
    assert worker.rejections == []


@pytest.mark.parametrize("wild", [9 * 10**18, 2**63 - 2])
def test_a_wild_id_of_the_first_trade_ever_blocks_no_other(wild: int) -> None:
    worker = Worker()
    worker.take(renumbered(999, wild))
    for number in range(1000, 1020):
        worker.take(second(number))
    assert len(worker.stored) == len(worker.received) == (21 if wild == 9 * 10**18 else 20)
