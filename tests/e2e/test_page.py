"""The page in a real browser."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from api_plant import BTC, ETH, T0, Plant, candle, gap, live, running_plant, trade, update
from browser import browser, needs_chromium
from conftest import OwnRedis, on_one_variant
from keyed import new_key
from msgspec.structs import replace

from api.chart_library import ChartLibraryError
from api.open_services import AccessSettings
from api.routes import page_files
from tickplant.clock import now_us
from tickplant.intervals import MINUTE_US
from tickplant.local.folder import free_port
from tickplant.market import SymbolId
from tickplant.wire import ConnectionStatus

ODD: Final = SymbolId("kraken", "A%2F/B&C:'<b>")
pytestmark = [on_one_variant, needs_chromium]

LIVE: Final = "['live', 'slow'].includes(document.querySelector('#connection').className)"
NAME: Final = "document.querySelector('#symbol-name').textContent"
OFFERED: Final = (
    "[...document.querySelectorAll('#alert-notify-tags option')].map(({value}) => value).join(' ')"
)
"""The tags that the form of an alert offers."""
PIXELS: Final = """(() => {
  const canvas = document.querySelector('#chart canvas');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue] = data.slice(at, at + 3);
    if (Math.abs(red - green) > 60 || Math.abs(green - blue) > 60) count++;
  }
  return count;
})()"""
"""How many pixels of the chart have a colour: candles and lines."""


_NAMED_ROLES: Final = (
    *("button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "switch"),
    *("tab", "tablist", "tabpanel", "dialog", "option", "listbox", "group", "columnheader", "rowheader"),
)
"""Roles that say nothing to a screen reader's user without a name."""
_RECORD_SPOKEN: Final = """
window.spoken = [];
new MutationObserver((changes) => {
  for (const {target} of changes) {
    const region = target.parentElement && (target.closest ?? target.parentElement.closest).call(
      target.closest ? target : target.parentElement, '[role=status], [role=alert], [aria-live]');
    if (region && region.textContent.trim()) window.spoken.push(region.textContent);
  }
}).observe(document, {subtree: true, childList: true, characterData: true});
"""
_HOLD_ALERTS: Final = """
const send = window.fetch, held = new Promise((done) => { window.letAlertsCome = done; });
window.fetch = async (url, ...rest) => {
  if (String(url).includes('/alerts?')) await held;
  return send(url, ...rest);
};
"""
"""The list of alerts comes when the test lets it."""
_HURRY: Final = """
const later = window.setInterval;
window.setInterval = (action, ms) => later(action, ms === 30_000 ? 500 : ms);
"""
"""What the page reads every 30 seconds it reads twice a second."""


CUT_OFF = """[
  ...[...document.querySelectorAll('#overview-body td :is(b, small)')].filter(
    (node) => node.scrollWidth > node.clientWidth),
  ...[...document.querySelectorAll('#overview-head button')].filter((node) => {
    const cell = node.closest('th'), box = node.getBoundingClientRect();
    const {left, right} = cell.getBoundingClientRect();
    return box.left < left || box.right > right - parseFloat(getComputedStyle(cell).paddingRight) + 1;
  }),
].map((node) => node.textContent)"""
"""Texts of the market table that are wider than their place."""


def text(node: str) -> str:
    return f"document.querySelector('{node}').textContent"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(
        redis_url, database_url, symbols=[BTC, ETH, ODD], notify_tags=["ops", "me"]
    ) as running:
        minutes = [
            trade(number, at_us=T0 + number * MINUTE_US, price=f"618{37 + number % 7}.{number % 10}5000000")
            for number in range(40)
        ]
        await running.store(*minutes)
        await running.store(trade(1, symbol=ODD, price="0.00000812"))
        await live(running)
        yield running


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_draws_without_errors_and_nothing_moves(
    plant: Plant, tmp_path: Path, width: int
) -> None:
    async with browser(tmp_path, width) as tab:
        await tab.open(plant.address)
        await tab.until(LIVE)
        await tab.until(f"{PIXELS} > 100")
        await tab.until(f"{text('#legend')}.includes('61,841.95')")
        await tab.until("document.querySelectorAll('#overview-body .name').length === 2")
        await tab.until(f"{text('#tape-body tr')}.startsWith('61,841.95')")
        await plant.publish(update(trade(41, price="61850.12", at_us=T0 + 39 * MINUTE_US)))
        await tab.until(f"{text('#price')} === '61,850.12'")
        assert await tab.run("layoutShift") < 0.01
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.errors == []


