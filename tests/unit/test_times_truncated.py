"""Digits of a time beyond microseconds are cut off: rounded, a trade of a minute would be in the next one."""

import pytest

from ingest.venues.coinbase import CoinbaseAdapter
from ingest.venues.kraken import KrakenAdapter
from ingest.venues.parsing import microseconds
from sandbox.times import parse_rfc3339
from tickplant.cli.database_arguments import parse_time
from tickplant.errors import PoisonError
from tickplant.time_parsing import parse_time_us as parse_of_rest

END_US = 1_700_000_099_999_999
TIME = "2023-11-14T22:14:59.999999999Z"


def test_times_of_venues_are_cut_off() -> None:
    assert microseconds(TIME) == parse_rfc3339(TIME) == END_US
    frame = (
        '{"type":"match","trade_id":1,"side":"sell","size":"1","price":"2","product_id":"BTC-USD",'
        f'"sequence":1,"time":"{TIME}"}}'
    )
    parsed = CoinbaseAdapter.parse_frame(frame.encode(), END_US)
    assert isinstance(parsed, tuple)
    assert [trade.event_time_us for trade in parsed] == [END_US]
    row = (
        '{"symbol":"BTC/USD","side":"buy","price":1,"qty":1,"ord_type":"market","trade_id":1,'
        f'"timestamp":"{TIME}"}}'
    )
    parsed = KrakenAdapter.parse_frame(
        f'{{"channel":"trade","type":"update","data":[{row}]}}'.encode(), END_US
    )
    assert isinstance(parsed, tuple)
    assert [trade.event_time_us for trade in parsed] == [END_US]


@pytest.mark.parametrize("text", ["", "now", "2023-11-14T22:14:59", "2023-13-14T22:14:59Z", "1970-01-01T00Z"])
def test_what_is_no_time_of_a_trade_is_refused(text: str) -> None:
    with pytest.raises(PoisonError):
        microseconds(text)


def test_times_of_users_are_cut_off() -> None:
    assert parse_time(TIME).microsecond == 999_999
    assert parse_of_rest(TIME) == END_US
