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