@pytest.mark.parametrize("width", [1280, 1100, 390, 320])
async def test_no_number_of_the_market_table_is_cut_off(plant: Plant, tmp_path: Path, width: int) -> None:
    async with browser(tmp_path, width) as tab:
        await tab.open(plant.address)
        await tab.until(f"{LIVE} && {text('#overview-body')}.includes('61,841.95')")
        for column in ("symbol", "percent", "quote_volume", "missing"):
            header = f"document.querySelector('#overview-head [value={column}]')"
            await tab.run(f"{header}.click()")
            await tab.until(f"{header}.closest('th').ariaSort !== 'none'")
            assert await tab.run(CUT_OFF) == []


async def test_live_candles_are_drawn_and_late_corrections_come_in_place(
    plant: Plant, tmp_path: Path
) -> None:
    async with browser(tmp_path, 1280) as tab:
        await tab.open(plant.address)
        await tab.until(f"{LIVE} && {PIXELS} > 100")
        await tab.until(f"{text('#legend')}.includes('00:33')")
        await plant.publish(update(candles=[candle(40, count=2)]))
        await tab.until(f"{text('#legend')}.includes('00:34 UTC') && {text('#legend')}.includes('open')")
        await plant.publish(update(candles=[replace(candle(40, count=3, closed=True), complete=False)]))
        await tab.until(f"{text('#legend')}.includes('may lack trades')")
        await plant.publish(update(candles=[candle(39, count=7, closed=True, revision=2)]))
        await tab.run("document.querySelector('#chart').focus()")
        await tab.press("ArrowLeft", "ArrowLeft")
        await tab.until(f"{text('#legend')}.includes('complete, 2 late trades added')")
        await tab.press("ArrowRight", "ArrowLeft")  # what a key leads to is spoken, as it is then
        await tab.until(f"{text('#spoken')}.includes('Trades 7')")  # for screen readers
        assert tab.errors == []


async def test_the_page_follows_its_address(plant: Plant, tmp_path: Path) -> None:
    async with browser(tmp_path, 1280) as tab:
        for odd in ("", "#%", "#nosuch/1m", "#binance:BTCUSDT/constructor", "#/"):
            await tab.open(f"{plant.address}/{odd}")
            await tab.until(LIVE)
            await tab.until("location.hash === '#binance:BTCUSDT/1m'")
        await tab.run("location.hash = '#binance:BTCUSDT/5m?tab=bot&log=1&zone=local&theme=light&ma=ema12'")
        await tab.until("document.querySelector('#intervals [value=\"5m\"]').ariaPressed === 'true'")
        await tab.until("document.querySelector('#log').ariaPressed === 'true'")
        assert await tab.run(f"{text('#zone')} + document.documentElement.dataset.theme") == "Locallight"
        assert not await tab.run("document.querySelector('#panel-bot').hidden")
        await tab.run("location.hash = '#binance:BTCUSDT/1M'")
        await tab.until("document.querySelector('#more-intervals').value === '1M'")
        await tab.until(f"{text('#legend')}.includes('2024-08-01')")
        await tab.run("location.hash = '#binance:BTCUSDT/5m'")
        await tab.run("location.hash = '#nosuch/1m'")
        await tab.until(f"{text('#notice')}.endsWith('nosuch')")
        await tab.until("location.hash.startsWith('#binance:BTCUSDT/5m')")
        await tab.run(f"location.hash = {json.dumps('#kraken:A%252F/B%26C:%27%3Cb%3E/1h')}")
        await tab.until(f"{NAME} === {json.dumps(ODD.symbol)} && {text('#price')} === '0.00000812'")
        address = await tab.run("location.href")
        await tab.run("history.back()")
        await tab.until(f"{NAME} === 'BTCUSDT'")
        await tab.open(address)
        await tab.until(f"{NAME} === {json.dumps(ODD.symbol)}")
        await tab.until("document.querySelector('#intervals [value=\"1h\"]').ariaPressed === 'true'")
        assert tab.errors == []


