"""What Grafana is given: dashboards and data sources, by the rules that its provisioning expects."""

import re
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import dashboards
import pytest
import yaml
from dashboards import DASHBOARDS, FOLDER, PROMETHEUS, SQL, Json, Range, expand_promql, expand_sql

PANELS = {"candlestick", "heatmap", "stat", "table", "timeseries"}

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=[path.stem for path in DASHBOARDS])


def boxes(dashboard: Json) -> list[tuple[int, int, int, int]]:
    grids = [panel["gridPos"] for panel in dashboard["panels"]]
    return [(grid["x"], grid["y"], grid["x"] + grid["w"], grid["y"] + grid["h"]) for grid in grids]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\$\{?([a-z]\w*)", text))


def test_there_are_four_dashboards_of_their_own_names() -> None:
    loaded = [dashboards.load(path) for path in DASHBOARDS]
    assert {dashboard["title"] for dashboard in loaded} == {"Market", "Data quality", "Pipeline", "Clients"}
    assert len({dashboard["uid"] for dashboard in loaded}) == len(loaded)
    assert all(re.fullmatch(r"tickplant-[a-z]+", dashboard["uid"]) for dashboard in loaded)


@each_dashboard
def test_a_dashboard_is_what_file_provisioning_takes(path: Path) -> None:
    dashboard = dashboards.load(path)
    assert "id" not in dashboard  # it would be another database's
    assert dashboard["schemaVersion"] >= 36
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for a, b in combinations(boxes(dashboard), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], f"{a} and {b} overlap"
    assert all(0 <= box[0] < box[2] <= 24 for box in boxes(dashboard))


@each_dashboard
def test_every_panel_has_a_title_a_unit_and_a_query_of_each_reference(path: Path) -> None:
    for panel in dashboards.panels(dashboards.load(path)):
        assert panel["type"] in PANELS
        assert panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)
        if panel["type"] in ("stat", "timeseries"):
            units = [panel["fieldConfig"]["defaults"].get("unit")]
            for override in panel["fieldConfig"]["overrides"]:
                units += [setting["value"] for setting in override["properties"] if setting["id"] == "unit"]
            assert any(units), panel["title"]
        if panel["type"] == "timeseries":
            assert all(target.get("legendFormat", "A") for target in panel["targets"]), panel["title"]


@each_dashboard
def test_data_sources_are_the_readers_choice(path: Path) -> None:
    dashboard = dashboards.load(path)
    choices = {
        variable["name"]: variable["query"]
        for variable in dashboards.variables(dashboard)
        if variable["type"] == "datasource"
    }
    used = set()
    for holder in (
        *(target for panel in dashboards.panels(dashboard) for target in panel["targets"]),
        *dashboards.panels(dashboard),
        *(variable for variable in dashboards.variables(dashboard) if variable["type"] == "query"),
        *dashboard["annotations"]["list"],
    ):
        source = holder["datasource"]
        name = source["uid"].removeprefix("${").removesuffix("}")
        assert source == {"type": choices[name], "uid": f"${{{name}}}"}
        used.add(name)
    assert used == choices.keys()


@each_dashboard
def test_queries_use_variables_that_there_are(path: Path) -> None:
    dashboard = dashboards.load(path)
    known = {variable["name"] for variable in dashboards.variables(dashboard)}
    for kind in (SQL, PROMETHEUS):
        for query in dashboards.panel_queries(dashboard, kind):
            assert names_in(query.text) <= known, query.where
    queries = [variable for variable in dashboards.variables(dashboard) if variable["type"] == "query"]
    for number, variable in enumerate(queries):
        before = {variable["name"] for variable in dashboards.variables(dashboard)} - {
            query["name"] for query in queries[number:]
        }
        assert names_in(variable["query"]) <= before, "a variable depends on those above it only"


def provisioned(name: str) -> Json:
    (file,) = (FOLDER / "provisioning" / name).glob("*.yaml")
    content: Json = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["apiVersion"] == 1
    return content


def test_data_sources_are_provisioned_under_the_default_ids_of_dashboards() -> None:
    sources = {
        datasource["uid"]: datasource["type"] for datasource in provisioned("datasources")["datasources"]
    }
    for path in DASHBOARDS:
        for variable in dashboards.variables(dashboards.load(path)):
            if variable["type"] == "datasource":
                assert sources[variable["current"]["value"]] == variable["query"]


def test_no_password_stands_in_a_provisioned_file() -> None:
    for source in provisioned("datasources")["datasources"]:
        for secret in source.get("secureJsonData", {}).values():
            assert re.fullmatch(r"\$__file\{/[\w/]+\}", secret)


def test_the_dashboards_folder_is_provisioned() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).name == "dashboards"


TIME = Range(
    datetime(2024, 8, 8, tzinfo=UTC), datetime(2024, 8, 9, 12, 30, tzinfo=UTC), timedelta(seconds=90)
)


def test_sql_is_expanded_as_grafana_does_it() -> None:
    text = (
        "select $__timeGroupAlias(at, $__interval), x from t where s = '$symbol' and n in ($names)"
        " and $__timeFilter(at)"
    )
    values = {"symbol": "O'X", "names": ["a", "b'c"]}
    end = " from t where s = 'O''X' and n in ('a','b''c') and at BETWEEN"
    span = " '2024-08-08T00:00:00.000000Z' AND '2024-08-09T12:30:00.000000Z'"
    assert expand_sql(text, values, TIME, timescaledb=False) == (
        'select floor(extract(epoch from at)/90)*90 AS "time", x' + end + span
    )
    assert expand_sql(text, values, TIME, timescaledb=True) == (
        "select time_bucket('90.000s',at) AS \"time\", x" + end + span
    )


def test_promql_is_expanded_as_grafana_does_it() -> None:
    expanded = expand_promql("rate(x[$__rate_interval]) + rate(x[$__range])", TIME, "1m")
    assert expanded == "rate(x[1m]) + rate(x[131400s])"
