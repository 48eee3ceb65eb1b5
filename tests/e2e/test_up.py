"""`tickplant up` as a user runs it: servers, sandbox venue, ingest, workers and API in one command."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import grpc
import pytest
import stored

from sandbox.generator import generate
from sandbox.venues import VENUES
from tickplant.api.v1.market_data_pb2 import StreamTradesRequest
from tickplant.api.v1.market_data_pb2_grpc import MarketDataStub
from tickplant.local.folder import Folder, free_port
from tickplant.redis_client import open_redis
from tickplant.streams import SOURCE

SERVERS = {name: os.environ[name] for name in ("TICKPLANT_EMBEDDED_SERVERS",) if name in os.environ}
PROXIES = {
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
}
"""Lead nowhere: what runs on this machine needs none."""
BLOCK_SIGINT = ("env", "--block-signal=INT")
"""As `make demo` starts it."""


class Up:
    """A running `tickplant up`."""

    def __init__(self, data: Path, *words: str, embedded: bool = True, **environment: str) -> None:
        self.data = data
        self.output = ""
        folder = ["--data", str(data)] if embedded else []
        self._process = subprocess.Popen(
            [*BLOCK_SIGINT, sys.executable, "-P", "-m", "tickplant", "up", *folder, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "TICKPLANT_API_PORT": "0", **PROXIES, **SERVERS, **environment},
            cwd="/",
        )

    def read_until(self, pattern: str, seconds: float = 40) -> re.Match[str]:
        """Read the output up to a line."""
        deadline = time.monotonic() + seconds
        assert self._process.stdout is not None
        while (match := re.search(pattern, self.output, re.MULTILINE)) is None:
            wait_s = deadline - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, wait_s))
            block = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
            assert block, f"no line {pattern!r}:\n{self.output}"
            self.output += block.decode()
        return match

    def stop_reading(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            rest, _ = self._process.communicate(timeout=60)
            self.output += rest.decode()
        return self._process.wait(60)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def children(self) -> list[int]:
        """Return the processes that it started and that run."""
        task = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in task.read_text().split()]

    def role(self, name: str) -> int:
        """Return the process of a role."""
        (pid,) = (pid for pid in self.children() if f"tickplant\0{name}\0" in command_line(pid))
        return pid

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def has_price(address: str) -> bool:
    """Return whether the API has a price of the capture's symbol; before the first trade it has none."""
    try:
        with build_opener(ProxyHandler({})).open(f"{address}/api/v1/price/LTCUSDT", timeout=30) as answer:
            return bool(answer.status == 200)
    except HTTPError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


Start = Callable[..., Up]


@pytest.fixture(scope="module")
def data(server_folder: Path) -> Iterator[Path]:
    """The data of all tests here: each start finds what the one before has left."""
    folder = server_folder / "up data"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # tests that start nothing leave none


@pytest.fixture(scope="module")
def capture(server_folder: Path) -> Path:
    """A capture of ten minutes with two trades a second, of a symbol that recordings do not have."""
    path = server_folder / "capture.jsonl"
    begin_ms = 1_723_161_300_000
    with path.open("w") as file:
        for number in range(1_200):
            time_ms = begin_ms + number * 500
            trade = f'"e":"trade","E":{time_ms},"s":"LTCUSDT","t":{number + 1},"p":"61000.10","q":"0.5"'
            frame = f'{{"stream":"ltcusdt@trade","data":{{{trade},"T":{time_ms},"m":true,"M":true}}}}'
            file.write(f"{time_ms}000000 {frame}\n")
    return path


@pytest.fixture
def start_up(data: Path) -> Iterator[Start]:
    """Start `tickplant up`, again and again if asked to."""
    started: list[Up] = []

    def start(*words: str, embedded: bool = True, **environment: str) -> Up:
        started.append(Up(data, *words, embedded=embedded, **environment))
        return started[-1]

    yield start
    for up in started:
        up.close()
    wait_until(lambda: not any(Folder(data / name).is_locked() for name in ("redis", "postgres")))


