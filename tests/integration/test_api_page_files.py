"""The files of the page: how they are served, and which chart library is."""

import re
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
from api_plant import Plant, running_plant
from conftest import on_one_variant

from api import chart_library

pytestmark = on_one_variant


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        yield running


@pytest.fixture
def fresh_library() -> Iterator[None]:
    """The library is read once; here it is read again."""
    chart_library.read_chart_library.cache_clear()
    yield
    chart_library.read_chart_library.cache_clear()


async def test_the_page_may_run_nothing_but_its_own_files(plant: Plant) -> None:
    answer = await plant.http.get("/")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert all(source == "'self'" for source in policy.split("script-src ")[1].split(";")[0].split())
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert " onclick" not in answer.text


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("main.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_browsers_keep_the_files_of_a_version(plant: Plant, name: str, media_type: str) -> None:
    page = (await plant.http.get("/")).text
    (version,) = set(re.findall(r'"/page/(\w+)/', page))
    kept = await plant.http.get(f"/page/{version}/{name}")
    assert kept.headers["content-type"].split(";")[0] == media_type
    assert "immutable" in kept.headers["cache-control"]
    other = await plant.http.get(f"/page/0/{name}")
    assert (other.content, other.headers["cache-control"]) == (kept.content, "no-cache")


async def test_the_page_preloads_every_module(plant: Plant) -> None:
    """So that a browser doesn't learn of modules one import after the other."""
    page = (await plant.http.get("/")).text
    preloaded = set(re.findall(r'modulepreload" href="/page/\w+/([\w.-]+)"', page))
    modules = {path.name for path in files("api.page").iterdir() if path.name.endswith(".js")}
    assert preloaded == modules - {"main.js", "types.js"} | {"lightweight-charts.js"}


@pytest.mark.parametrize(
    "name",
    ["nosuch.js", "index.html", "__init__.py", "package.json", "..%2fapp.py", "..%5c.js", "%00.js", ".js"],
)
async def test_nothing_else_is_served(plant: Plant, name: str) -> None:
    assert (await plant.http.get(f"/page/0/{name}")).status_code == 404


async def test_the_chart_library_is_the_one_that_npm_has(plant: Plant) -> None:
    answer = await plant.http.get("/page/0/lightweight-charts.js")
    assert answer.status_code == 200
    assert sha256(answer.content).hexdigest() == chart_library.SHA256
    page = (await plant.http.get("/")).text
    assert "https://www.tradingview.com/" in page
    assert "https://www.apache.org/licenses/LICENSE-2.0" in page


@pytest.mark.usefixtures("fresh_library")
async def test_another_library_is_refused_with_what_to_do(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lwcharts" / "vendor").mkdir(parents=True)
    (tmp_path / "lwcharts" / "vendor" / "lightweight-charts.standalone.production.js").write_text("1")
    fake = SimpleNamespace(locate_file=lambda path: tmp_path / path)
    monkeypatch.setattr(chart_library, "distribution", lambda _: fake)
    answer = await plant.http.get("/page/0/lightweight-charts.js")
    assert answer.status_code == 404
    assert "is not Lightweight Charts 5.2.0" in answer.json()["detail"]
    assert "pip install --no-deps lwcharts==0.3.0" in answer.json()["detail"]


@pytest.mark.usefixtures("fresh_library")
async def test_without_the_package_the_api_works_and_says_what_to_install(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_library, "PACKAGE", "nosuch-package")
    answer = await plant.http.get("/page/0/lightweight-charts.js")
    assert answer.status_code == 404
    assert "is not installed" in answer.json()["detail"]
    assert (await plant.http.get("/")).status_code == 200
    assert (await plant.http.get("/page/0/main.js")).status_code == 200
