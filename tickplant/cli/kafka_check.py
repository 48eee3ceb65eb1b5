"""The check of Kafka that `tickplant doctor` makes; it changes nothing."""

from tickplant.cli.finding import Finding
from tickplant.cli.kafka import kafka_properties, require_kafka
from tickplant.errors import FatalError, SettingsError
from tickplant.settings import Settings


def check_kafka(settings: Settings) -> list[Finding]:
    """Report whether Kafka answers, and which topics the mirror would create; blocks for some seconds."""
    if settings.kafka_bootstrap is None:
        return []
    try:
        require_kafka(settings)
        properties = kafka_properties(settings)
    except SettingsError as error:
        return [Finding("fail", "kafka", problem) for problem in error.problems]
    from confluent_kafka import KafkaException

    from workers.mirror.records import Encoder
    from workers.mirror.topics import missing_topics, open_admin

    names = Encoder(prefix=settings.kafka_prefix, format=settings.kafka_format).topics
    try:
        missing = missing_topics(open_admin(properties), names)
    except (KafkaException, FatalError) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        remedy = (
            "start it, and check TICKPLANT_KAFKA_BOOTSTRAP and TICKPLANT_KAFKA_PROPERTIES; nothing else waits"
        )
        return [Finding("fail", "kafka", f"{settings.kafka_bootstrap} can't be reached: {text}", remedy)]
    if missing:
        text = f"{settings.kafka_bootstrap} answers; the mirror will create {', '.join(missing)}"
        return [Finding("ok", "kafka", text)]
    return [Finding("ok", "kafka", f"{settings.kafka_bootstrap} answers, and all topics are there")]
