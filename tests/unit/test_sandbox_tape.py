"""Tapes: encoded frames, the views of them, and the history that REST serves."""

import gzip
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from sandbox.binance.frames import wrap
from sandbox.binance.session import Style
from sandbox.binance.venue import SandboxBinance
from sandbox.captures import CapturedFrame, read_frames
from sandbox.frames import View, encode_frame
from sandbox.generator import generate, name_symbols
from sandbox.history import SandboxHistory, TapeColumns
from sandbox.tape import Rendering, Tape, record
from sandbox.venue import ParsedFrame
from tickplant.market import SymbolId, Trade

BTC = SymbolId("binance", "BTCUSDT")


def messages(data: bytes | memoryview) -> list[str]:
    """Parse frames as a websocket client does."""
    client = ClientProtocol(parse_uri("ws://venue/"), state=State.OPEN, max_size=None)
    client.receive_data(bytes(data))
    found = []
    for frame in client.events_received():
        assert isinstance(frame, Frame)
        assert (frame.opcode, frame.fin) == (Opcode.TEXT, True)
        found.append(bytes(frame.data).decode())
    return found


def whole(tape: Tape, *, combined: bool = True, micro: bool = True) -> View:
    return View(frozenset(tape.streams), Style(combined, micro))


def render(tape: Tape, view: View) -> list[str]:
    return messages(Rendering(tape, view).between(0, len(tape)))


@pytest.fixture(scope="module")
def tape() -> Tape:
    return generate(name_symbols(5), 500, rate=1000, seed=3)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_a_frame_of_any_length_is_one_message(length: int) -> None:
    payload = b"x" * length
    assert messages(encode_frame(payload) * 2) == [payload.decode()] * 2


def test_a_recorded_frame_comes_out_as_it_was_recorded(marketdata: Path) -> None:
    paths = sorted((marketdata / "binance-spot").glob("*_20240808.gz"))  # both symbols
    lines: list[tuple[int, str]] = []
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            time, _, frame = line.partition(" ")
            lines.append((int(time), frame))
    recorded = [frame for _, frame in sorted(lines, key=lambda line: line[0])]
    (tape,) = record(read_frames(paths), all_frames=True)
    assert render(tape, whole(tape, micro=False)) == recorded


def test_raw_frames_are_the_combined_ones_without_envelope(tape: Tape) -> None:
    for micro in (True, False):
        combined = [json.loads(text)["data"] for text in render(tape, whole(tape, micro=micro))]
        assert [
            json.loads(text) for text in render(tape, whole(tape, combined=False, micro=micro))
        ] == combined


