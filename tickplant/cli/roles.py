"""A worker's roles and their settings."""

from tickplant.cli.strategies import load
from tickplant.errors import SettingsError
from tickplant.settings import Settings, variable
from workers.loading import RoleSettings


def role_settings(settings: Settings) -> RoleSettings:
    """Return how the roles that are switched on are set.

    Raises:
        SettingsError: a strategy can't be had, or the bot follows one that doesn't run.
    """
    on = settings.roles
    strategies = load(settings) if "signals" in on else ()
    if "bot" in on and "signals" not in on:
        raise SettingsError([f"{variable('roles')}: the bot follows signals: add signals, or leave out bot"])
    if strategies and "bot" in on:
        _check_bot(settings, {strategy.name for strategy in strategies})
    return RoleSettings(
        averages=settings.average_specs if "averages" in on else None,
        strategies=strategies,
        alerts="alerts" in on,
        bot=settings.bot_rules if "bot" in on else None,
        gap_wait_ms=round(settings.gap_wait_s * 1000),
    )


def _check_bot(settings: Settings, running: set[str]) -> None:
    problems = [
        f"{variable('bot_strategies')}: {name!r} does not run; {variable('strategies')} names"
        f" {', '.join(sorted(running))}. Set it to some of these, or to none"
        for name in settings.bot_strategies
        if name not in running
    ]
    if problems:
        raise SettingsError(problems)
