"""The page in a real browser: Chromium, driven over its debugging protocol."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from api_plant import BTC, Plant, gap, live, running_plant, trade, update
from conftest import on_one_variant
from websockets.asyncio.client import ClientConnection, connect

from tickplant.market import SymbolId

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
ODD: Final = SymbolId("kraken", "A%2F/B&C:'<b>")
pytestmark = [on_one_variant, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")]


class Browser:
    """One tab, and what went wrong in it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.errors: list[str] = []

    async def send(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._connection.recv())
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"]["exceptionDetails"]))
            if message.get("id") == number:
                return message.get("result")

    async def run(self, script: str) -> Any:
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True)
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a condition holds on the page."""
        async with asyncio.timeout(30):
            while not await self.run(script):  # noqa: ASYNC110 - a condition of the page's
                await asyncio.sleep(0.05)


@asynccontextmanager
async def browser(folder: Path, width: int) -> AsyncIterator[Browser]:
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"),
        *(f"--user-data-dir={folder}", "about:blank"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port_file = folder / "DevToolsActivePort"
        async with asyncio.timeout(60):
            while not port_file.exists() or port_file.read_text().count("\n") < 1:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)  # Chromium writes it once it listens
        port, path = port_file.read_text().splitlines()
        async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as root:
            target = (await Browser(root).send("Target.createTarget", url="about:blank"))["targetId"]
        url = f"ws://127.0.0.1:{port}/devtools/page/{target}"
        async with connect(url, max_size=None, proxy=None) as connection:
            tab = Browser(connection)
            await tab.send("Runtime.enable")
            await tab.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            yield tab
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=[BTC, ODD]) as running:
        await running.store(*(trade(number) for number in range(3)))
        await live(running)
        yield running


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_follows_its_address(plant: Plant, tmp_path: Path, width: int) -> None:
    async with browser(tmp_path, width) as tab:
        for odd in ("", "#%", "#nosuch/1m", "#binance:BTCUSDT/constructor", "#/"):
            await tab.send("Page.navigate", url="about:blank")
            await tab.send("Page.navigate", url=f"{plant.address}/{odd}")
            await tab.until("document.querySelector('#state').className === 'live'")
            assert await tab.run("location.hash") == "#binance:BTCUSDT/1m", odd
        await tab.run("location.hash = '#binance:BTCUSDT/5m'")
        await tab.until("state.interval === '5m' && document.querySelector('#state').className === 'live'")
        await tab.run("location.hash = '#nosuch/1m'")
        await tab.until("location.hash === '#binance:BTCUSDT/5m'")
        await tab.run(f"show({json.dumps(str(ODD))}, '1h')")
        await tab.until(f"state.symbol === {json.dumps(str(ODD))}")
        address = await tab.run("location.href")
        await tab.run("history.back()")
        await tab.until("state.symbol === 'binance:BTCUSDT' && $('symbol').value === state.symbol")
        await tab.send("Page.navigate", url="about:blank")
        await tab.send("Page.navigate", url=address)
        await tab.until(f"$('symbol').value === {json.dumps(str(ODD))} && state.interval === '1h'")
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.errors == []


async def test_the_page_counts_what_is_missing(plant: Plant, tmp_path: Path) -> None:
    async with browser(tmp_path, 1280) as tab:
        await tab.send("Page.navigate", url=plant.address)
        await tab.until("document.querySelector('#facts').textContent.includes('Gapsnone')")
        await plant.publish(update(gaps=[gap(1, 1363)]))
        await tab.until(
            "document.querySelector('#facts').textContent.includes('Gaps1 gap, 1,363 trades missing')"
        )
        await plant.publish(update(gaps=[gap(1, 1363, state="healed"), gap(5, 5)]))
        await tab.until("document.querySelector('#facts').textContent.includes('Gaps1 gap, 1 trade missing')")
        assert await tab.run("$('change').title.startsWith('since ')")
        assert tab.errors == []


async def test_an_empty_plant_is_waited_for(redis_url: str, database_url: str, tmp_path: Path) -> None:
    async with running_plant(redis_url, database_url, symbols=[]) as plant, browser(tmp_path, 390) as tab:
        await tab.send("Page.navigate", url=plant.address)
        await tab.until("document.querySelector('#state').textContent === 'no symbols yet'")
        await tab.run("for (const button of document.querySelectorAll('#intervals button')) button.click()")
        await plant.store(trade(1))
        await tab.until("document.querySelector('#state').className === 'live'")
        assert await tab.run("state.symbol") == str(BTC)
        assert tab.errors == []


SHOWN = """[...document.querySelectorAll('details summary')]
.map((it) => it.querySelector('b').textContent + ' ' + it.querySelector('code').textContent).join('\\n')"""
SEND = """(() => {
  const boxes = [...document.querySelectorAll('details')];
  const box = boxes.find((it) => it.querySelector('b').textContent === 'POST');
  box.open = true;
  box.querySelector('textarea').value = JSON.stringify({
    symbol: 'binance:BTCUSDT', kind: 'crosses_above', price: '62000'});
  box.querySelector('button').click();
})()"""


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_documentation_shows_and_sends_every_request(
    plant: Plant, tmp_path: Path, width: int
) -> None:
    async with browser(tmp_path, width) as tab:
        await tab.send("Page.navigate", url=f"{plant.address}/docs")
        await tab.until("document.querySelectorAll('details').length > 0")
        described = (await plant.get("/docs/openapi.json"))["paths"]
        requests = {
            f"{'WS' if '101' in operation['responses'] else method.upper()} {path}"
            for path, item in described.items()
            for method, operation in item.items()
            if method in ("get", "post", "put", "patch", "delete")
        }
        assert set((await tab.run(SHOWN)).split("\n")) == requests
        assert {line.split()[0] for line in requests} >= {"GET", "POST", "PATCH", "DELETE", "WS"}
        await tab.run(SEND)
        await tab.until("document.querySelector('details[open] pre').textContent.includes('201 Created')")
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.errors == []
