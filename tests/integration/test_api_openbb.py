"""The backend of OpenBB Workspace, against its documented widgets.json and apps.json."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import pytest
from api_plant import BTC, ETH, T0, Plant, running_plant, trade
from conftest import on_one_variant
from keyed import new_key
from msgspec import Struct

from api.open_services import AccessSettings
from tickplant.intervals import CANDLE_INTERVALS, MINUTE_US
from tickplant.market import Gap

pytestmark = on_one_variant

ORIGIN = "https://pro.openbb.co"


class Documented(Struct, rename="camel", forbid_unknown_fields=True):
    """Members that OpenBB documents; a widget with another one is wrong."""


class Grid(Documented):
    w: int
    h: int


class Column(Documented):
    field: str
    header_name: str
    cell_data_type: Literal["text", "number", "boolean", "date", "dateString", "object"]
    chart_data_type: Literal["category", "series", "time", "excluded"]
    formatter_fn: Literal["int", "none", "percent", "normalized", "normalizedPercent", "dateToYear"] = "none"
    render_fn: Literal["greenRed", "titleCase", "columnColor", "showCellChange"] | None = None


class ChartView(Documented):
    enabled: bool
    chart_type: Literal["line", "column", "bar", "area"]
    cell_range_cols: dict[str, list[str]]


class Table(Documented):
    show_all: bool
    columns_defs: list[Column]
    chart_view: ChartView | None = None


class Data(Documented):
    table: Table | None = None
    default_symbol: str | None = None
    update_frequency: int | None = None


class Option(Documented):
    label: str
    value: str


class Parameter(Documented):
    param_name: str
    type: Literal["date", "text", "ticker", "number", "boolean", "endpoint", "form", "tabs"]
    label: str
    description: str
    value: str | int
    options_endpoint: str | None = None
    options: list[Option] = []


class Widget(Documented):
    name: str
    description: str
    category: str
    source: list[str]
    type: Literal["table", "advanced_charting"]
    endpoint: str
    grid_data: Grid
    data: Data
    params: list[Parameter] = []
    refetch_interval: int = 900_000


class Place(Documented):
    i: str
    x: int
    y: int
    w: int
    h: int


class Tab(Documented):
    id: str
    name: str
    layout: list[Place]


class App(Documented, rename={"allow_customization": "allowCustomization"}):
    name: str
    description: str
    img: str
    img_dark: str
    img_light: str
    allow_customization: bool
    tabs: dict[str, Tab]
    groups: list[dict[str, Any]]


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=[BTC, ETH], origins=[ORIGIN]) as running:
        await running.store(
            *(trade(n, at_us=T0 + n * MINUTE_US, price=f"6183{n}.63000000") for n in range(1, 6)),
        )
        yield running


async def widgets_of(plant: Plant) -> dict[str, Widget]:
    return msgspec.convert(await plant.get("/openbb/widgets.json"), dict[str, Widget])


async def test_widgets_have_only_documented_members(plant: Plant) -> None:
    widgets = await widgets_of(plant)
    assert list(widgets) == ["chart", "candles", "market", "gaps", "alerts"]
    assert all(widget.grid_data.w <= 40 and widget.grid_data.h <= 100 for widget in widgets.values())
    assert widgets["chart"].data.default_symbol == "binance:BTCUSDT"
    _, interval, _ = widgets["candles"].params
    assert [option.value for option in interval.options] == list(CANDLE_INTERVALS)


async def test_the_app_places_every_widget_and_none_over_another(plant: Plant) -> None:
    (app,) = msgspec.convert(await plant.get("/openbb/apps.json"), list[App])
    (tab,) = app.tabs.values()
    assert {place.i for place in tab.layout} == set(await widgets_of(plant))
    cells = [
        (x, y)
        for place in tab.layout
        for x in range(place.x, place.x + place.w)
        for y in range(place.y, place.y + place.h)
    ]
    assert len(cells) == len(set(cells))


async def test_tables_answer_with_the_columns_that_their_widgets_name(plant: Plant) -> None:
    await plant.store_gaps(Gap(*BTC, 7, 9, T0, T0 + 1, "open", "ours", None, 3))
    alert = {"symbol": "binance:BTCUSDT", "kind": "above", "price": "62000.50"}
    assert (await plant.http.post("/api/v1/alerts", json=alert)).status_code == 201
    for name, widget in (await widgets_of(plant)).items():
        if widget.data.table is None:
            continue
        defaults = {parameter.param_name: parameter.value for parameter in widget.params}
        rows = await plant.get(f"/openbb/{widget.endpoint}", **defaults)
        assert rows, name
        fields = [column.field for column in widget.data.table.columns_defs]
        for row in rows:
            assert list(row) == fields
            for column in widget.data.table.columns_defs:
                value = row[column.field]
                numeric = isinstance(value, int | float) and not isinstance(value, bool)
                assert value is None or numeric == (column.cell_data_type == "number"), column.field
        if widget.data.table.chart_view:
            assert set(widget.data.table.chart_view.cell_range_cols["line"]) < set(fields)


async def test_numbers_have_all_stored_digits(plant: Plant) -> None:
    answer = await plant.http.get("/openbb/candles?symbol=binance:BTCUSDT&interval=1m&limit=2")
    assert '"close":61835.63000000,' in answer.text
    first, second = answer.json()
    assert first["open_time"] < second["open_time"]


async def test_the_options_of_a_symbol_and_the_chart_s_datafeed(plant: Plant) -> None:
    widgets = await widgets_of(plant)
    symbol = widgets["candles"].params[0]
    options = await plant.get(f"/openbb/{symbol.options_endpoint}")
    assert options[0] == {"label": "binance:BTCUSDT", "value": "binance:BTCUSDT"}
    assert (await plant.get(f"/openbb/{widgets['chart'].endpoint}/config"))["supports_search"]


@pytest.mark.parametrize("wrong", [{"symbol": "NOPE"}, {"interval": "7m"}, {"limit": 0}, {"limit": 1001}])
async def test_wrong_parameters_are_refused(plant: Plant, wrong: dict[str, Any]) -> None:
    answer = await plant.http.get("/openbb/candles", params={"symbol": "binance:BTCUSDT"} | wrong)
    assert answer.status_code in (400, 404)
    assert answer.json()["detail"]


async def test_pages_of_the_allowed_origin_may_read_answers(plant: Plant) -> None:
    preflight = {
        "origin": ORIGIN,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization,content-type",
    }
    asked = await plant.http.options("/openbb/widgets.json", headers=preflight)
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    answer = await plant.http.get("/openbb/widgets.json", headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    other = await plant.http.get("/openbb/widgets.json", headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_alerts_need_a_key_with_their_scope(redis_url: str, database_url: str) -> None:
    key = await new_key(database_url, "read")
    access = AccessSettings(host="0.0.0.0", public="none")
    async with running_plant(redis_url, database_url, symbols=[BTC], access=access) as plant:
        bearer = {"authorization": f"Bearer {key.text}"}
        assert (await plant.http.get("/openbb/widgets.json")).status_code == 401
        assert (await plant.http.get("/openbb/widgets.json", headers=bearer)).status_code == 200
        assert (await plant.http.get("/openbb/alerts", headers=bearer)).status_code == 403
