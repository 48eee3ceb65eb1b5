"""The paper bot: what it buys, pays and refuses, and that no interruption changes any of it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from db.bot.states import BotStates
from tickplant.bot import (
    AccountChanges,
    AccountState,
    Amount,
    Equity,
    Fill,
    PaperAccount,
    PaperOrder,
    Rules,
)
from tickplant.derived import BotSwitch, Signal
from tickplant.intervals import DAY_US, MINUTE_US, floor
from tickplant.market import Side, Trade, fold
from workers.roles.bot import HALTED, SWITCHED_OFF, PartitionBots, SymbolBot
from workers.roles.bot_account import NO_CASH, NO_POSITION, NO_PRICE, TOO_LARGE, TOO_SMALL
from workers.roles.events import Closed, Last, Run

T0 = 1_723_161_240_000_000  # 2024-08-08 23:54:00 UTC
MIDNIGHT = floor(T0, DAY_US) + DAY_US
FREE = Rules(fee_bps=Decimal(0), slippage_bps=Decimal(0), order=Amount(Decimal(1000)))


def trade(number: int, price: str, at_us: int | None = None) -> Trade:
    time_us = T0 + number * 1_000_000 if at_us is None else at_us
    return Trade("v", "AB", number, price, "1", "buy", time_us, time_us)


def a_run(*trades: Trade) -> Run:
    (candle,) = fold(trades)
    return Run(trades, candle)


def signal(at: Trade, side: Side, number: int = 1, strategy: str = "cross") -> Signal:
    return Signal(strategy, "v", "AB", number, at.event_time_us, at.trade_id, at.price, side, 1.0, {})


def closed(time_us: int, newest: Trade) -> Closed:
    (candle,) = fold([newest])
    last = Last(newest.trade_id, newest.price, newest.event_time_us)
    return Closed(time_us, [candle], [], None, last)


def a_bot(rules: Rules = FREE) -> SymbolBot:
    return SymbolBot("v", "AB", rules, None)


def taken(bot: SymbolBot) -> AccountChanges:
    changes = bot.take()
    assert changes is not None
    return changes


def bought(bot: SymbolBot, price: str = "10") -> None:
    """Let a bot buy by trades 1 and 2."""
    first = trade(1, price)
    bot.run(a_run(first, trade(2, price)), [signal(first, "buy")])


# what an order does


def test_an_order_is_filled_at_the_price_of_the_next_trade() -> None:
    bot = a_bot()
    first = trade(1, "10")
    bot.run(a_run(first, trade(2, "20"), trade(3, "40")), [signal(first, "buy")])
    changes = taken(bot)
    assert [(order.number, order.state) for order in changes.orders] == [(1, "filled")]
    assert [(fill.trade_id, fill.price, fill.size, fill.quote) for fill in changes.fills] == [
        (2, Decimal(20), Decimal(50), Decimal(1000))
    ]
    assert (changes.account.cash, changes.account.position) == (Decimal(9000), Decimal(50))


def test_an_order_waits_for_the_next_trade_over_runs_and_restarts() -> None:
    bot = a_bot()
    first = trade(1, "10")
    bot.run(a_run(first), [signal(first, "buy")])
    changes = taken(bot)
    assert [order.state for order in changes.orders] == ["open"]
    again = SymbolBot("v", "AB", FREE, AccountState(changes.account, changes.orders))
    again.run(a_run(trade(2, "20")), [])
    assert [fill.trade_id for fill in taken(again).fills] == [2]


def test_a_sell_sells_the_whole_position_and_knows_its_profit() -> None:
    bot = a_bot(Rules(fee_bps=Decimal(10), slippage_bps=Decimal(100), order=Amount(Decimal(1010))))
    bought(bot)  # 100 at 10.10: 1010, and a fee of 1.01
    third = trade(3, "20")
    bot.run(a_run(third, trade(4, "20")), [signal(third, "sell", 2)])  # 100 at 19.80: 1980, fee 1.98
    changes = taken(bot)
    assert [fill.fee for fill in changes.fills] == [Decimal("1.01"), Decimal("1.98")]
    assert changes.fills[1].profit == Decimal("967.01") == changes.account.profit
    assert changes.account.cash == changes.account.equity == Decimal("10967.01")
    assert changes.account.position == changes.account.cost == 0
    assert changes.account.fees == Decimal("2.99")


def test_rounding_never_favours_the_account() -> None:
    bot = a_bot(Rules(order=Amount(Decimal(1000))))
    bought(bot, "7.77777777")
    account = taken(bot).account
    assert account.equity < account.initial_cash
    price = Decimal("7.77777777") * Decimal("1.0005")
    quote = account.position * price
    assert account.initial_cash - account.cash >= quote + quote * Decimal("0.001")
    assert Decimal(1000) - quote < price * Decimal("0.00000002")


def test_an_order_may_be_a_share_of_the_equity() -> None:
    bot = a_bot(Rules(fee_bps=Decimal(0), slippage_bps=Decimal(0), order=Amount.parse("12.5%")))
    bought(bot)
    assert taken(bot).account.position == Decimal(125)


def test_only_signals_of_its_strategies_are_followed() -> None:
    bot = a_bot()
    first = trade(1, "10")
    bot.run(a_run(first, trade(2, "10")), [signal(first, "buy", strategy="dip")])
    assert bot.take() is None


# limits


def refusal(bot: SymbolBot, side: Side, price: str = "10", number: int = 10) -> str:
    """Let a bot follow one more signal; why its order was refused."""
    at = trade(number, price)
    bot.run(a_run(at, trade(number + 1, price)), [signal(at, side, number)])
    order = taken(bot).orders[-1]
    assert order.state == ("refused" if order.reason else "filled")
    return order.reason


def test_what_cannot_be_is_refused_with_its_reason() -> None:
    assert refusal(a_bot(), "sell") == NO_POSITION
    assert refusal(a_bot(), "buy", "0") == NO_PRICE
    assert refusal(a_bot(Rules(order=Amount(Decimal("0.00000001")))), "buy") == TOO_SMALL
    all_in = Rules(order=Amount.parse("100%"), max_position=Amount.parse("100%"))
    assert refusal(a_bot(all_in), "buy") == NO_CASH  # there is the fee, too
    assert refusal(a_bot(), "buy", "0." + "0" * 37 + "1") == TOO_LARGE


def test_a_position_grows_no_larger_than_it_may() -> None:
    bot = a_bot(Rules(fee_bps=Decimal(0), slippage_bps=Decimal(0), max_position=Amount(Decimal(2500))))
    reasons = [refusal(bot, "buy", number=2 * number) for number in range(1, 5)]
    assert reasons == ["", "", TOO_LARGE, TOO_LARGE]
    assert bot.account.position == 200


def test_the_largest_loss_a_day_stops_trading_until_the_next_utc_day() -> None:
    bot = a_bot(
        Rules(
            fee_bps=Decimal(0),
            slippage_bps=Decimal(0),
            order=Amount(Decimal(1000)),
            max_daily_loss=Amount(Decimal(500)),
        )
    )
    bought(bot)
    bot.closed(closed(T0 + MINUTE_US, trade(3, "5.01")), [])
    assert not bot.account.halted
    bot.closed(closed(T0 + 2 * MINUTE_US, trade(4, "5.00")), [])
    assert bot.account.halted
    bot.closed(closed(T0 + 3 * MINUTE_US, trade(5, "10")), [])  # permanently, even if the price recovers
    assert refusal(bot, "buy") == HALTED
    bot.closed(closed(MIDNIGHT, trade(20, "10")), [])
    assert not bot.account.halted
    assert bot.account.day_equity == Decimal(10_000)
    assert refusal(bot, "sell", number=21) == ""


def test_a_loss_between_the_signal_and_the_next_trade_stops_the_order() -> None:
    bot = a_bot(msgspec.structs.replace(FREE, max_daily_loss=Amount(Decimal(500))))
    bought(bot)
    bot.take()
    third = trade(3, "10")
    bot.run(a_run(third, trade(4, "4")), [signal(third, "buy", 2)])
    assert [order.reason for order in taken(bot).orders] == [HALTED]


def test_the_switch_stops_also_orders_that_wait() -> None:
    bot = a_bot()
    first = trade(1, "10")
    bot.run(a_run(first), [signal(first, "buy")])
    bot.switch(BotSwitch(False, 1))
    bot.run(a_run(trade(2, "10")), [])
    changes = taken(bot)
    assert [(order.state, order.reason) for order in changes.orders] == [("refused", SWITCHED_OFF)]
    assert refusal(bot, "buy") == SWITCHED_OFF
    bot.switch(BotSwitch(True, 3))
    bot.switch(BotSwitch(False, 2))  # sent again, too late
    assert refusal(bot, "buy", number=20) == ""


def test_a_symbol_that_comes_later_is_switched_as_the_others() -> None:
    bots = PartitionBots(0, FREE, BotStates({}, None))
    bots.switch(BotSwitch(False, 1))
    assert refusal(bots.of("v", "AB"), "buy") == SWITCHED_OFF
    later = PartitionBots(0, FREE, BotStates({}, BotSwitch(False, 1)))
    assert refusal(later.of("v", "AB"), "buy") == SWITCHED_OFF


def test_what_did_not_change_is_not_written() -> None:
    bots = PartitionBots(0, FREE, BotStates({}, None))
    bots.of("v", "AB")
    assert bots.take() is None
    bots.switch(BotSwitch(True, 1))
    rows = bots.take()
    assert rows is not None
    assert [account.switch_version for account in rows.accounts] == [1]
    assert bots.take() is None
    bots.of("v", "LATER")  # switched as the others: that is stored, too
    rows = bots.take()
    assert rows is not None
    assert [account.symbol for account in rows.accounts] == ["LATER"]


# the same whatever happens


class Script:
    """Trades, signals, closed candles and switches, and a bot that receives them in any batches."""

    def __init__(self, steps: Sequence[tuple[int, str, str]]) -> None:
        self.trades = []
        self.signals: dict[int, list[Signal]] = {}
        self.switches: dict[int, BotSwitch] = {}
        time_us = MIDNIGHT - 3 * MINUTE_US
        for number, (passed_s, price, event) in enumerate(steps, 1):
            time_us += passed_s * 1_000_000
            made = trade(number, price, time_us)
            self.trades.append(made)
            if event in ("buy", "sell"):
                self.signals[number] = [signal(made, event, number)]  # type: ignore[arg-type]
            if event in ("on", "off"):
                self.switches[number] = BotSwitch(event == "on", number)

    def play(
        self, cuts: set[int], restarts: set[int]
    ) -> tuple[PaperAccount, list[PaperOrder], list[Fill], list[Any]]:
        """Play it.

        Args:
            cuts: trades after which a run ends, besides minutes, switchings and restarts.
            restarts: trades after which everything is stored and rebuilt.
        """
        kept = Kept()
        bot = a_bot(_TRADING)
        pending: list[Trade] = []
        newest = self.trades[0]
        for made in self.trades:
            end_us = floor(newest.event_time_us, MINUTE_US) + MINUTE_US
            if made.event_time_us >= end_us:
                self._run(bot, pending)
                pending = []
                bot.closed(closed(end_us, newest), [])
            newest = made
            pending.append(made)
            number = made.trade_id
            if number in cuts or number in restarts or number in self.switches:
                self._run(bot, pending)
                pending = []
            if number in self.switches:
                bot.switch(self.switches[number])
            if number in restarts:
                kept.keep(bot.take())
                bot = SymbolBot("v", "AB", _TRADING, kept.state())
        self._run(bot, pending)
        kept.keep(bot.take())
        account = kept.account or bot.account
        return account, list(kept.orders.values()), kept.fills, kept.equities

    def _run(self, bot: SymbolBot, trades: list[Trade]) -> None:
        if trades:
            found = [each for made in trades for each in self.signals.get(made.trade_id, [])]
            bot.run(a_run(*trades), found)


class Kept:
    """What a database keeps."""

    def __init__(self) -> None:
        self.account: PaperAccount | None = None
        self.orders: dict[int, PaperOrder] = {}
        self.fills: list[Fill] = []
        self.equities: list[Equity] = []

    def keep(self, changes: AccountChanges | None) -> None:
        if changes is not None:
            copy = msgspec.msgpack.decode(msgspec.msgpack.encode(changes), type=AccountChanges)
            self.account = copy.account
            self.orders |= {order.number: order for order in copy.orders}
            self.fills += copy.fills
            self.equities += copy.equities

    def state(self) -> AccountState | None:
        if self.account is None:
            return None
        return AccountState(self.account, [order for order in self.orders.values() if order.state == "open"])


_TRADING = Rules(max_daily_loss=Amount.parse("1%"), order=Amount.parse("30%"))

steps = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.decimals("0.01", "30", places=2).map(str),
        st.sampled_from(["", "", "buy", "sell", "on", "off", "on"]),
    ),
    min_size=1,
    max_size=30,
)
numbers = st.sets(st.integers(1, 30))


@given(steps, numbers, numbers)
def test_neither_batches_nor_restarts_change_anything(
    steps: list[tuple[int, str, str]], cuts: set[int], restarts: set[int]
) -> None:
    script = Script(steps)
    assert script.play(cuts, restarts) == script.play(set(), set())


@given(steps)
def test_money_is_neither_made_nor_lost(steps: list[tuple[int, str, str]]) -> None:
    account, _, fills, _ = Script(steps).play(set(), set())
    cash, position = account.initial_cash, Decimal(0)
    for fill in fills:
        sign = 1 if fill.side == "buy" else -1
        cash -= sign * fill.quote + fill.fee
        position += sign * fill.size
    assert (account.cash, account.position) == (cash, position)
    assert account.cash >= 0
    assert account.position >= 0
    assert account.fees == sum((fill.fee for fill in fills), Decimal(0))
    assert account.cash == account.initial_cash + account.profit - account.cost
