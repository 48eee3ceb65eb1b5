"""What holds for every venue that the sandbox speaks for."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_tape import Stopped, make_tape

from sandbox.coinbase.frames import encode_match
from sandbox.coinbase.venue import SandboxCoinbase
from sandbox.finnhub.venue import SandboxFinnhub
from sandbox.frames import View, payload_of, split_frames
from sandbox.generator import generate
from sandbox.kraken.venue import SandboxKraken
from sandbox.player import TapePlayer
from sandbox.tape import Rendering, Tape
from sandbox.venue import ParsedFrame, SandboxVenue, ViewFit
from sandbox.venues import VENUES
from tickplant.market import SymbolId, Trade, is_decimal

SYMBOLS = {
    "binance": ["BTCUSDT", "PEPEUSDT", "NEWUSDT"],
    "coinbase": ["BTC-USD", "PEPE-USD", "NEW-USD"],
    "finnhub": ["AAPL", "SPY", "NEW"],
    "kraken": ["BTC/USD", "PEPE/USD", "NEW/USD"],
}

every_venue = pytest.mark.parametrize("venue", VENUES.values(), ids=list(VENUES))


def made(venue: SandboxVenue, seed: int = 3, count: int = 600) -> Tape:
    return generate(SYMBOLS[venue.name], count, rate=1000, seed=seed, venue=venue)


def texts(tape: Tape) -> list[bytes]:
    return [tape.text(position) for position in range(len(tape))]


@every_venue
def test_its_symbols_have_its_form(venue: SandboxVenue) -> None:
    for name in (*SYMBOLS[venue.name], venue.example):
        assert venue.is_symbol(name)
    assert not venue.is_symbol("btc usd")
    assert venue.usual(SYMBOLS[venue.name][0])
    assert venue.usual(SYMBOLS[venue.name][2]) is None


@every_venue
def test_generated_tapes_follow_from_their_seed(venue: SandboxVenue) -> None:
    assert texts(made(venue)) == texts(made(venue))
    assert texts(made(venue)) != texts(made(venue, seed=4))


@every_venue
def test_what_it_encodes_it_recognises_and_parses(venue: SandboxVenue) -> None:
    tape = made(venue)
    counts: Counter[str] = Counter()
    for text in texts(tape):
        message = json.loads(text)
        assert [name for name, other in VENUES.items() if other.recognises(message)] == [venue.name]
        parsed = venue.parse_frame(text, 0)
        assert parsed is not None
        assert parsed.text == text
        assert not parsed.historical
        assert tuple(venue.read_trades(text)) == parsed.trades
        assert all(is_decimal(trade.price) and is_decimal(trade.size) for trade in parsed.trades)
        counts.update(trade.symbol for trade in parsed.trades)
    assert counts.total() == tape.trades == 600
    assert counts == {symbol.symbol: tape.count(symbol) for symbol in tape.columns}


@every_venue
def test_the_past_is_what_was_sent(venue: SandboxVenue) -> None:
    tape = made(venue)
    cut = len(tape) // 2
    for symbol in tape.columns:
        sent = [
            trade
            for text in texts(tape)[:cut]
            for trade in venue.read_trades(text)
            if trade.symbol == symbol.symbol
        ]
        history = tape.history(symbol, cut).latest(1000)
        assert [(trade.price, trade.size, trade.side) for trade in history] == [
            (trade.price, trade.size, trade.side) for trade in sent
        ]
        assert len(history) == tape.sent(symbol, cut)
        ids = [trade.trade_id for trade in history]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.parametrize("name", ["coinbase", "finnhub", "kraken"])  # Binance's views have forms, too
@given(data=st.data())
def test_a_view_gets_its_symbols_trades_and_no_others(name: str, data: st.DataObject) -> None:
    venue = VENUES[name]
    tape = made(venue, count=60)
    chosen = data.draw(st.sets(st.sampled_from(SYMBOLS[name])))
    rendering = Rendering(tape, View(frozenset(chosen)))
    sent = [
        trade.symbol
        for frame in split_frames(rendering.between(0, len(tape)))
        for trade in venue.read_trades(bytes(payload_of(frame)))
    ]
    assert Counter(sent) == {symbol: tape.count(SymbolId(venue.name, symbol)) for symbol in chosen}
    assert rendering.empty == (not chosen)


@every_venue
def test_refusals_have_a_body_and_the_status(venue: SandboxVenue) -> None:
    for status in (404, 418, 429, 503):
        answer = venue.refusal(status, "no")
        assert answer.status in (status, 200)
        assert json.loads(answer.body)


def trade(trade_id: int, symbol: str = "BTC-USD", after_us: int = 0) -> Trade:
    time_us = 1_783_465_080_000_000 + after_us
    return Trade("coinbase", symbol, trade_id, "1.5", "2", "buy", time_us, time_us)


def last_match(trade_id: int, symbol: str = "BTC-USD") -> ParsedFrame:
    made = trade(trade_id, symbol)
    text = encode_match(symbol, trade_id, "1.5", "2", "buy", made.event_time_us, kind="last_match")
    return ParsedFrame(symbol, text.encode(), made.event_time_us, (made,), historical=True)


def test_trades_from_before_are_history_and_not_sent() -> None:
    tape = Tape(SandboxCoinbase())
    tape.add(last_match(9), 1)
    assert len(tape) == tape.trades == 0
    for number in (10, 11):
        tape.add(make_frame(trade(number)), 2)
    symbol = SymbolId("coinbase", "BTC-USD")
    assert tape.trades == tape.count(symbol) == 2
    for position, ids in ((0, [9]), (1, [9, 10]), (2, [9, 10, 11])):
        assert [trade.trade_id for trade in tape.history(symbol, position).latest(9)] == ids
        assert tape.sent(symbol, position) == len(ids) - 1


def make_frame(made: Trade) -> ParsedFrame:
    text = encode_match(made.symbol, made.trade_id, made.price, made.size, made.side, made.event_time_us)
    return ParsedFrame(made.symbol, text.encode(), made.event_time_us, (made,))


def test_a_repeated_known_trade_is_omitted_and_an_unknown_one_sent() -> None:
    tape = Tape(SandboxCoinbase())
    told_again = (last_match(10), last_match(9), last_match(12), last_match(5, "ETH-USD"))
    for frame in (make_frame(trade(10)), *told_again):
        tape.add(frame, 1)
    assert [json.loads(text)["trade_id"] for text in texts(tape)] == [10, 12]
    assert [json.loads(text)["type"] for text in texts(tape)] == ["match", "match"]
    assert tape.count(SymbolId("coinbase", "ETH-USD")) == 0
    market = Stopped(tape)
    assert [trade.trade_id for trade in market.history(SymbolId("coinbase", "ETH-USD")).latest(9)] == [5]


def test_trades_of_one_frame_are_read_one_by_one() -> None:
    tape = made(SandboxKraken())
    numbers = Counter(tape.stream_numbers(0, len(tape)))
    assert tape.trades > sum(numbers.values())  # some frames have several


def test_a_stream_of_several_symbols_fits_in_whole_or_in_part() -> None:
    venue = SandboxFinnhub()
    assert venue.fit("AAPL SPY", View(frozenset({"SPY", "AAPL"}))) is ViewFit.AS_IT_LIES
    assert venue.fit("AAPL SPY", View(frozenset({"SPY", "IBM"}))) is ViewFit.STYLED
    assert venue.fit("AAPL SPY", View(frozenset())) is ViewFit.NONE


def test_a_symbols_first_and_last_trade_are_the_ends_of_a_tape() -> None:
    symbols = ["BTC-USD", "ETH-USD", "BTC-USD", "BTC-USD", "ETH-USD", "SOL-USD", "BTC-USD", "SOL-USD"]
    tape = make_tape(SandboxCoinbase(), (trade(number, symbol) for number, symbol in enumerate(symbols)))
    assert tape.ends() == [0, 1, 4, 5, 6, 7]
    tape = make_tape(SandboxCoinbase(), [trade(1)])
    assert tape.ends() == [0]
    tape.add(last_match(5, "ETH-USD"), 1)
    assert tape.ends() == [0]
    assert TapePlayer(tape).status().total == 1
