"""What every adapter must do: one suite over all registered venues, fed from `frames/<venue>.jsonl`.

A line there is an object: `kind` is what the `frame` is to the venue (see ADDING_A_VENUE.md) and `gives` what
must come of it, received at 7: trades as arrays of their fields, a notice's fields, or for what is broken a
pattern that the reason must match. Pages of history name their `symbol`.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from venue_frames import (
    FRAME_KINDS,
    HISTORY_KINDS,
    KEY,
    NOTICES,
    RECEIVED_US,
    Recorded,
    make,
    mutations,
    read_recorded,
)

from ingest.venues import VENUES, make_adapter
from ingest.venues.base import (
    BadRow,
    Heartbeat,
    Notice,
    Parsed,
    ParsedRows,
    Refused,
    Secret,
    Subscribed,
    VenueAdapter,
)
from ingest.venues.base_rest import BusyError, HistoryAdapter, MissingRange
from tickplant.errors import FatalError, PoisonError
from tickplant.kernel import decode_trades
from tickplant.market import Trade
from tickplant.trade_rules import reject_reason
from tickplant.wire import encode_trades


def recorded(kinds: set[str]) -> list[Any]:
    return [
        pytest.param(make(name), line, id=f"{name}-{number}-{line.kind}")
        for name in VENUES
        for number, line in enumerate(read_recorded(name), start=1)
        if line.kind in kinds
    ]


@pytest.fixture(params=VENUES)
def venue(request: pytest.FixtureRequest) -> VenueAdapter:
    return make(request.param)


def symbols_of(venue: VenueAdapter) -> list[str]:
    """Return the symbols of a venue's recorded trades."""
    trades = [trade for line in read_recorded(venue.name) if line.kind == "trade" for trade in line.gives]
    return list(dict.fromkeys(trade[1] for trade in trades))


# --- What is recorded


def test_a_venue_has_a_frame_of_each_kind_that_every_venue_has(venue: VenueAdapter) -> None:
    kinds = {line.kind for line in read_recorded(venue.name)}
    assert kinds <= FRAME_KINDS | HISTORY_KINDS
    assert kinds >= {"trade", "refusal", "other", "broken"}
    assert not venue.acknowledges or "acknowledgement" in kinds
    assert not venue.numbered or {"history", "history with a bad row", "broken history"} <= kinds


@pytest.mark.parametrize(("venue", "line"), recorded({"trade", "other", *NOTICES}))
def test_a_recorded_frame_gives_what_it_should(venue: VenueAdapter, line: Recorded) -> None:
    parsed = venue.parse_frame(line.frame.encode(), RECEIVED_US)
    assert type(parsed) is NOTICES.get(line.kind, tuple)
    assert as_json(parsed) == line.gives
    assert bool(parsed) is (line.kind != "other")
    check(venue, parsed)
    assert venue.parse_frame(line.frame.encode(), RECEIVED_US) == parsed  # whatever came between


@pytest.mark.parametrize(("venue", "line"), recorded({"partial"}))
def test_a_bad_row_takes_none_of_its_neighbours_along(venue: VenueAdapter, line: Recorded) -> None:
    parsed = venue.parse_frame(line.frame.encode(), RECEIVED_US)
    assert isinstance(parsed, ParsedRows)
    assert as_json(parsed.trades) == line.gives["trades"]
    assert len(parsed.bad_rows) == len(line.gives["bad_rows"])
    for bad, pattern in zip(parsed.bad_rows, line.gives["bad_rows"], strict=True):
        assert re.search(pattern, bad.reason)
        assert bad.payload in line.frame.encode()
    check(venue, parsed)


@pytest.mark.parametrize(("venue", "line"), recorded({"broken"}))
def test_a_broken_frame_is_refused_with_its_reason(venue: VenueAdapter, line: Recorded) -> None:
    with pytest.raises(PoisonError, match=line.gives):
        venue.parse_frame(line.frame.encode(), RECEIVED_US)