def test_milliseconds_are_the_microseconds_cut(tape: Tape) -> None:
    fine = [json.loads(text)["data"] for text in render(tape, whole(tape))]
    coarse = [json.loads(text)["data"] for text in render(tape, whole(tape, micro=False))]
    assert [(event["E"] // 1000, event["T"] // 1000) for event in fine] == [
        (event["E"], event["T"]) for event in coarse
    ]


@given(st.data())
def test_every_view_gets_exactly_its_streams_in_order(tape: Tape, data: st.DataObject) -> None:
    streams = data.draw(st.frozensets(st.sampled_from(tape.streams)))
    cut = data.draw(st.integers(0, len(tape)))
    combined, micro = data.draw(st.booleans()), data.draw(st.booleans())
    expected = [
        text
        for text, name in zip(
            render(tape, whole(tape, combined=combined, micro=micro)), names(tape), strict=True
        )
        if name in streams
    ]
    rendering = Rendering(tape, View(streams, Style(combined, micro)))
    assert messages(rendering.between(0, cut)) + messages(rendering.between(cut, len(tape))) == expected
    assert rendering.empty == (not streams)


def names(tape: Tape) -> list[str]:
    return [json.loads(text)["stream"] for text in render(tape, whole(tape))]


def test_what_is_prepared_is_what_would_be_encoded(tape: Tape) -> None:
    view = View(frozenset(tape.streams[:2]), Style(combined=False, micro=False))
    prepared = Rendering(tape, view)
    prepared.prepare(0, 300)
    assert prepared.between(0, 300) == Rendering(tape, view).between(0, 300)


def test_with_all_frames_a_trade_stream_brings_its_symbols_other_frames() -> None:
    def frame(stream: str) -> CapturedFrame:
        return CapturedFrame(1, SandboxBinance(), ParsedFrame(stream, wrap(stream, b"{}"), 0))

    (tape,) = record(
        map(frame, ("", "btcusdt@depth", "ethusdt@bookTicker", "btcusdt@bookTicker")), all_frames=True
    )
    assert render(tape, View(frozenset({"btcusdt@trade"}), Style(combined=False, micro=True))) == ["{}"] * 3
    assert render(tape, View(frozenset({"ethusdt@bookTicker"}), Style(combined=True, micro=True))) == [
        '{"stream":"ethusdt@bookTicker","data":{}}'
    ]
    assert not record([frame("btcusdt@depth")])


def test_a_million_trades_fit() -> None:
    tape = generate(name_symbols(3), 2000, rate=1000, seed=1)
    assert tape.bytes_used / tape.trades < 260


def history_of(trades: Sequence[Trade]) -> SandboxHistory:
    columns = TapeColumns(BTC, lambda index: trades[index])
    for trade in trades:
        columns.append(trade.trade_id, trade.event_time_us, trade.price, trade.side)
    return SandboxHistory(columns, len(trades))


def trade(trade_id: int, time_us: int, price: str = "1.0") -> Trade:
    return Trade("binance", "BTCUSDT", trade_id, price, "2.0", "buy", time_us, time_us)


def ids(trades: Iterable[Trade]) -> list[int]:
    return [each.trade_id for each in trades]


TRADES = st.lists(
    st.builds(trade, st.integers(0, 40), st.integers(0, 30), st.sampled_from(["1.0", "2.0"])),
    unique_by=lambda each: each.trade_id,
)


@given(TRADES, st.integers(-1, 45), st.integers(1, 50))
def test_history_is_found_by_id_whatever_the_order_of_sending(
    trades: list[Trade], first: int, limit: int
) -> None:
    history = history_of(trades)
    ordered = sorted(ids(trades))
    assert ids(history.from_id(first, limit)) == [each for each in ordered if each >= first][:limit]
    assert ids(history.latest(limit)) == ordered[-limit:]
    aggregates = history.aggregates_from(0, 100)
    assert [each for aggregate in aggregates for each in ids(aggregate.trades)] == ordered
    assert history.latest_aggregates(limit) == aggregates[-limit:]


@given(TRADES, st.integers(-1, 31), st.integers(-1, 31))
def test_history_is_found_by_time_whatever_the_order_of_sending(
    trades: list[Trade], start: int, end: int
) -> None:
    history = history_of(trades)
    expected = sorted(ids(each for each in trades if start <= each.event_time_us < end))
    assert ids(history.between(start, end)) == expected
    assert [
        each for found in history.aggregates_between(start, end) for each in ids(found.trades)
    ] == expected


def test_a_trade_that_was_sent_twice_is_in_history_once() -> None:
    history = history_of([trade(1, 10), trade(2, 11), trade(2, 11), trade(4, 12), trade(3, 11)])
    assert ids(history.from_id(0, 10)) == [1, 2, 3, 4]


def test_trades_of_one_moment_side_and_price_are_one_aggregate() -> None:
    history = history_of(
        [trade(1, 10), trade(2, 10), trade(3, 10, "1.1"), trade(4, 11, "1.1"), trade(5, 11, "1.1")]
    )
    found = [(aggregate.number, ids(aggregate.trades)) for aggregate in history.aggregates_from(0, 10)]
    assert found == [(1, [1, 2]), (2, [3]), (3, [4, 5])]


def test_history_ends_at_the_tapes_position(tape: Tape) -> None:
    symbol = next(iter(tape.columns))
    sent = sum(json.loads(text)["data"]["s"] == symbol.symbol for text in render(tape, whole(tape))[:300])
    assert len(tape.history(symbol, 0)) == 0
    assert len(tape.history(symbol, 300)) == sent
    assert len(tape.history(symbol, len(tape))) == len(tape.columns[symbol])


@given(st.lists(st.integers(1, 40)))
def test_ranges_of_ids_hold_each_id_once(ids: list[int]) -> None:
    columns = TapeColumns(BTC, lambda _: NotImplemented)
    for trade_id in ids:
        columns.append(trade_id, 0, "1", "buy")
    ranges = columns.id_ranges()
    assert [number for first, last in ranges for number in range(first, last + 1)] == sorted(set(ids))
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))
