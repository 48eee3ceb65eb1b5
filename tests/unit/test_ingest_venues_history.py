"""Paging through a gap: by the documented rules of each venue's REST, every page helps and holes show.

Each venue is played by a few lines that read a request as the venue's documentation says. The seeker asks as
`Venue.history_path` promises that it may.
"""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.venues import make_adapter
from ingest.venues.base_rest import HistoryAdapter, MissingRange

SYMBOLS: Final = {"binance": "BTCUSDT", "coinbase": "BTC-USD", "kraken": "BTC/USD"}
BEGIN_US: Final = 1_700_000_000_000_000

Answer = Callable[[str, Sequence[int]], str]


def time_us(trade_id: int) -> int:
    """Return when a trade happened: several at the same moment."""
    return BEGIN_US + trade_id // 3


def binance(path: str, ids: Sequence[int]) -> str:
    query = parse_qs(urlsplit(path).query)
    assert urlsplit(path).path == "/api/v3/historicalTrades"
    assert query["symbol"] == ["BTCUSDT"]
    page = [i for i in ids if i >= int(query["fromId"][0])][: int(query["limit"][0])]
    rows = [{"id": i, "price": "1", "qty": "2", "time": time_us(i), "isBuyerMaker": True} for i in page]
    return json.dumps(rows)


def coinbase(path: str, ids: Sequence[int]) -> str:
    query = parse_qs(urlsplit(path).query)
    assert urlsplit(path).path == "/products/BTC-USD/trades"
    page = [i for i in reversed(ids) if i < int(query["after"][0])][: int(query["limit"][0])]
    rows = [
        {
            "trade_id": i,
            "side": "sell",
            "size": "2",
            "price": "1",
            "time": f"2023-11-14T22:13:20.{time_us(i) % 1_000_000:06}Z",
        }
        for i in page
    ]
    return json.dumps(rows)


def kraken(path: str, ids: Sequence[int]) -> str:
    query = parse_qs(urlsplit(path).query)
    assert urlsplit(path).path == "/0/public/Trades"
    assert query["pair"] == ["XBTUSD"]
    assert query["count"] == ["1000"]
    page = [i for i in ids if time_us(i) * 1000 > int(query["since"][0])][:1000]
    rows = ",".join(f'["1","2",{time_us(i) / 1e6:.6f},"b","l","",{i}]' for i in page)
    return f'{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":"{time_us(page[-1]) * 1000}"}}}}'


ANSWERS: Final[dict[str, Answer]] = {"binance": binance, "coinbase": coinbase, "kraken": kraken}


def make_history_adapter(name: str) -> HistoryAdapter:
    venue = make_adapter(name)
    assert isinstance(venue, HistoryAdapter)
    return venue


def seek(
    venue: HistoryAdapter, answer: Answer, gap: MissingRange, ids: Sequence[int]
) -> tuple[set[int], set[int], int]:
    """Fetch a gap page by page; return what was found in it, its proven holes, and the number of pages."""
    found: set[int] = set()
    holes: set[int] = set()
    pages = 0
    while gap.first_id <= gap.last_id:
        trades = venue.parse_history(answer(venue.history_path(gap), ids).encode(), gap.symbol, 7).trades
        assert all(trade.event_time_us == time_us(trade.trade_id) for trade in trades)
        pages += 1
        highest = trades[-1] if trades else None
        if highest is None or highest.trade_id < gap.first_id:
            break  # nothing more, as yet
        page = [trade.trade_id for trade in trades]
        missing = set(range(gap.first_id, gap.last_id + 1))
        found.update(missing.intersection(page))
        holes.update(*(missing.intersection(range(low + 1, high)) for low, high in pairwise(page)))
        gap = MissingRange(gap.symbol, highest.trade_id + 1, gap.last_id, highest.event_time_us)
    return found, holes, pages


@pytest.mark.parametrize("name", SYMBOLS)
@given(
    st.integers(0, 3000), st.integers(1, 3000), st.integers(0, 2), st.sets(st.integers(1, 6000), max_size=20)
)
@settings(max_examples=25, deadline=None)
def test_a_gap_is_found_whole_with_the_ids_still_missing(
    name: str, before: int, length: int, after: int, missing: set[int]
) -> None:
    first, last = before + 1, before + length
    ids = [i for i in range(last + after + 1) if i not in missing or i in (before, last + 1, last + 2)]
    gap = MissingRange(SYMBOLS[name], first, last, time_us(before))
    found, holes, pages = seek(make_history_adapter(name), ANSWERS[name], gap, ids)
    assert found == {i for i in ids if first <= i <= last}
    expected = {i for i in missing if first <= i <= last}
    if after:
        assert holes == expected
    assert holes <= expected  # an id is never called a hole while it may still come
    assert pages <= length // 990 + 2


def test_doge_and_bitcoin_have_other_names_in_krakens_rest() -> None:
    venue = make_history_adapter("kraken")
    paths = [
        venue.history_path(MissingRange(symbol, 5, 6, 2)) for symbol in ("DOGE/USD", "ETH/BTC", "AAPLx/USD")
    ]
    assert paths == [
        f"/0/public/Trades?pair={pair}&since=1000&count=1000" for pair in ("XDGUSD", "ETHXBT", "AAPLxUSD")
    ]


def test_no_more_is_asked_for_than_is_missing() -> None:
    gap = MissingRange("BTC-USD", 100, 101, BEGIN_US)
    assert make_history_adapter("coinbase").history_path(gap) == "/products/BTC-USD/trades?after=103&limit=4"
    assert make_history_adapter("binance").history_path(gap) == (
        "/api/v3/historicalTrades?symbol=BTC-USD&fromId=99&limit=4"
    )


@pytest.mark.parametrize("name", SYMBOLS)
def test_a_time_that_is_too_late_makes_no_trade_missing(name: str) -> None:
    gap = MissingRange(SYMBOLS[name], 10, 100, time_us(90))
    found, holes, _ = seek(make_history_adapter(name), ANSWERS[name], gap, [i for i in range(200) if i != 95])
    assert holes == {95}
    assert found == set(range(10 if name != "kraken" else 90, 101)) - {95}  # where it goes by time
