"""What `tickplant up` says of its plan."""

import asyncio
from argparse import Namespace
from pathlib import Path

import pytest

from tickplant.cli.plan import make_plan
from tickplant.cli.terminal import Terminal
from tickplant.market import SymbolId
from tickplant.settings import Settings


def test_the_address_of_every_venue_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(
        symbols=(
            SymbolId("kraken", "BTC/USD"),
            SymbolId("binance", "BTCUSDT"),
            SymbolId("kraken", "ETH/USD"),
        ),
        binance_ws_url="ws://127.0.0.1:9",
        data=tmp_path,
        api_port=0,
    )
    asyncio.run(make_plan(Namespace(replay=None, demo=False, data=None, grpc=False), settings, Terminal()))
    assert "trades come from wss://ws.kraken.com, ws://127.0.0.1:9\n" in capsys.readouterr().out


def test_an_archive_has_a_process_except_for_trades_of_a_replay(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, api_port=0, archive_url=str(tmp_path))
    capture = tmp_path / "capture.ndjson"
    capture.touch()

    def names(**arguments: object) -> list[str]:
        given = {"replay": None, "demo": False, "data": None, "grpc": False} | arguments
        plan = asyncio.run(make_plan(Namespace(**given), settings, Terminal()))
        return [process.name for group in plan.processes({}) for process in group]

    assert names() == ["api", "archive", "worker", "ingest"]
    replay = {"replay": [capture], "into": None, "speed": None, "once": True}
    assert names(**replay) == ["api", "worker", "ingest"]