async def test_symbols_are_found_by_keyboard(plant: Plant, tmp_path: Path) -> None:
    async with browser(tmp_path, 1280) as tab:
        await tab.open(plant.address)
        await tab.until(f"{LIVE} && {NAME} === 'BTCUSDT'")
        await tab.press("/")
        await tab.until("document.activeElement.id === 'search-input'")
        await tab.press("k", "r", "a", "Enter")
        await tab.until(f"{NAME} === {json.dumps(ODD.symbol)}")
        await tab.press("5")
        await tab.until("location.hash.endsWith('/1h')")
        await tab.press("/", "e", "t", "h", "ArrowDown", "Enter")
        await tab.until(f"{NAME} === 'ETHUSDT'")
        await tab.until(f"{text('#chart-message')} === 'No candles yet'")
        assert tab.errors == []


async def test_symbols_that_have_come_later_are_found(plant: Plant, tmp_path: Path) -> None:
    later = SymbolId("kraken", "SOL/USD")
    async with browser(tmp_path, 1280) as tab:
        await tab.send("Page.addScriptToEvaluateOnNewDocument", source=_HURRY)
        await tab.open(plant.address)
        await tab.until(LIVE)
        await plant.store(trade(1, symbol=later, price="140.00"))
        await tab.until(f"document.querySelectorAll('#overview-body [data-symbol=\"{later}\"]').length")
        await tab.press("/", "s", "o", "l", "Enter")
        await tab.until(f"{text('#price')} === '140'")
        await tab.until(f"{text('#tape-body td')} === '140'")
        assert tab.errors == []


async def test_screen_readers_get_names_and_are_told_of_changes_of_state_only(
    plant: Plant, tmp_path: Path
) -> None:
    async with browser(tmp_path, 1280) as tab:
        await tab.send("Page.addScriptToEvaluateOnNewDocument", source=_RECORD_SPOKEN)
        await tab.open(plant.address)
        await tab.until(f"{LIVE} && {PIXELS} > 100 && {text('#latency')} !== ''")
        await tab.run("spoken.length = 0")
        for number in range(41, 51):
            await plant.publish(
                update(trade(number, price=f"619{number}.00"), candles=[candle(40, count=number)])
            )
            await tab.until(f"{text('#price')} === '61,9{number}.00'")
        assert await tab.run("spoken") == []
        for opened in ("", "#alert-new", "#averages", "#help", "#symbol"):
            if opened:
                await tab.run(f"document.querySelector('{opened}').click()")
            nodes = (await tab.send("Accessibility.getFullAXTree"))["nodes"]
            found = [
                (node["role"]["value"], node["name"]["value"], node.get("nodeId"))
                for node in nodes
                if not node["ignored"] and node["role"]["value"] in _NAMED_ROLES
            ]
            assert len(found) >= 2
            assert [node for node in found if not node[1].strip()] == []
            await tab.run("for (const dialog of document.querySelectorAll('dialog')) dialog.close()")
        reason = "no route to host"
        await plant.report(ConnectionStatus("binance/x", "binance", ("BTCUSDT",), "down", now_us(), reason))
        await tab.until("spoken.some((each) => each.includes('no route to host'))")
        assert await tab.run("spoken.filter((each) => each.includes('no route')).length") == 1
        assert tab.errors == []