@pytest.mark.parametrize(("venue", "line"), recorded({"history"}))
def test_a_page_of_history_gives_its_trades_in_order(venue: VenueAdapter, line: Recorded) -> None:
    trades, bad_rows = read(venue, line.frame.encode(), line.symbol)
    assert not bad_rows
    assert as_json(trades) == line.gives
    assert [trade.trade_id for trade in trades] == sorted(trade.trade_id for trade in trades)
    check(venue, trades)


@pytest.mark.parametrize(("venue", "line"), recorded({"history with a bad row"}))
def test_a_bad_row_of_history_is_returned_with_its_reason(venue: VenueAdapter, line: Recorded) -> None:
    given, reason = line.gives
    trades, bad_rows = read(venue, line.frame.encode(), line.symbol)
    assert as_json(trades) == given
    (bad_row,) = bad_rows
    assert re.search(reason, bad_row.reason)
    assert bad_row.payload in line.frame.encode()


def read(venue: VenueAdapter, body: bytes, symbol: str) -> tuple[tuple[Trade, ...], tuple[BadRow, ...]]:
    assert isinstance(venue, HistoryAdapter)
    page = venue.parse_history(body, symbol, RECEIVED_US)
    return page.trades, page.bad_rows


@pytest.mark.parametrize(("venue", "line"), recorded({"broken history", "busy history"}))
def test_a_page_that_is_none_is_refused_with_its_reason(venue: VenueAdapter, line: Recorded) -> None:
    assert isinstance(venue, HistoryAdapter)
    error = BusyError if line.kind == "busy history" else PoisonError
    with pytest.raises(error, match=line.gives):
        venue.parse_history(line.frame.encode(), line.symbol, RECEIVED_US)


def as_json(parsed: Parsed) -> Any:
    return msgspec.json.decode(msgspec.json.encode(parsed))


def check(venue: VenueAdapter, parsed: Parsed) -> None:
    """Assert that what came of a frame is what everybody downstream relies on."""
    if isinstance(parsed, Notice):
        msgspec.convert(msgspec.to_builtins(parsed), type(parsed))  # or it has fields of other types
        return
    trades = parsed.trades if isinstance(parsed, ParsedRows) else parsed
    assert decode_trades(encode_trades(trades)) == list(trades)
    for trade in trades:
        assert trade.venue == venue.name
        assert reject_reason(trade) is None
        assert venue.numbered or (trade.trade_id, trade.side) == (0, None)
        assert trade.ingest_time_us == RECEIVED_US


# --- What is mutated


@st.composite
def mutated(draw: st.DrawFn, kinds: set[str]) -> tuple[str, Recorded, bytes]:
    """Draw a recorded frame with bytes, values or keys of it changed, added or gone."""
    name = draw(st.sampled_from(VENUES))
    lines = [line for line in read_recorded(name) if line.kind in kinds]
    if not lines:
        return name, Recorded("other", "", []), draw(st.binary(max_size=20))
    line = draw(st.sampled_from(lines))
    frame = line.frame.encode()
    for _ in range(draw(st.integers(1, 3))):
        frame = draw(mutations(frame))
    return name, line, frame


@given(mutated(FRAME_KINDS))
@settings(max_examples=400, deadline=None)
def test_a_mutated_frame_is_understood_or_refused(case: tuple[str, Recorded, bytes]) -> None:
    name, _, frame = case
    venue = make(name)
    try:
        parsed = venue.parse_frame(frame, RECEIVED_US)
    except PoisonError:
        return
    check(venue, parsed)


@given(mutated({"history", "history with a bad row", "busy history"}))
@settings(max_examples=200, deadline=None)
def test_a_mutated_page_is_understood_or_refused(case: tuple[str, Recorded, bytes]) -> None:
    name, line, body = case
    venue = make(name)
    if not isinstance(venue, HistoryAdapter):
        return
    try:
        trades = venue.parse_history(body, line.symbol, RECEIVED_US).trades
    except (PoisonError, BusyError):
        return
    check(venue, trades)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"data":' * 100_000,
        b'{"type":"trade","channel":"trade","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"trade","channel":"trade","data":[{"p":' + b"9" * 5_000 + b"}]}",
        b'{"type":"match","product_id":"\xff","e":"trade","s":"\xff","channel":"\xff"}',
        b'{"type":"error","message":"\\ud800","code":1,"msg":"\\ud800","error":"\\ud800"}',
    ],
    ids=lambda frame: repr(frame[:20]),
)
def test_bytes_that_no_decoder_likes_are_refused(venue: VenueAdapter, frame: bytes) -> None:
    with pytest.raises(PoisonError):
        venue.parse_frame(frame, RECEIVED_US)
    if isinstance(venue, HistoryAdapter):
        with pytest.raises(PoisonError):
            venue.parse_history(frame, "X", RECEIVED_US)


