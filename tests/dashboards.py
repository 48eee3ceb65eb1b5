"""Dashboards as Grafana runs them: variables and macros expanded into plain SQL and PromQL.

The rules are those of Grafana's own: `interpolateVariable` of its SQL data sources, and the macros of its
PostgreSQL data source.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "grafana"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
SQL, PROMETHEUS = "grafana-postgresql-datasource", "prometheus"

Json = dict[str, Any]
Values = Mapping[str, str | Sequence[str]]
"""What is chosen of each variable; a list where several can be."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Query(NamedTuple):
    """What one panel, variable or annotation asks."""

    where: str
    """Dashboard, panel and reference, for messages."""
    kind: str
    """Type of the data source."""
    text: str


class Range(NamedTuple):
    """The chosen time, and what follows from it."""

    start: datetime
    end: datetime
    interval: timedelta

    def literal(self, moment: datetime) -> str:
        return f"'{moment:%Y-%m-%dT%H:%M:%S.%fZ}'"


def load(path: Path) -> Json:
    dashboard: Json = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Json) -> list[Json]:
    """All panels that ask for something, those in collapsed rows included."""
    found = []
    for panel in dashboard["panels"]:
        found += [panel, *panel.get("panels", [])]
    return [panel for panel in found if panel["type"] != "row"]


def variables(dashboard: Json) -> list[Json]:
    listed: list[Json] = dashboard["templating"]["list"]
    return listed


def panel_queries(dashboard: Json, kind: str) -> Iterator[Query]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            where = f"{dashboard['title']} / {panel['title']} / {target['refId']}"
            if target["datasource"]["type"] == kind:
                yield Query(where, kind, target["rawSql" if kind == SQL else "expr"])


def annotation_queries(dashboard: Json) -> Iterator[Query]:
    for annotation in dashboard["annotations"]["list"]:
        where = f"{dashboard['title']} / {annotation['name']}"
        yield Query(where, annotation["datasource"]["type"], annotation["target"]["rawSql"])


def expand_sql(text: str, values: Values, time: Range, *, timescaledb: bool) -> str:
    """Return the SQL that Grafana sends to the database."""
    text = text.replace("$__interval", f"{time.interval.total_seconds():g}s")
    for name, value in values.items():
        plain = _interpolate(value).replace("\\", r"\\")
        text = re.sub(rf"\$(?:{name}\b|{{{name}}})", plain, text)

    def macro(match: re.Match[str]) -> str:
        arguments = [argument.strip() for argument in match[2].split(",")]
        return _macro(match[1], arguments, time, timescaledb=timescaledb)

    return re.sub(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)", macro, text)


def expand_promql(text: str, time: Range, rate_interval: str) -> str:
    """Return the PromQL that Grafana sends to Prometheus."""
    for name, value in {
        "$__rate_interval": rate_interval,
        "$__interval": f"{time.interval.total_seconds():g}s",
        "$__range": f"{(time.end - time.start).total_seconds():.0f}s",
    }.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def _interpolate(value: str | Sequence[str]) -> str:
    """Single values are put in bare, their quotes doubled; of several, each is quoted."""
    if isinstance(value, str):
        return value.replace("'", "''")
    return ",".join("'" + one.replace("'", "''") + "'" for one in value)


def _macro(name: str, arguments: list[str], time: Range, *, timescaledb: bool) -> str:
    match name:
        case "__timeFilter":
            return f"{arguments[0]} BETWEEN {time.literal(time.start)} AND {time.literal(time.end)}"
        case "__timeFrom":
            return time.literal(time.start)
        case "__timeTo":
            return time.literal(time.end)
        case "__timeGroup" | "__timeGroupAlias":
            column, seconds = arguments[0], _seconds(arguments[1])
            group = f"floor(extract(epoch from {column})/{seconds:g})*{seconds:g}"
            if timescaledb:
                group = f"time_bucket('{seconds:.3f}s',{column})"
            return f'{group} AS "time"' if name.endswith("Alias") else group
    raise AssertionError(f"no macro of Grafana's: ${name}")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"'?(\d+(?:\.\d+)?)([smhd])'?", text)
    assert found, f"not an interval: {text}"
    return float(found[1]) * _SECONDS[found[2]]