async def test_what_is_missing_is_counted(plant: Plant, tmp_path: Path) -> None:
    async with browser(tmp_path, 1280) as tab:
        await tab.open(plant.address)
        await tab.until(f"{text('#gaps')} === 'none'")
        await plant.publish(update(gaps=[gap(1, 1363)]))
        await tab.until(f"{text('#gaps')} === '1,363 trades'")
        await plant.publish(update(gaps=[gap(1, 1363, state="healed"), gap(5, 5)]))
        await tab.until(f"{text('#gaps')} === '1 trade'")
        await tab.until(f"{text('#completeness')}.endsWith('%')")
        assert tab.errors == []


async def test_a_venue_that_is_down_is_told_with_the_reason(plant: Plant, tmp_path: Path) -> None:
    status = ConnectionStatus("binance/x/0", "binance", ("BTCUSDT",), "down", now_us(), "no route to host")
    async with browser(tmp_path, 390) as tab:
        await tab.open(plant.address)
        await tab.until(LIVE)
        await plant.report(status)
        await tab.until(f"{text('#banner')}.includes('binance has been down since')")
        assert "no route to host" in await tab.run(text("#banner"))
        await tab.until("document.querySelector('#price').classList.contains('stale')")
        assert await tab.run("document.querySelector('#connection').className") == "down"
        await plant.report(replace(status, state="live", reason=""))
        await tab.until(f"{LIVE} && {text('#banner')} === ''")
        await tab.until(f"{text('#stale')}.startsWith('no trade for')")  # it is of 2024
        await plant.publish(update(trade(41, price="61850.12")))
        await tab.until("!document.querySelector('#price').classList.contains('stale')")
        assert tab.errors == []


async def test_an_api_that_restarts_is_found_again(redis_url: str, database_url: str, tmp_path: Path) -> None:
    async with browser(tmp_path, 1280) as tab:
        port = free_port()
        async with running_plant(redis_url, database_url, symbols=[BTC], port=port) as plant:
            await plant.store(trade(1))
            await live(plant)
            await tab.open(plant.address)
            await tab.until(f"{LIVE} && {text('#price')} === '61,837.63'")
            await plant.publish(update(trade(2, price="61900.00"), entry="2-0"))
            await tab.until(f"{text('#price')} === '61,900.00'")
        await tab.until(f"{text('#banner')}.startsWith('Reconnecting')")
        await tab.until("document.querySelector('#price').classList.contains('stale')")
        async with running_plant(redis_url, database_url, symbols=[BTC], port=port) as again:
            await live(again)
            await again.publish(update(trade(3, price="61950.00"), entry="3-0", candles=[candle(1, count=2)]))
            await tab.until(f"{LIVE} && {text('#price')} === '61,950.00' && {text('#banner')} === ''")
            await tab.until(f"{text('#legend')}.includes('23:55 UTC')")
            tape = "[...document.querySelectorAll('#tape-body tr')].map((row) => row.innerText)"
            newest = f"{tape}.slice(0, 2).map((row) => row.split(/\\s/)[0]).join(' ')"
            await tab.until(f"{newest} === '61,950.00 61,900.00'")  # none lost, none twice
            refused = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "WebSocket connection")
            assert [error for error in tab.errors if not any(each in error for each in refused)] == []


async def test_a_dead_redis_is_told_and_survived(
    own_redis: OwnRedis, database_url: str, tmp_path: Path
) -> None:
    server = await own_redis()
    async with running_plant(server.url, database_url, symbols=[BTC]) as plant:
        await plant.store(trade(1))
        await live(plant)
        async with browser(tmp_path, 1280) as tab:
            await tab.open(plant.address)
            await tab.until(LIVE)
            await server.stop()
            await tab.until(f"{text('#banner')}.includes('Redis is unavailable')")
            await tab.until("document.querySelector('#price').classList.contains('stale')")
            await server.start()
            await tab.until(f"{LIVE} && {text('#banner')} === ''")
            await plant.publish(update(trade(2, price="61900.00"), entry="2-0"))
            await tab.until(f"{text('#price')} === '61,900.00'")
            errors = [
                error for error in tab.errors if "503" not in error
            ]  # the browser logs refused requests
            assert errors == []