def test_a_replay_commits_every_trade_and_sums_up_and_so_does_a_second(
    start_up: Start, recording: Path
) -> None:
    for new in ("all", "0"):
        up = start_up("--replay", str(recording), "--speed", "max", "--once")
        assert up.wait() == 0, up.output
        assert re.search(r"binance:BTCUSDT +│ +19,904 +│ +\d+ +│ +0 +│ +0 ", up.output), up.output
        assert re.search(r"binance:ETHUSDT +│ +14,515 +│ +\d+ +│ +0 +│ +0 ", up.output), up.output
        done = r"^34,419 trades replayed and committed in [\d.]+ s: [\d,]+ trades/s, "
        assert re.search(f"{done}{new} of them new$", up.output, re.MULTILINE), up.output


@pytest.fixture(scope="module")
def venues_folder(server_folder: Path) -> Path:
    """Captures of two venues, one with trade ids and one without, of two symbols each."""
    folder = server_folder / "venues"
    folder.mkdir()
    for venue, symbols in (("coinbase", ("BTC-USD", "ETH-USD")), ("finnhub", ("IBM", "SPY"))):
        tape = generate(symbols, 300, rate=100, seed=5, venue=VENUES[venue])
        lines = [f"{tape.times_ns[n]} {tape.text(n).decode()}\n" for n in range(len(tape))]
        (folder / f"{venue}.ndjson").write_text(lines[0][40:] + "".join(lines))  # starts within a frame
    return folder


def test_a_replay_of_named_symbols_stores_all_of_them_and_nothing_else(
    start_up: Start, venues_folder: Path
) -> None:
    names = "coinbase:eth-usd, finnhub:IBM kraken:BTC/USD coinbase:BTC-USD"
    arguments = ("--replay", str(venues_folder), str(venues_folder / "coinbase.ndjson"), "--once")
    up = start_up(*arguments, TICKPLANT_SYMBOLS=names)
    assert up.wait() == 0, up.output
    rows = re.findall(r"│ (\w+:\S+|all) +│ +([\d,]+) .*│ +([\d,]+) +│ +([\d,]+) │", up.output)
    assert [row[0] for row in rows] == ["coinbase:BTC-USD", "coinbase:ETH-USD", "finnhub:IBM", "all"]
    assert all(stored == captured == replayed != "0" for _, stored, captured, replayed in rows), up.output
    assert sum(int(row[1]) for row in rows[:2]) == 300
    assert re.search(r"^in the captures, but not in TICKPLANT_SYMBOLS: finnhub:SPY$", up.output, re.MULTILINE)
    assert re.search(
        r"^in TICKPLANT_SYMBOLS, but not in the captures: kraken:BTC/USD$", up.output, re.MULTILINE
    )

    up = start_up(*arguments, TICKPLANT_SYMBOLS=names)
    assert up.wait() == 1, up.output
    assert re.search(r"trades of finnhub:IBM from the capture's time are stored already", up.output), (
        up.output
    )
    up = start_up(*arguments, TICKPLANT_SYMBOLS="kraken:BTC/USD")
    assert up.wait() == 1, up.output
    assert "the captures have no trades of kraken:BTC/USD, only of coinbase:BTC-USD" in up.output


async def test_a_replay_uses_the_configured_servers_only_with_into(
    start_up: Start, capture: Path, redis_url: str, postgres_address: str
) -> None:
    servers = {"TICKPLANT_REDIS_URL": redis_url, "TICKPLANT_DATABASE_URL": postgres_address}
    arguments = ("--replay", str(capture), "--once")
    up = start_up(*arguments, **servers)
    assert up.wait() == 0, up.output
    assert "TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL not used" in up.output
    redis = open_redis(redis_url)
    assert await redis.keys() == []
    await redis.set(SOURCE, "live")

    for address in ([], [redis_url, postgres_address]):
        up = start_up(*arguments, "--into", *address, embedded=False, **servers)
        assert up.wait() == 1, up.output
        assert "Redis holds trades of a venue's live stream" in up.output
    await redis.delete(SOURCE)
    await redis.aclose()
    assert await stored.fetch_value(postgres_address, "select to_regclass('plant')") is None

    up = start_up(*arguments, "--into", redis_url)  # with an embedded database
    assert up.wait() == 0, up.output


