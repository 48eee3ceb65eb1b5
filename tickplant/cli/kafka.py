"""Kafka's settings, and whether its client is installed."""

from importlib.util import find_spec

from tickplant.errors import SettingsError
from tickplant.settings import Settings


def require_kafka(settings: Settings) -> None:
    """Make sure that Kafka can be spoken to.

    Raises:
        SettingsError: there is no address, or no client.
    """
    if settings.kafka_bootstrap is None:
        raise SettingsError(
            ["TICKPLANT_KAFKA_BOOTSTRAP: not set; name Kafka's brokers, such as 127.0.0.1:9092"]
        )
    if find_spec("confluent_kafka") is None:
        problem = (
            "TICKPLANT_KAFKA_BOOTSTRAP: its client is not installed; run in tickplant's folder:"
            " .venv/bin/pip install -e '.[kafka]'"
        )
        raise SettingsError([problem])


def kafka_properties(settings: Settings) -> dict[str, str]:
    """Return librdkafka's properties: the file's, if there is one, and the brokers.

    Raises:
        SettingsError: the file can't be read or understood.
    """
    properties: dict[str, str] = {}
    if settings.kafka_properties is not None:
        try:
            text = settings.kafka_properties.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(
                [f"TICKPLANT_KAFKA_PROPERTIES: {settings.kafka_properties} can't be read: {reason}"]
            ) from error
        for number, line in enumerate(text.splitlines(), 1):
            name, equals, value = line.partition("=")
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not equals:
                raise SettingsError([f"TICKPLANT_KAFKA_PROPERTIES: line {number} is not name=value"])
            properties[name.strip()] = value.strip()
    return {**properties, "bootstrap.servers": settings.kafka_bootstrap or ""}