async def test_an_empty_plant_is_waited_for(redis_url: str, database_url: str, tmp_path: Path) -> None:
    async with running_plant(redis_url, database_url, symbols=[]) as plant, browser(tmp_path, 390) as tab:
        await tab.open(plant.address)
        await tab.until(f"{text('#connection-text')}.startsWith('no symbols yet')")
        await tab.run("for (const button of document.querySelectorAll('#intervals button')) button.click()")
        await plant.store(trade(1))
        await tab.until(f"{LIVE} && {NAME} === 'BTCUSDT'")
        assert tab.errors == []


async def test_without_the_chart_library_the_rest_works(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> bytes:
        raise ChartLibraryError("lwcharts is not installed; run `make setup`")

    monkeypatch.setattr(page_files, "read_chart_library", missing)
    async with browser(tmp_path, 1280) as tab:
        await tab.open(plant.address)
        await tab.until(
            f"{text('#chart-message')} === 'No chart: lwcharts is not installed; run `make setup`'"
        )
        await tab.until(f"{LIVE} && {text('#price')} === '61,841.95'")
        await tab.until(f"{text('#tape-body tr')}.startsWith('61,841.95')")
        assert [error for error in tab.errors if "lightweight-charts.js" not in error] == []


async def test_the_page_asks_for_a_key_and_uses_it(redis_url: str, database_url: str, tmp_path: Path) -> None:
    key = await new_key(database_url, "read")
    outside = AccessSettings(host="0.0.0.0", poll_s=0.05)
    async with (
        running_plant(redis_url, database_url, symbols=[BTC], access=outside) as plant,
        browser(tmp_path, 390) as tab,
    ):
        await plant.store(trade(1))
        await live(plant)
        await tab.open(plant.address)
        await tab.until("document.querySelector('#key-dialog').open")
        assert await tab.run(text("#key-error")) == ""
        await tab.run("document.querySelector('#key-input').value = 'tp_wrong'")
        await tab.run("document.querySelector('#key-form').requestSubmit()")
        await tab.until(f"document.querySelector('#key-dialog').open && {text('#key-error')} !== ''")
        await tab.run(f"document.querySelector('#key-input').value = {json.dumps(key.text)}")
        await tab.run("document.querySelector('#key-form').requestSubmit()")
        await tab.until(f"{LIVE} && {text('#price')} === '61,837.63'")
        await tab.until(f"{text('#legend')}.includes('61,837.63')")
        assert not await tab.run("document.querySelector('#key-dialog').open")
        assert key.text not in await tab.run("location.href")


async def test_where_reading_needs_no_key_the_page_asks_only_for_a_change(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    public = AccessSettings(host="0.0.0.0", public="read")
    async with (
        running_plant(redis_url, database_url, symbols=[BTC], access=public) as plant,
        browser(tmp_path, 390) as tab,
    ):
        await plant.store(trade(1))
        await live(plant)
        await tab.open(f"{plant.address}/#binance:BTCUSDT/1m?tab=alerts")
        await tab.until(f"{LIVE} && {text('#price')} === '61,837.63'")
        await tab.until(f"{text('#alert-empty')}.includes('needs an API key')")
        assert not await tab.run("document.querySelector('#key-dialog').open")
        await tab.press("a")
        await tab.until("document.querySelector('#alert-price').value === '61837.63'")
        await tab.run("document.querySelector('#alert-form').requestSubmit()")
        await tab.until("document.querySelector('#key-dialog').open")


async def test_alerts_are_made_edited_silenced_and_deleted(plant: Plant, tmp_path: Path) -> None:
    async def alerts() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await plant.get("/api/v1/alerts"))["alerts"]
        return found

    async with browser(tmp_path, 1280) as tab:
        await tab.open(f"{plant.address}/#binance:BTCUSDT/1m?tab=alerts")
        await tab.until(f"{LIVE} && {text('#price')} === '61,841.95'")
        await tab.press("a")
        await tab.until("document.querySelector('#alert-price').value === '61841.95'")
        await tab.run("document.querySelector('#alert-price').value = '-5'")
        await tab.run("document.querySelector('#alert-form').requestSubmit()")
        await tab.until(f"{text('#alert-error')}.includes('above 0')")
        await tab.run("document.querySelector('#alert-price').value = '62,000.50'")
        await tab.run("document.querySelector('#alert-note').value = '<b>half</b>'")
        await tab.until(f"{OFFERED} === 'ops me'")
        await tab.run("document.querySelector('#alert-notify').value = 'desk'")
        await tab.run("document.querySelector('#alert-form').requestSubmit()")
        await tab.until(f"{text('#alert-error')}.includes('has the tag desk; tags are ops, me')")
        await tab.run("document.querySelector('#alert-notify').value = 'me, ops'")
        await tab.run("document.querySelector('#alert-form').requestSubmit()")
        await tab.until(f"{text('#alert-list')}.includes('Price crosses above 62,000.5')")
        await tab.until(f"{text('#alert-list')}.includes('notifies me, ops')")
        (made,) = await alerts()
        assert (made["price"], made["note"], made["notify"]) == ("62000.50", "<b>half</b>", ["me", "ops"])
        await tab.run("document.querySelectorAll('#alert-list .actions button')[1].click()")
        await tab.until("document.querySelector('#alert-dialog').open")
        await tab.run("document.querySelector('#alert-price').value = '63000'")
        await tab.run("document.querySelector('#alert-form').requestSubmit()")
        await tab.until(f"{text('#alert-list')}.includes('63,000')")
        await tab.run("document.querySelector('#alert-list .actions button').click()")
        async with asyncio.timeout(10):
            while (await alerts())[0]["active"]:  # noqa: ASYNC110 - a condition of the API's
                await asyncio.sleep(0.05)
        await tab.run("document.querySelectorAll('#alert-list .actions button')[2].click()")
        await tab.until("document.querySelectorAll('#alert-list li').length === 0")
        assert await alerts() == []
        refused = ("400", "409")  # the browser logs these answers
        assert [error for error in tab.errors if not any(each in error for each in refused)] == []


async def test_tags_that_come_while_an_alert_is_written_are_offered(plant: Plant, tmp_path: Path) -> None:
    async with browser(tmp_path, 1280) as tab:
        await tab.send("Page.addScriptToEvaluateOnNewDocument", source=_HOLD_ALERTS)
        await tab.open(f"{plant.address}/#binance:BTCUSDT/1m?tab=alerts")
        await tab.until(f"{LIVE} && {text('#price')} === '61,841.95'")
        await tab.press("a")
        await tab.until("document.querySelector('#alert-dialog').open")
        assert await tab.run("document.querySelector('#alert-notify-row').hidden")
        await tab.run("letAlertsCome()")
        await tab.until(f"{OFFERED} === 'ops me'")
        assert not await tab.run("document.querySelector('#alert-notify-row').hidden")
        assert tab.errors == []


async def test_csv_has_the_candles_in_view_as_stored(plant: Plant, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    async with browser(tmp_path / "profile", 1280) as tab:
        await tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        await tab.open(plant.address)
        await tab.until(f"{LIVE} && {PIXELS} > 100")
        await tab.press("c")
        async with asyncio.timeout(20):
            while not (files := list(folder.glob("*.csv"))):  # noqa: ASYNC110 - the browser writes it
                await asyncio.sleep(0.05)
        lines = files[0].read_text().split()
    candles = (await plant.get("/api/v1/ohlcv/BTCUSDT"))["candles"]
    columns = lines[0].split(",")
    assert len(lines) == len(candles) + 1
    for line, stored in zip(lines[1:], candles, strict=True):
        shown = dict(zip(columns, line.split(","), strict=True))
        assert all(shown[name] == stored[name] for name in ("open_time", "open", "close", "volume", "vwap"))


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
        await tab.open(f"{plant.address}/docs")
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
