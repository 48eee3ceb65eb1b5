"""Reading captures: formats, merging, and what is wrong with a line."""

import gzip
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from sandbox.captures import CaptureError, CaptureProblem, find_captures, read_captured_trades, read_frames
from tickplant.market import Trade

START_MS = 1_723_161_255_000


def trade_frame(trade_id: int, ms: int = 0, symbol: str = "BTCUSDT", price: str = "61837.63000000") -> str:
    time = START_MS + ms
    return (
        f'{{"e":"trade","E":{time + 1},"s":"{symbol}","t":{trade_id},"p":"{price}","q":"0.02000000",'
        f'"T":{time},"m":true,"M":true}}'
    )


def combined(frame: str, stream: str = "btcusdt@trade") -> str:
    return f'{{"stream":"{stream}","data":{frame}}}'


def received(frame: str, ms: int = 0) -> str:
    return f"{(START_MS + ms) * 1_000_000 + 123} {frame}"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def ids(path: Path) -> list[int]:
    return [trade.trade_id for trade in read_captured_trades([path])]


def test_recorded_captures_match_their_description(marketdata: Path) -> None:
    problems: list[CaptureProblem] = []
    trade_ids: dict[str, list[int]] = {"BTCUSDT": [], "ETHUSDT": []}
    last_ns = without_stream = 0
    for captured in read_frames([marketdata / "binance-spot"], problems.append):
        assert captured.time_ns >= last_ns
        last_ns = captured.time_ns
        without_stream += captured.frame.stream == ""
        for trade in captured.frame.trades:
            trade_ids[trade.symbol].append(trade.trade_id)
    assert not problems
    assert {symbol: len(found) for symbol, found in trade_ids.items()} == {
        "BTCUSDT": 19_904,
        "ETHUSDT": 14_515,
    }
    for found in trade_ids.values():
        assert found == list(range(found[0], found[0] + len(found)))
    assert without_stream == 2  # depth snapshots


def test_a_line_with_and_without_envelope_and_receive_time_is_the_same_trade(tmp_path: Path) -> None:
    frame = trade_frame(7)
    expected = Trade(
        "binance",
        "BTCUSDT",
        7,
        "61837.63000000",
        "0.02000000",
        "sell",
        START_MS * 1000,
        (START_MS + 1) * 1000,
    )
    for line in (frame, combined(frame)):
        assert list(read_captured_trades([write(tmp_path / "a", line)])) == [expected]
    with_time = Trade(
        "binance",
        "BTCUSDT",
        7,
        "61837.63000000",
        "0.02000000",
        "sell",
        START_MS * 1000,
        START_MS * 1000 + 5000,
    )
    for line in (received(frame, 5), received(combined(frame), 5)):
        assert list(read_captured_trades([write(tmp_path / "a", line)])) == [with_time]


def test_times_in_microseconds_are_taken_as_such(tmp_path: Path) -> None:
    frame = trade_frame(7).replace(f'"T":{START_MS}', f'"T":{START_MS}456')
    (trade,) = read_captured_trades([write(tmp_path / "a", frame)])
    assert trade.event_time_us == START_MS * 1000 + 456


