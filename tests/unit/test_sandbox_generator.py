"""Generated markets: deterministic by seed, and plausible."""

import json
from decimal import Decimal
from itertools import groupby, islice, pairwise

from sandbox.binance.venue import KNOWN, SandboxBinance
from sandbox.generator import START_US, OrderFlow, SyntheticMarket, generate, name_symbols
from sandbox.tape import Tape
from tickplant.market import SymbolId, Trade, is_decimal

SYMBOLS = ["BTCUSDT", "ETHUSDT", "PEPEUSDT", "NEWUSDT"]


def trades(tape: Tape, symbol: str) -> list[Trade]:
    return tape.history(SymbolId("binance", symbol), len(tape)).latest(len(tape))


def made(seed: int = 1) -> Tape:
    return generate(SYMBOLS, 20_000, rate=2000, seed=seed)


def test_the_same_seed_gives_the_same_tape_and_another_another() -> None:
    first, second = made(), made()
    assert bytes(first.frames(0, len(first))) == bytes(second.frames(0, len(second)))
    assert first.times_ns == second.times_ns
    other = made(seed=2)
    assert bytes(first.frames(0, 100)) != bytes(other.frames(0, 100))


def test_a_symbols_trades_do_not_depend_on_the_other_symbols() -> None:
    def orders(market: SyntheticMarket) -> list[tuple[int, str, str, str]]:
        return [
            (each.trade_id, each.price, each.size, each.side)
            for order in (market.order(0) for _ in range(100))
            for each in order
        ]

    alone = orders(SyntheticMarket(SandboxBinance(), "ETHUSDT", 5))
    assert orders(OrderFlow(SandboxBinance(), SYMBOLS, 5).markets[1]) == alone


def test_there_are_as_many_trades_as_asked_for_with_ids_that_count_up() -> None:
    tape = made()
    assert tape.trades == len(tape) == 20_000
    for symbol in SYMBOLS:
        found = [trade.trade_id for trade in trades(tape, symbol)]
        assert found == list(range(found[0], found[0] + len(found)))


def test_restarted_markets_continue_after_their_last_ids() -> None:
    count = 50_000

    def ids(flow: OrderFlow) -> list[list[int]]:
        trades = islice((made for order in flow.orders() for made in order), count)
        found: list[list[int]] = [[] for _ in flow.markets]
        for made in trades:
            found[made.market].append(made.trade_id)
        return found

    again = OrderFlow(SandboxBinance(), list(KNOWN), 1)
    again.skip(count * 1.25)
    for before, after in zip(ids(OrderFlow(SandboxBinance(), list(KNOWN), 1)), ids(again), strict=True):
        assert max(before) < min(after) < max(before) + 0.5 * len(before)


def test_times_are_whole_milliseconds_that_never_fall_and_keep_the_rate() -> None:
    tape = made()
    assert tape.times_ns[0] == START_US * 1000
    assert all(low <= high for low, high in pairwise(tape.times_ns))
    assert all(time % 1_000_000 == 0 for time in tape.times_ns)
    assert 8 < (tape.times_ns[-1] - tape.times_ns[0]) / 1e9 < 12  # 20,000 trades at 2,000 a second


def test_prices_and_sizes_are_written_as_the_venue_does_on_its_grid() -> None:
    tape = made()
    for symbol in SYMBOLS[:3]:
        usual, price_decimals, size_decimals = KNOWN[symbol]
        for trade in trades(tape, symbol):
            assert is_decimal(trade.price)
            assert len(trade.price.partition(".")[2]) == len(trade.size.partition(".")[2]) == 8
            assert Decimal(trade.price) % Decimal(1).scaleb(-price_decimals) == 0
            assert Decimal(trade.size) % Decimal(1).scaleb(-size_decimals) == 0
            assert Decimal(trade.size) > 0
            assert abs(Decimal(trade.price) / Decimal(str(usual)) - 1) < Decimal("0.1")


def test_prices_stay_plausible_for_long() -> None:
    for symbol in ("PEPEUSDT", "BTCUSDT"):
        market = SyntheticMarket(SandboxBinance(), symbol, 9)
        prices = [Decimal(market.order(0)[-1].price) for _ in range(200_000)]
        assert min(prices) > Decimal(str(KNOWN[symbol][0])) * Decimal("0.8")
        assert max(prices) < Decimal(str(KNOWN[symbol][0])) * Decimal("1.2")
        assert len(set(prices)) > 20


def test_orders_come_in_bursts_of_one_side() -> None:
    orders = list(islice(OrderFlow(SandboxBinance(), SYMBOLS, 1).orders(), 2000))
    assert all(len({(trade.market, trade.side) for trade in order}) == 1 for order in orders)
    assert {len(order) for order in orders} >= {1, 2, 3, 4}
    sides = [order[0].side for order in orders if order[0].market == 0]
    assert max(len(list(run)) for _, run in groupby(sides)) > 3


def test_a_frame_has_the_fields_that_the_venue_sends() -> None:
    tape = made()
    event = json.loads(tape.text(0))["data"]
    assert list(event) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]


def test_symbols_are_named_known_ones_first() -> None:
    assert name_symbols(3) == ["BTCUSDT", "ETHUSDT", "PEPEUSDT"]
    many = name_symbols(1000)
    assert len(set(many)) == 1000
    assert all(name.isalnum() and name.isupper() for name in many)
