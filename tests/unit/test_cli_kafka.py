"""What the settings of Kafka mean for `tickplant up` and `tickplant mirror`."""

from pathlib import Path

import pytest

from tickplant.cli.kafka import kafka_properties, require_kafka
from tickplant.cli.plan import UpPlan
from tickplant.errors import SettingsError
from tickplant.settings import Settings


def names(settings: Settings) -> list[str]:
    plan = UpPlan(settings=settings, data=Path("/none"), log_level="info")
    return [process.name for processes in plan.processes({}) for process in processes]


def test_up_runs_a_mirror_where_kafka_is_set_and_stops_it_after_the_workers() -> None:
    assert "mirror" not in names(Settings())
    started = names(Settings(kafka_bootstrap="127.0.0.1:9092"))
    assert started.index("mirror") < started.index("worker")  # they stop in the reverse order


def test_the_file_of_properties_is_read_and_the_brokers_are_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# secrets\n\nsasl.password = a=b \nbootstrap.servers=elsewhere:1\n")
    settings = Settings(kafka_bootstrap="127.0.0.1:9092", kafka_properties=file)
    assert kafka_properties(settings) == {"sasl.password": "a=b", "bootstrap.servers": "127.0.0.1:9092"}


@pytest.mark.parametrize(
    ("content", "problem"), [("nonsense", "line 1 is not name=value"), (None, "can't be read")]
)
def test_an_invalid_properties_file_is_reported_without_its_content(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    file = tmp_path / "kafka.properties"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=problem) as raised:
        kafka_properties(Settings(kafka_bootstrap="127.0.0.1:9092", kafka_properties=file))
    assert "nonsense" not in str(raised.value)


def test_a_mirror_without_brokers_names_the_missing_setting() -> None:
    with pytest.raises(SettingsError, match="TICKPLANT_KAFKA_BOOTSTRAP: not set"):
        require_kafka(Settings())


def test_a_missing_client_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickplant.cli.kafka.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"\.venv/bin/pip install -e '\.\[kafka\]'"):
        require_kafka(Settings(kafka_bootstrap="127.0.0.1:9092"))
