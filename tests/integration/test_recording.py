"""`tickplant record` against sandbox venues: what is played from a recording is what was sent."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ingesting import finnhub_frame, scripted_venue
from msgspec.structs import replace
from processes import Processes, kill, sandbox_status
from websockets.asyncio.server import ServerConnection
from working import until

from ingest.recording.service import Recording
from ingest.recording.writer import Rotation, capture_path
from ingest.service import VenueAddress
from sandbox.captures import CaptureProblem, read_captured_trades
from sandbox.generator import generate
from sandbox.player import TapePlayer
from sandbox.server import serve
from sandbox.venues import VENUES
from tickplant.errors import FatalError
from tickplant.local.folder import free_port
from tickplant.market import SymbolId, Trade

START_MS = 1_700_000_040_000
SYMBOLS = {
    "binance": ["BTCUSDT", "ETHUSDT"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "finnhub": ["AAPL", "SPY"],
    "kraken": ["BTC/USD", "ETH/USD"],
}


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def played(*paths: Path, written: bool = False) -> list[Trade]:
    """Return the trades of captures, every line of which can be read, without their receive times.

    Args:
        paths: of the captures.
        written: whether they are being written, so that their ends may change while they are read.
    """
    if not any(path.is_dir() or (path.exists() and path.stat().st_size) for path in paths):
        return []  # not yet
    problems: list[CaptureProblem] = []
    trades = [replace(trade, ingest_time_us=0) for trade in read_captured_trades(paths, problems.append)]
    assert written or not problems
    return trades


@asynccontextmanager
async def recording(
    addresses: dict[str, VenueAddress], output: str, symbols: list[SymbolId], rotation: Rotation | None = None
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    recorded = Recording(symbols, addresses, capture_path(output, None), rotation or Rotation())
    task = asyncio.create_task(recorded.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


@pytest.mark.parametrize("suffix", [".gz", ".zst", ""])
async def test_trades_of_every_venue_are_recorded_as_sent(tmp_path: Path, suffix: str) -> None:
    tapes = [
        generate(names, 2_000, rate=1_000, seed=5, venue=VENUES[venue]) for venue, names in SYMBOLS.items()
    ]
    symbols = [SymbolId(venue, name) for venue, names in SYMBOLS.items() for name in names]
    players = [TapePlayer(tape, speed=None, hold=True) for tape in tapes]
    async with serve(players) as running:
        addresses = {
            name: VenueAddress(address.ws_url, address.rest_url, api_key="key" if name == "finnhub" else None)
            for name, address in running.addresses.items()
        }
        async with recording(addresses, f"{tmp_path}/day.ndjson{suffix}", symbols):

            async def is_recorded() -> bool:
                status = await sandbox_status(running.rest_url)
                found = played(tmp_path, written=True) if status["state"] == "finished" else []
                return len(found) == 4 * 2_000

            await until(is_recorded, "all trades are recorded")
    assert [path.name for path in files(tmp_path)] == [
        f"day-{venue}.ndjson{suffix}" for venue in sorted(SYMBOLS)
    ]
    for tape in tapes:
        sent = [
            replace(trade, ingest_time_us=0)
            for position in range(len(tape))
            for trade in tape.venue.read_trades(tape.text(position))
        ]
        assert played(tmp_path / f"day-{tape.venue.name}.ndjson{suffix}") == sent


async def test_a_lost_connection_is_made_again_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    connected = 0

    async def script(connection: ServerConnection) -> None:
        nonlocal connected
        connected += 1
        await connection.recv()
        await connection.send(finnhub_frame(("AAPL", "12.5", START_MS + connected, "3")))
        if connected == 1:
            await connection.close()
        await connection.wait_closed()

    output = tmp_path / "a"
    caplog.set_level("INFO")
    async with scripted_venue(script) as url:
        address = {"finnhub": VenueAddress(url, api_key="key")}
        async with recording(address, str(output), [SymbolId("finnhub", "AAPL")]):

            async def has_both() -> bool:
                part = tmp_path / "a.part"
                return part.exists() and part.read_bytes().count(b'"trade"') == 2

            await until(has_both, "both connections are recorded")
    times_us = [trade.event_time_us for trade in played(output)]
    assert times_us == [(START_MS + 1) * 1_000, (START_MS + 2) * 1_000]
    assert "finnhub/0: disconnected, retrying" in caplog.text
    assert "2 frames with 2 trades (finnhub:AAPL 2)" in caplog.text
    assert "connections lost: 1;" in caplog.text


async def test_a_malformed_frame_is_recorded_counted_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send("not a\nframe")
        await connection.send(finnhub_frame(("AAPL", "12.5", START_MS, "3")))
        await connection.wait_closed()

    output = tmp_path / "a"
    caplog.set_level("INFO")
    async with scripted_venue(script) as url:
        address = {"finnhub": VenueAddress(url, api_key="key")}
        async with recording(address, str(output), [SymbolId("finnhub", "AAPL")]):

            async def has_both() -> bool:
                part = tmp_path / "a.part"
                return part.exists() and part.read_bytes().count(b"\n") == 2

            await until(has_both, "both frames are recorded")
    assert b" not a frame\n" in output.read_bytes()
    assert "malformed frames: 1" in caplog.text


async def test_a_venue_that_sends_nothing_is_named_in_the_end(tmp_path: Path) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(finnhub_frame(("AAPL", "12.5", START_MS, "3")))
        await connection.wait_closed()

    def with_frames() -> list[Path]:
        return [path for path in tmp_path.iterdir() if path.stat().st_size]

    async def is_recorded() -> bool:
        return bool(with_frames())

    symbols = [SymbolId("finnhub", "AAPL"), SymbolId("kraken", "BTC/USD")]
    async with scripted_venue(script) as url:
        addresses = {
            "finnhub": VenueAddress(url, api_key="key"),
            "kraken": VenueAddress(f"ws://127.0.0.1:{free_port()}"),
        }

        async def record() -> None:
            async with recording(addresses, str(tmp_path / "a"), symbols):
                await until(is_recorded, "a frame is recorded")

        with pytest.raises(FatalError, match="nothing was received from kraken"):
            await record()
    (file,) = with_frames()
    assert [trade.symbol for trade in played(file)] == ["AAPL"]


async def test_a_recording_of_nothing_is_an_error(tmp_path: Path) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with scripted_venue(script) as url:
        with pytest.raises(FatalError, match="nothing was received"):
            async with recording(
                {"finnhub": VenueAddress(url, api_key="key")},
                f"{tmp_path}/a.gz",
                [SymbolId("finnhub", "AAPL")],
            ):
                pass
    assert not files(tmp_path)


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    logs = tmp_path / "logs"
    logs.mkdir()
    async with Processes({}, logs) as running:
        yield running


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a.ndjson.zst"])
async def test_what_a_killed_recording_had_written_can_be_played(
    tmp_path: Path, processes: Processes, name: str
) -> None:
    await processes.start_sandbox("--symbols", "binance:BTCUSDT", "--rate", "400")
    command = await processes.start("record", "--output", str(tmp_path / name))
    unfinished = tmp_path / f"{name}.part"

    async def has_some() -> bool:
        assert command.returncode is None, processes.logs()
        return len(played(unfinished, written=True)) > 300

    await until(has_some, "trades are recorded")
    before = played(unfinished, written=True)
    await kill(command)
    found = played(unfinished)
    assert found[: len(before)] == before
    assert [trade.trade_id for trade in found] == [found[0].trade_id + n for n in range(len(found))]

    code, _ = await processes.run("record", "--output", str(tmp_path / name))
    assert code == 1
    assert "a recording writes it, or one that was killed" in processes.logs()
    assert played(unfinished) == found


async def test_it_ends_by_itself_and_finishes_its_files(tmp_path: Path, processes: Processes) -> None:
    ready: dict[str, Any] = await processes.start_sandbox(
        "--symbols", "binance:BTCUSDT", "kraken:BTC/USD", "--rate", "100"
    )
    folder = tmp_path / "captures"
    words = ("record", *ready["symbols"], "--output", f"{folder}/", "--rotate-size", "2kB", "--for", "4s")
    code, _ = await processes.run(*words)
    assert code == 0, processes.logs()
    paths = files(folder)
    assert len(paths) > 2
    for path in paths:
        assert re.fullmatch(r"(binance|kraken)-\d{8}T\d{6}Z(-\d+)?\.ndjson\.gz", path.name)
    trades = played(folder)
    for symbol in map(SymbolId.parse, ready["symbols"]):
        ids = sorted(trade.trade_id for trade in trades if SymbolId(trade.venue, trade.symbol) == symbol)
        assert ids
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert f"binance:BTCUSDT {sum(trade.venue == 'binance' for trade in trades)}" in processes.logs()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere:X --output a", "unknown venue 'nowhere'"),
        ("binance:BTCUSDT --output missing/a.gz", "missing: there is no such folder"),
        ("binance:BTCUSDT --output a.gz --compress none", "a.gz is the name of a file compressed by gzip"),
        ("finnhub:AAPL --output a.gz", "finnhub"),
    ],
)
async def test_wrong_arguments_are_refused(
    tmp_path: Path, processes: Processes, words: str, message: str
) -> None:
    code, _ = await processes.run("record", *words.split())
    assert code in (1, 2)
    assert message in processes.logs()
    assert "Traceback" not in processes.logs()
