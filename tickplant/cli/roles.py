"""A worker's roles and their settings."""

from tickplant.apprise_targets import UnusableTargetError, open_target
from tickplant.cli.strategies import load
from tickplant.errors import SettingsError
from tickplant.notifications import Notifier
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
    _check_notifications(settings, {strategy.name for strategy in strategies})
    if strategies and "bot" in on:
        _check_bot(settings, {strategy.name for strategy in strategies})
    return RoleSettings(
        averages=settings.average_specs if "averages" in on else None,
        strategies=strategies,
        alerts="alerts" in on,
        bot=settings.bot_rules if "bot" in on else None,
        gap_wait_ms=round(settings.gap_wait_s * 1000),
        notifier=Notifier(settings.notifications),
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


def _check_notifications(settings: Settings, running: set[str]) -> None:
    problems = [
        f"{variable('notify_signals')}: {route.strategy!r} does not run; strategies are"
        f" {', '.join(sorted(running)) or 'none'}"
        for route in settings.notify_signals
        if route.strategy not in running
    ]
    for target in settings.notify:
        try:
            open_target(target)
        except UnusableTargetError as error:
            problems.append(f"{variable('notify')}: {error}")
    if problems:
        raise SettingsError(problems)