# --- What is sent


def test_address_and_messages_name_every_symbol_once(venue: VenueAdapter) -> None:
    generated = [f"AB{number:03}CD" for number in range(venue.limits.symbols_per_connection)]
    for symbols in (symbols_of(venue), symbols_of(venue)[:1], generated):
        sent = what_is_sent(venue, symbols)
        assert {symbol: len(re.findall(re.escape(symbol) + r"\b", sent, re.I)) for symbol in symbols} == (
            dict.fromkeys(symbols, 1)
        )


def what_is_sent(venue: VenueAdapter, symbols: Sequence[str]) -> str:
    url = venue.stream_url("wss://example.test", symbols)
    assert url.startswith("wss://example.test")
    messages = venue.subscribe_messages(symbols)
    for message in messages:
        assert isinstance(json.loads(message), dict)
    assert messages or not venue.acknowledges
    return "\n".join([unquote(url), *messages])


def test_only_the_client_sees_the_key_in_the_address(venue: VenueAdapter) -> None:
    url = venue.stream_url(venue.ws_url, symbols_of(venue))
    shown = [f"{url}", str(url), repr(url), "%s %r" % (url, url), repr(venue), str(venue)]  # noqa: UP031
    assert not any(KEY in text for text in shown)
    assert isinstance(url, Secret) is (KEY in url)


def test_limits_are_set_and_can_be_replaced(venue: VenueAdapter) -> None:
    limits = venue.limits
    assert limits.symbols_per_connection >= 1
    assert limits.silence_s > 0
    assert limits.requests_per_s > 0
    assert limits.connects is None or limits.connects_window_s > 0
    for limit in (limits.connections, limits.messages_per_s, limits.connects, limits.connection_age_s):
        assert limit is None or limit > 0
    fewer = msgspec.structs.replace(limits, symbols_per_connection=1)
    key = None if type(venue.stream_url(venue.ws_url, ["X"])) is str else KEY
    assert make_adapter(venue.name, api_key=key, limits=fewer).limits == fewer


def test_a_venue_with_trade_ids_has_a_history_and_no_other_has(venue: VenueAdapter) -> None:
    assert isinstance(venue, HistoryAdapter) is venue.numbered
    if not isinstance(venue, HistoryAdapter):
        return
    gap = MissingRange(symbols_of(venue)[0], 1001, 1100, 1_700_000_000_000_000)
    assert re.fullmatch(r"/[\w./-]+\?[\w.=&%-]+", venue.history_path(gap))


# --- What is registered and documented


def test_a_venue_bears_its_name_and_knows_its_addresses(venue: VenueAdapter) -> None:
    assert venue.name in VENUES
    assert venue.ws_url.startswith("wss://")
    assert venue.rest_url.startswith("https://")


def test_an_unknown_venue_is_refused_by_name() -> None:
    with pytest.raises(FatalError, match="unknown venue 'nasdaq'; venues are binance"):
        make_adapter("nasdaq")


def test_the_module_shows_where_it_is_documented_and_a_trade_that_it_understands(venue: VenueAdapter) -> None:
    text = import_module(f"ingest.venues.{venue.name}").__doc__ or ""
    assert re.search(r"^Documentation: https://\S+$", text, re.MULTILINE)
    samples = re.findall(r"^    (\{.*(?:\n     .*)*)", text, re.MULTILINE)
    parsed = [
        venue.parse_frame(sample.encode(), RECEIVED_US) for sample in samples if '"result"' not in sample
    ]
    assert any(isinstance(each, tuple) and each for each in parsed)
    assert any(isinstance(each, Refused) for each in parsed)


