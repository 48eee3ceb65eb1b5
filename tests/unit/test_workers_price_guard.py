"""Which prices pass the guard that withholds outliers."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from working import START_US, trade

from tickplant.market import fold
from workers.roles.price_guard import PriceGuard, PriceGuardState, near

prices = st.one_of(
    st.sampled_from(["0", "0.001", "0.0010001", "1", "999.9", "1000", "1000.0", "1000.1", "1000000"]),
    st.decimals(min_value=0, max_value=10**7, places=3).map(lambda price: f"{price:f}"),
)


@given(prices, st.lists(prices, min_size=1, max_size=4))
def test_a_run_passes_at_once_if_its_prices_and_the_last_one_are_all_near_one_another(
    last: str, run: list[str]
) -> None:
    trades = [trade(number, at_us=START_US + number, price=price) for number, price in enumerate(run)]
    (candle,) = fold(trades)
    known = [Decimal(last), candle.low, candle.high]
    expected = all(near(a, b) for a in known for b in known)
    assert PriceGuard(PriceGuardState(last)).passes(candle, run[-1]) is expected
