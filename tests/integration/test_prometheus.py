"""What Prometheus is given to read: configuration, rules and metrics, checked by its own tool."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

import tickplant.metrics  # noqa: F401 - registers what is to be checked

FOLDER = Path(__file__).parents[2] / "prometheus"
RUNBOOK = FOLDER.parent / "docs" / "runbook.md"


@pytest.fixture(scope="session")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed; it comes with the package prometheus")
    return path


def run(*command: str, given: bytes = b"") -> None:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_the_configuration_is_valid(promtool: str) -> None:
    run(promtool, "check", "config", str(FOLDER / "prometheus.yml"))


def test_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    run(promtool, "test", "rules", str(FOLDER / "tests" / "alerts.yml"))


def test_metrics_have_no_lint(promtool: str) -> None:
    run(promtool, "check", "metrics", given=generate_latest())


def alerts() -> list[dict[str, str]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_is_tested_and_in_the_runbook() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert re.findall("^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE) == names
    tests = (FOLDER / "tests" / "alerts.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"exp_alerts:|alertname: (\w+)", tests)) - {""} == set(names)
    for alert in alerts():
        annotations: dict[str, str] = alert["annotations"]  # type: ignore[assignment]
        assert annotations["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