def test_the_guide_names_every_kind() -> None:
    guide = (Path(__file__).parents[2] / "ADDING_A_VENUE.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z ]+)` \|", guide, re.MULTILINE)) == FRAME_KINDS | HISTORY_KINDS


# --- What has been recorded from the venues themselves


def lines_of(path: Path) -> Iterator[bytes]:
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with gzip.open(path) as file:
        for line in file:
            yield line.rstrip(b"\n")


def trades_of(venue: VenueAdapter, frame: bytes) -> Sequence[Trade]:
    parsed = venue.parse_frame(frame, RECEIVED_US)
    return parsed if isinstance(parsed, tuple) else ()


def exactly(frame: bytes) -> Any:
    """Decode JSON independently of the adapters, numbers exactly."""
    return json.loads(frame, parse_float=Decimal, parse_int=Decimal)


def test_a_capture_of_coinbase_gives_every_match(marketdata: Path) -> None:
    venue = make("coinbase")
    before: dict[str, int] = {}
    highest: dict[str, int] = {}
    kinds: Counter[str] = Counter()
    for frame in lines_of(marketdata / "coinbase-exchange" / "btc-eth-usd-20260707.ndjson.gz"):
        message = exactly(frame)
        kinds[message["type"]] += 1
        parsed = venue.parse_frame(frame, RECEIVED_US)
        if message["type"] == "heartbeat":
            assert isinstance(parsed, Heartbeat)
            assert parsed.last_trade_id == highest[message["product_id"]]
        elif message["type"] not in ("match", "last_match"):
            assert isinstance(parsed, Subscribed) or parsed == ()
        else:
            assert isinstance(parsed, tuple)
            (trade,) = parsed
            check(venue, parsed)
            product = message["product_id"]
            first = message["type"] == "last_match"
            (before if first else highest)[product] = trade.trade_id
            assert trade.trade_id == message["trade_id"] == (before if first else highest)[product]
            assert (trade.symbol, trade.price, trade.size) == (product, message["price"], message["size"])
            assert {trade.side, message["side"]} == {"buy", "sell"}  # the taker's is the other
            assert f"{trade.event_time_us % 1_000_000:06}" == message["time"][20:26]
    assert (kinds["match"], kinds["last_match"], kinds["heartbeat"]) == (435, 2, 118)
    assert {product: highest[product] - before[product] for product in before} == {
        "BTC-USD": 344,
        "ETH-USD": 91,
    }


@pytest.mark.parametrize(("symbol", "count"), [("IBM", 33_381), ("SPY", 451_545)])
def test_a_day_of_a_stock_gives_every_trade_exactly(marketdata: Path, symbol: str, count: int) -> None:
    venue = make("finnhub")
    seen = 0
    for frame in lines_of(marketdata / "stocks" / f"{symbol.lower()}-20131008.finnhub.jsonl.gz"):
        trades = trades_of(venue, frame)
        expected = [
            (row["s"], row["t"] * 1000, f"{row['p']:f}", f"{row['v']:f}") for row in exactly(frame)["data"]
        ]
        assert [(t.symbol, t.event_time_us, t.price, t.size) for t in trades] == expected
        seen += len(trades)
    assert seen == count
    check(venue, tuple(trades))


@pytest.mark.parametrize(("symbol", "count"), [("BTCUSDT", 19_904), ("ETHUSDT", 14_515)])
def test_a_capture_of_binance_gives_every_trade(marketdata: Path, symbol: str, count: int) -> None:
    venue = make("binance")
    ids: list[int] = []
    for day in ("08", "09"):
        for line in lines_of(marketdata / "binance-spot" / f"{symbol.lower()}_202408{day}.gz"):
            for trade in trades_of(venue, line.partition(b" ")[2]):
                assert trade.symbol == symbol
                ids.append(trade.trade_id)
    assert ids == list(range(ids[0], ids[0] + count))