@pytest.fixture(scope="module")
def replayed(data: Path, capture: Path) -> Iterator[Up]:
    """A replay that has ended, with logs in JSON."""
    up = Up(data, "--replay", str(capture), "--once", TICKPLANT_LOG_FORMAT="json")
    try:
        assert up.wait() == 0, up.output
        yield up
    finally:
        up.close()


@pytest.mark.usefixtures("replayed")
def test_a_live_start_on_replayed_data_is_refused(start_up: Start) -> None:
    up = start_up()
    assert up.wait() == 1, up.output
    assert "holds replayed trades, which must not be mixed with trades of a venue's live stream" in up.output


def test_all_of_it_runs_survives_the_death_of_any_and_stops_in_order(start_up: Start, capture: Path) -> None:
    up = start_up("--replay", str(capture), "--speed", "20")
    up.read_until(r"^worker +\| .*partition 0 taken")
    up.read_until(r"^ingest +\| .*connected")
    assert up.output.startswith("tickplant | starting; the page will be at http://127.0.0.1:")
    address = up.read_until(r"^tickplant \| ready: (\S+)/ is the page")[1]
    wait_until(lambda: has_price(address))
    for name in ("worker", "ingest", "api"):
        os.kill(up.role(name), SIGKILL)
        up.read_until(rf"^{name} +\| was terminated by SIGKILL; restarting it in")
    for name, started in (("worker", "metrics at"), ("ingest", "connected"), ("api", "serving on")):
        up.read_until(rf"(?s:^{name} +\| was terminated by SIGKILL.*^{name} +\| [^\n]*{started})")
    up.send(SIGINT)
    assert up.wait() == 0, up.output
    stops = re.findall(r"(ingest|worker|api|sandbox) has stopped", up.output)
    assert stops == ["ingest", "worker", "api", "sandbox"]
    assert up.output.rstrip().endswith("tickplant | stopped")


@pytest.mark.parametrize("how", ["killed", "interrupted twice"])
def test_an_up_that_ends_at_once_leaves_nothing_behind(start_up: Start, capture: Path, how: str) -> None:
    up = start_up("--replay", str(capture))
    up.read_until(r"^ingest +\| .*connected")
    children = up.children()
    assert len(children) == 6
    if how == "killed":
        up.send(SIGKILL)
    else:
        up.send(SIGINT)
        up.read_until(r"^tickplant \| stopping; press Ctrl-C again to stop at once$")
        up.send(SIGINT)
    assert up.wait() in (-SIGKILL, 128 + SIGINT)
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in children))


