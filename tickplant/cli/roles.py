"""Which roles a worker has, and how they are set."""

from tickplant.paper import Rules
from tickplant.settings import Settings
from workers.loading import RoleSettings
from workers.strategies import STRATEGIES


def role_settings(settings: Settings) -> RoleSettings:
    """Return how the roles that are switched on are set."""
    on = settings.roles
    return RoleSettings(
        averages=settings.average_specs if "averages" in on else None,
        strategies=tuple(STRATEGIES.values()) if "signals" in on else (),
        alerts="alerts" in on,
        bot=Rules() if "bot" in on else None,
        gap_wait_ms=round(settings.gap_wait_s * 1000),
    )
