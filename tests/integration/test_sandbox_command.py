"""`tickplant sandbox` as a process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from sandbox.binance.frames import encode_payload
from sandbox.faults import Fault

COMMAND = (sys.executable, "-m", "tickplant", "sandbox")


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        (*COMMAND, *arguments), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=60)[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def refused(*arguments: str, cwd: Path, code: int = 2) -> str:
    done = subprocess.run(
        (*COMMAND, *arguments), cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert not done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def capture(folder: Path, *extra: str) -> Path:
    lines = [
        encode_payload(
            "BTCUSDT", number, "1.0", "2.0", 1_723_161_255_000, 1_723_161_255_000, buyer_is_maker=True
        )
        for number in (5, 6, 9)
    ]
    path = folder / "capture.jsonl"
    path.write_text("\n".join((*lines, *extra)))
    return path


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_addresses_serves_and_ends_on_a_signal(tmp_path: Path, stop: signal.Signals) -> None:
    path = capture(tmp_path, "broken")
    with started("--capture", str(path), "--hold", "--speed", "max", cwd=tmp_path) as (process, ready):
        assert ready["symbols"] == ["binance:BTCUSDT"]
        assert ready["ws_url"].replace("ws:", "http:") == ready["rest_url"]
        status = get(ready["rest_url"] + "/sandbox/status")
        assert (status["state"], status["total"]) == ("waiting", 3)
        assert status["symbols"]["binance:BTCUSDT"] == {"trades": 3, "last_trade_id": 9, "sent": 0}
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not out
        assert f"skipped {path}, line 4: " in err


def test_it_makes_trades_up_without_a_capture(tmp_path: Path) -> None:
    with started("--symbols", "binance:BTCUSDT", "binance:ETHUSDT", cwd=tmp_path) as (_, ready):
        assert ready["symbols"] == ["binance:BTCUSDT", "binance:ETHUSDT"]
        assert get(ready["rest_url"] + "/sandbox/status")["total"] is None
    with started("--symbol-count", "4", "--count", "100", "--hold", cwd=tmp_path) as (_, ready):
        assert len(ready["symbols"]) == 4
        assert get(ready["rest_url"] + "/sandbox/status")["total"] == 100


def test_it_speaks_for_every_venue_at_once(tmp_path: Path) -> None:
    symbols = ["binance:BTCUSDT", "coinbase:BTC-USD", "kraken:BTC/USD", "finnhub:AAPL"]
    with started("--symbols", *symbols, "--count", "402", "--hold", cwd=tmp_path) as (_, ready):
        assert ready["symbols"] == symbols
        root = ready["rest_url"]
        assert ready["venues"] == {
            name: {"ws_url": f"{ready['ws_url']}/{name}", "rest_url": f"{root}/{name}"}
            for name in ("binance", "coinbase", "kraken", "finnhub")
        }
        status = get(f"{root}/sandbox/status")
        assert (status["state"], status["total"]) == ("waiting", 402)
        assert {symbol["trades"] for symbol in status["symbols"].values()} == {100, 101}
        assert status["symbols"]["finnhub:AAPL"]["last_trade_id"] is None
        assert get(f"{root}/coinbase/products/BTC-USD")["id"] == "BTC-USD"


def test_its_help_names_every_fault(tmp_path: Path) -> None:
    done = subprocess.run((*COMMAND, "--help"), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not [fault for fault in Fault if fault not in done.stdout]


def test_it_lets_things_go_wrong_switches_history_off_and_bans(tmp_path: Path) -> None:
    arguments = [
        *("--symbols", "kraken:BTC/USD", "binance:BTCUSDT", "--count", "100", "--hold", "--no-history"),
        *("--faults", "5", "--fault", "rest-5xx=0.5", "lost", "--fault-rate", "2"),
        *("--limits", "kraken:connects=1,ban_s=60", "kraken:connects_window_s=60"),
    ]
    with started(*arguments, cwd=tmp_path) as (_, ready):
        url = ready["venues"]["kraken"]["rest_url"] + "/0/public/Time"
        with pytest.raises(HTTPError) as failed:
            get(url)
        failed.value.close()
        assert failed.value.code >= 500
        status = get(ready["rest_url"] + "/sandbox/status")
        assert status["faults"] == {"rest-5xx": 1}
        assert status["venues"]["binance"]["faults"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--capture", "nowhere"), "--capture: there is no nowhere"),
        (("--capture", ".", "--rate", "5"), "--rate configures generated trades"),
        (("--all-frames",), "--all-frames needs --capture"),
        (("--speed", "2"), "--speed needs a tape"),
        (("--speed", "fast", "--count", "5"), "'fast' is not a number"),
        (("--speed", "0", "--count", "5"), "'0' is not a number above zero"),
        (("--count", "-5"), "'-5' is not a whole number"),
        (("--symbols", "BTCUSDT"), "not of the form venue:SYMBOL"),
        (("--symbols", "nowhere:BTCUSDT"), "symbols such as binance:BTCUSDT, coinbase:BTC-USD"),
        (("--symbols", "coinbase:BTCUSD"), "symbols such as coinbase:BTC-USD"),
        (("--fault", "lost"), "--fault needs --faults SEED"),
        (("--fault-rate", "2"), "--fault-rate needs --faults SEED"),
        (("--faults", "1", "--fault", "wet"), "there is no such fault; there are lost, duplicated"),
        (("--faults", "1", "--fault", "lost=2"), "a chance is a number from 0 to 1"),
        (("--no-history", "500"), "invalid choice"),
        (("--limits", "nowhere:connects=1"), "there is no such venue; there are binance, coinbase"),
        (("--limits", "kraken:speed=1"), "there is no limit 'speed'; there are messages_per_s"),
        (("--limits", "kraken:connects=many"), "--limits kraken:connects=many: Expected `int`"),
        (("--symbols", "binance:btcusdt"), "symbols such as binance:BTCUSDT"),
    ],
)
def test_impossible_options_are_refused_with_a_plain_message(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(*arguments, cwd=tmp_path)


def test_a_port_in_use_is_refused_with_a_plain_message(tmp_path: Path) -> None:
    with started(cwd=tmp_path) as (_, ready):
        port = ready["rest_url"].rpartition(":")[2]
        assert f"can't listen on 127.0.0.1:{port}" in refused("--port", port, cwd=tmp_path, code=1)
