"""Which roles a worker has, and how they are set."""

from tickplant.cli.strategies import load
from tickplant.paper import Rules
from tickplant.settings import Settings
from workers.loading import RoleSettings


def role_settings(settings: Settings) -> RoleSettings:
    """Return how the roles that are switched on are set.

    Raises:
        SettingsError: a strategy can't be had.
    """
    on = settings.roles
    return RoleSettings(
        averages=settings.average_specs if "averages" in on else None,
        strategies=load(settings) if "signals" in on else (),
        alerts="alerts" in on,
        bot=Rules() if "bot" in on else None,
        gap_wait_ms=round(settings.gap_wait_s * 1000),
    )
