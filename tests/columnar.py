"""What tests of columns share: drawn trades, valid and not, and what columns say."""

from typing import Any

from hypothesis import strategies as st

from tickplant.columns import TradeColumns
from tickplant.intervals import MINUTE_US
from tickplant.market import Trade

NOW_US = 1_700_000_000_000_000

plain_digits = st.text("0123456789", min_size=1, max_size=6)
decimals = st.one_of(
    st.tuples(plain_digits, plain_digits).map(".".join),
    st.sampled_from(["0", "0.000", ".0", "0.", "007", ".5", "5.", "1", "1.00", "9" * 40, "." + "9" * 39]),
    st.text("0123456789", min_size=1, max_size=20),
    st.tuples(st.text("0123456789", min_size=15, max_size=20), st.text("0123456789", max_size=19)).map(
        ".".join
    ),
    st.integers(0, 10**9).map(lambda n: f"{n / 100:.8f}"),
)
bad_decimals = st.sampled_from(
    [
        "",
        ".",
        "1e5",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1..2",
        "1.2.3",
        "٣",
        "1,5",
        "NaN",
        "inf",
        "1_0",
        "1" * 41,
        "1\n",
        "é",
    ]
)
times = st.one_of(
    st.integers(NOW_US, NOW_US + 3 * MINUTE_US),
    st.sampled_from([NOW_US, NOW_US + 1, NOW_US - NOW_US % MINUTE_US, NOW_US - NOW_US % MINUTE_US - 1]),
)
bad_times = st.sampled_from([0, -1, 31_536_000_000_000 - 1, 4_102_444_800_000_000, 2**60, -(2**60)])
ids = st.one_of(st.integers(0, 50), st.integers(0, 2**63 - 2))
bad_ids = st.sampled_from([-1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)])
names = st.sampled_from(["BTCUSDT", "BTC/USD", "x", "é", "A" * 64, "'\""])
bad_names = st.sampled_from(["", "A" * 65, "a\\b", "a\tb", "\x7f", "a\nb"])
sides = st.sampled_from(["buy", "sell", None])


def trades(*, valid: bool = True, venue: str = "binance") -> st.SearchStrategy[list[Trade]]:
    """Draw some trades of one symbol."""

    def of_symbol(symbol: str) -> st.SearchStrategy[list[Trade]]:
        any_decimal, any_id, any_time = decimals, ids, times
        if not valid:
            any_decimal = st.one_of(decimals, bad_decimals)
            any_id = st.one_of(ids, bad_ids)
            any_time = st.one_of(times, bad_times)
        trade = st.builds(
            Trade,
            st.just(venue),
            st.just(symbol),
            any_id,
            any_decimal,
            any_decimal,
            sides,
            any_time,
            st.one_of(st.just(NOW_US), any_time),
        )
        some = st.lists(trade, min_size=1, max_size=12)
        return st.one_of(some, some.map(in_sequence))

    return (names if valid else st.one_of(names, bad_names)).flatmap(of_symbol)


def in_sequence(trades: list[Trade]) -> list[Trade]:
    """Return trades with consecutive ids, received at once, as most are."""
    first = min(trades[0].trade_id, 2**60)
    return [
        Trade(
            t.venue, t.symbol, first + i, t.price, t.size, t.side, t.event_time_us, trades[0].ingest_time_us
        )
        for i, t in enumerate(trades)
    ]


def as_trades(columns: list[TradeColumns]) -> list[list[Trade]]:
    """Return what columns hold, each trade both ways."""
    for part in columns:
        assert [part.trade(i) for i in range(len(part))] == part.trades()
    return [part.trades() for part in columns]


def exactly(value: Any) -> str:
    """Return a value in full: decimals of one number but of other digits differ."""
    return repr(value)