MOMENTS = (
    None,
    r"^tickplant \| starting",
    r"^redis +\| ",
    "initdb",
    r"^postgres +\| ran migration",
    r"^worker +\| .*partition 0 taken",
    "stopping",
)
NEEDS_NEW_DATA = ("initdb", r"^postgres +\| ran migration")
"""At these moments the database is made, which costs as much as the rest."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_leaves_no_process_and_prints_no_traceback(
    server_folder: Path, data: Path, capture: Path, moment: str | None
) -> None:
    new = moment in NEEDS_NEW_DATA
    data = server_folder / "interrupted up" if new else data
    up = Up(data, "--replay", str(capture))
    try:
        if moment == "initdb":
            wait_until(lambda: any(data.glob("**/data.new")))
        elif moment == "stopping":
            up.read_until(MOMENTS[1] or "")
            up.send(SIGTERM)
            up.read_until("stopping; press Ctrl-C again")
        elif moment is not None:
            up.read_until(moment)
        up.send(SIGINT)
        assert up.wait() in (0, -SIGINT, 128 + SIGINT), up.output
        assert "Traceback" not in up.output
        assert "Exception" not in up.output
        wait_until(lambda: not any(str(data) in command_line(pid) for pid in all_processes()))
    finally:
        up.close()
        if new:
            shutil.rmtree(data, ignore_errors=True)


def all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def test_verify_runs_against_the_sandbox_whose_address_is_reported(start_up: Start, capture: Path) -> None:
    up = start_up("--replay", str(capture), "--speed", "max")
    name, url = up.read_until(r"(TICKPLANT_BINANCE_REST_URL)=(http://127\.0\.0\.1:\d+/binance)$").groups()
    up.read_until(r"replayed and committed")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "tickplant", "verify", "binance:LTCUSDT", "--data", str(up.data)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **SERVERS, name: url},
        cwd="/",
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"\d+ matched, 0 differing", ended.stdout)


def test_the_folder_counts_as_used_until_it_is_stopped(start_up: Start, capture: Path) -> None:
    up = start_up("--replay", str(capture))
    up.read_until(r"^ingest +\| .*connected")
    locks = [up.data / name / "lock" for name in ("redis", "postgres")]
    for lock in locks:
        os.utime(lock, (1, 1))
    up.send(SIGINT)
    assert up.wait() == 0, up.output
    assert all(lock.stat().st_mtime > 1 for lock in locks)


def test_up_stops_when_its_output_is_closed(start_up: Start, capture: Path) -> None:
    up = start_up("--replay", str(capture))
    up.read_until(r"^ingest +\| .*connected")
    up.stop_reading()
    os.kill(up.role("ingest"), SIGKILL)  # its restart would be logged
    assert up.wait() == 0


def test_with_logs_in_json_every_line_is_an_object_that_names_its_process(
    start_up: Start, capture: Path
) -> None:
    up = start_up("--replay", str(capture), TICKPLANT_LOG_FORMAT="json")
    up.read_until(r'"message":"partition 0 taken')
    up.read_until(r'"message":"serving on')
    up.read_until(r"connected, subscribed symbols: 1.*\n")
    up.send(SIGINT)
    assert up.wait() == 0, up.output
    lines = [json.loads(line) for line in up.output.splitlines()]
    processes = {"tickplant", "redis", "postgres", "sandbox", "api", "worker", "ingest"}
    assert {line["process"] for line in lines} == processes
    connected = next(line for line in lines if "connected, subscribed symbols: 1" in line["message"])
    assert (connected["venue"], connected["level"]) == ("binance", "info")
    assert connected["connection"].startswith("binance/")


def test_with_logs_in_json_the_summary_of_a_replay_is_lines_of_json(replayed: Up) -> None:
    lines = [json.loads(line) for line in replayed.output.splitlines()]
    (row,) = (line for line in lines if "captured" in line)
    assert (row["symbol"], row["captured"], row["stored"]) == ("binance:LTCUSDT", 1_200, 1_200)
    assert any("1,200 trades replayed and committed" in line["message"] for line in lines)


def test_a_taken_data_folder_is_refused(start_up: Start, capture: Path) -> None:
    first = start_up("--replay", str(capture))
    first.read_until(r"^ingest +\| .*connected")
    second = start_up("--replay", str(capture))
    assert second.wait() == 1
    in_use = r"up data/redis is in use by process \d+: stop that process"
    assert re.search(in_use, second.output), second.output


def test_grpc_is_served_if_it_is_asked_for(start_up: Start, capture: Path) -> None:
    port = free_port()
    up = start_up("--replay", str(capture), "--speed", "60", "--grpc", TICKPLANT_GRPC_PORT=str(port))
    up.read_until(rf"^tickplant \| gRPC will be at 127.0.0.1:{port}$")
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        market: Any = MarketDataStub(channel)
        for response in market.StreamTrades(
            StreamTradesRequest(symbols=["binance:LTCUSDT"]), wait_for_ready=True, timeout=90
        ):
            if response.trades:
                break
    assert response.trades[0].price == "61000.10"
    up.send(SIGINT)
    assert up.wait() == 0, up.output
    assert re.search(r"^grpc .*grpc has stopped$", up.output, re.MULTILINE), up.output


def test_grpc_at_a_port_that_is_taken_is_refused_at_once(start_up: Start, capture: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        up = start_up("--replay", str(capture), "--grpc", TICKPLANT_GRPC_PORT=str(port))
        assert up.wait() == 1, up.output
    assert "choose another TICKPLANT_GRPC_PORT" in up.output