def test_plain_gzip_and_zstd_are_recognised_by_content(tmp_path: Path) -> None:
    text = "".join(f"{combined(trade_frame(number, number))}\n" for number in range(500)).encode()
    frames = zstandard.ZstdCompressor().compress(text[: len(text) // 2])
    frames += zstandard.ZstdCompressor().compress(text[len(text) // 2 :])
    for name, content in (("a.gz", text), ("b.txt", gzip.compress(text)), ("c.csv", frames)):
        (tmp_path / name).write_bytes(content)
        assert ids(tmp_path / name) == list(range(500))


def test_files_are_merged_by_receive_time_and_ties_keep_their_order(tmp_path: Path) -> None:
    one = write(tmp_path / "1", *(received(trade_frame(number), number) for number in (1, 3, 5)))
    two = write(tmp_path / "2", *(received(trade_frame(number + 10), number) for number in (2, 3, 4)))
    merged = [trade.trade_id for trade in read_captured_trades([one, two])]
    assert merged == [1, 12, 3, 13, 14, 5]
    assert [trade.trade_id for trade in read_captured_trades([two, one])] == [1, 12, 13, 3, 14, 5]


def test_without_receive_times_files_are_merged_by_the_venues_time(tmp_path: Path) -> None:
    one = write(tmp_path / "1", trade_frame(1, 10), trade_frame(3, 30))
    two = write(tmp_path / "2", trade_frame(2, 20))
    assert [trade.trade_id for trade in read_captured_trades([one, two])] == [1, 2, 3]


def test_frames_of_a_file_stay_in_order_whatever_their_times(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a", *(received(trade_frame(number), ms) for number, ms in ((1, 9), (2, 5), (3, 7)))
    )
    frames = list(read_frames([path, write(tmp_path / "b", received(trade_frame(4), 8))]))
    assert [trade.trade_id for captured in frames for trade in captured.frame.trades] == [4, 1, 2, 3]
    assert [frame.time_ns for frame in frames] == sorted(frame.time_ns for frame in frames)


def test_the_same_trade_twice_stays_twice(tmp_path: Path) -> None:
    assert ids(write(tmp_path / "a", trade_frame(1), trade_frame(1), trade_frame(5), trade_frame(2))) == [
        1,
        1,
        5,
        2,
    ]


def test_frames_that_are_no_trades_pass_and_are_no_problem(tmp_path: Path) -> None:
    others = (
        '{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"2.0","A":"1.0"}}',
        '{"lastUpdateId":1,"bids":[],"asks":[]}',
        '{"result":null,"id":1}',
        '{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":1723161255343,"s":"BTCUSDT"}]}',
        combined('{"e":"aggTrade","E":1723161255343,"s":"BTCUSDT","a":1,"p":"1.0"}', "btcusdt@aggTrade"),
    )
    problems: list[CaptureProblem] = []
    path = write(tmp_path / "a", *others, "", trade_frame(1))
    frames = list(read_frames([path], problems.append))
    assert [len(captured.frame.trades) for captured in frames] == [0] * 5 + [1]
    streams = [captured.frame.stream for captured in frames]
    assert streams[0::3] == ["btcusdt@bookTicker", "!miniTicker@arr"]
    assert not problems


@pytest.mark.parametrize(
    "broken",
    [
        combined(trade_frame(2))[:-9],
        "not a frame at all",
        "[1,2",
        trade_frame(2, price="1e5"),
        trade_frame(2, price="-1.5"),
        trade_frame(2).replace('"t":2', '"t":"2"'),
        trade_frame(2).replace('"q":"0.02000000",', ""),
        "12345 " + trade_frame(2),
    ],
)
def test_a_broken_line_is_reported_with_its_place_and_left_out(tmp_path: Path, broken: str) -> None:
    path = write(tmp_path / "a", trade_frame(1), "", broken, trade_frame(3))
    problems: list[CaptureProblem] = []
    trades = list(read_captured_trades([path], problems.append))
    assert [trade.trade_id for trade in trades] == [1, 3]
    assert [(problem.path, problem.line) for problem in problems] == [(path, 3)]
    assert str(problems[0]).startswith(f"{path}, line 3: ")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_file_that_breaks_off_gives_what_it_holds(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = "".join(f"{trade_frame(number, number)}\n" for number in range(20_000)).encode()
    path = tmp_path / "a"
    path.write_bytes(pack(text)[:-3000])
    problems: list[CaptureProblem] = []
    found = [trade.trade_id for trade in read_captured_trades([path], problems.append)]
    assert len(found) > 100
    assert found == list(range(len(found)))
    assert problems
    assert all(problem.line >= len(found) for problem in problems)


def test_recorded_captures_of_other_venues_match_their_description(marketdata: Path) -> None:
    problems: list[CaptureProblem] = []
    trades = list(read_captured_trades([marketdata / "coinbase-exchange"], problems.append))
    assert Counter(trade.symbol for trade in trades) == {"BTC-USD": 344, "ETH-USD": 91}
    assert {trade.venue for trade in trades} == {"coinbase"}
    counts = Counter(trade.symbol for trade in read_captured_trades([marketdata / "stocks"], problems.append))
    assert counts == {"IBM": 33_381, "SPY": 451_545}
    assert not problems


@pytest.mark.parametrize(
    ("line", "venue"),
    [
        ('{"channel":"trade","type":"update","data":[]}', "kraken"),
        ('{"channel":"heartbeat"}', "kraken"),
        ('{"type":"trade","data":[{"p":1.5,"s":"AAPL","t":1,"v":1}]}', "finnhub"),
        ('{"type":"subscriptions","channels":[]}', "coinbase"),
        ('{"type":"heartbeat","product_id":"BTC-USD","last_trade_id":5}', "coinbase"),
        ('{"stream":"btcusdt@trade","data":{}}', "binance"),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', "binance"),
    ],
)
def test_a_venue_is_recognised_by_its_frames(tmp_path: Path, line: str, venue: str) -> None:
    for text in (line, received(line)):
        path = write(tmp_path / "a", "broken", text)
        assert [(found, its.name) for found, its in find_captures([path])] == [(path, venue)]


def test_a_directory_gives_its_captures_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "LICENSE", "Permission is hereby granted")
    second, first = write(tmp_path / "b", trade_frame(2)), write(tmp_path / "a", trade_frame(1))
    assert [path for path, _ in find_captures([tmp_path])] == [first, second]


@pytest.mark.parametrize("content", ["", "open_time_ms,open\n1,2\n", "\x00\xff"])
def test_a_file_that_is_no_capture_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "what"
    path.write_text(content)
    with pytest.raises(CaptureError, match="what: no frame of a known venue"):
        find_captures([path])
    with pytest.raises(CaptureError, match="no capture in this directory"):
        find_captures([tmp_path])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="nowhere: No such file"):
        find_captures([tmp_path / "nowhere"])


def test_a_file_without_any_time_is_reported(tmp_path: Path) -> None:
    problems: list[CaptureProblem] = []
    path = write(tmp_path / "a", '{"u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"2.0","A":"1.0"}')
    assert not list(read_frames([path], problems.append))
    assert "no line has a time" in problems[0].reason


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CaptureError, match="neither a file nor a directory"):
        find_captures([pipe])


def test_a_file_that_is_named_twice_is_played_once(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(
        '{"e":"trade","E":1700000000000,"s":"A","t":1,"p":"1","q":"1","T":1700000000000,"m":true}\n'
    )
    assert [found for found, _ in find_captures([path, tmp_path, tmp_path / "." / "a.ndjson"])] == [path]


def test_the_repositorys_own_capture_holds_whole_synthetic_trades() -> None:
    problems: list[CaptureProblem] = []
    folder = Path(__file__).parents[2] / "docs" / "captures"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 200_000
    found = list(read_captured_trades([folder], problems.append))
    assert problems == []
    assert len(found) == 3_000
    for symbol in ("BTCUSDT", "ETHUSDT"):
        ids = [trade.trade_id for trade in found if trade.symbol == symbol]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
