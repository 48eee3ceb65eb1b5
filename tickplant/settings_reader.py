"""Reads the settings from the environment and `.env`; only the command line does so."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from tickplant.errors import SettingsError
from tickplant.setting_parsers import parse_setting
from tickplant.settings import PREFIX, SECRET_SUFFIXES, Settings, variable

_NOT_SETTINGS: Final = (PREFIX + "MARKETDATA", PREFIX + "TEST_")
"""Variables of the tests, which a developer's environment may contain."""

_KERNEL: Final = variable("kernel")
_FIELDS: Final = {variable(field.name): field for field in msgspec.structs.fields(Settings)}
_WORDS: Final = [name.removeprefix(PREFIX) for name in _FIELDS]
VENUES: Final = tuple(
    field.name.removesuffix("_ws_url")
    for field in msgspec.structs.fields(Settings)
    if field.name.endswith("_ws_url")
)
"""Every venue has the setting of its websocket's address."""


def read_settings(environment: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        environment: the variables; None takes the process's own. They take precedence over the file's.
        dotenv: a file of `NAME=value` lines; None takes `.env` in the working directory, if there is one.

    Raises:
        SettingsError: naming every variable that is wrong or unknown.
    """
    values = _read_file(dotenv or Path(".env"))
    in_file = values.get(_KERNEL)
    values |= dict(os.environ if environment is None else environment)
    problems = _read_secret_files(values)
    if in_file and values[_KERNEL] == in_file:
        problems.append(f"{_KERNEL}: set it in the environment, as it is needed before a file is read")
    found: dict[str, Any] = {}
    for name in sorted(values):
        if not name.startswith(PREFIX) or name.startswith(_NOT_SETTINGS):
            continue
        text = values[name].strip()
        field = _FIELDS.get(name)
        if field is None:
            problems.append(_unknown(name))
        elif text:  # an empty variable is an unset one, as compose files write them
            try:
                found[field.name] = parse_setting(field.type, text)
            except ValueError as error:
                shown = _shown(name, text)
                problems.append(f"{name}: {error}" + (f" (it is {shown})" if shown not in str(error) else ""))
    if problems:
        raise SettingsError(problems)
    settings = Settings(**found)
    if problems := list(_contradictions(settings)):
        raise SettingsError(problems)
    return settings


def _read_file(path: Path) -> dict[str, str]:
    """Return the variables of a file; none if it does not exist.

    Raises:
        SettingsError: it can't be read.
    """
    from dotenv import dotenv_values

    if os.path.isdir(path):  # noqa: PTH112 - a path's own method raises where the folder above is closed
        raise SettingsError(
            [
                f"{path}: is a folder, as Docker creates one where the file to be mounted is missing:"
                " put a file of NAME=value lines there"
            ]
        )
    try:
        values = dotenv_values(path, encoding="utf-8-sig")  # editors on Windows add a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            [
                f"{path}: can't be read: {getattr(error, 'strerror', None) or error};"
                " save it as UTF-8, readable by this user"
            ]
        ) from error
    return {name: value for name, value in values.items() if value is not None}


def _read_secret_files(values: dict[str, str]) -> list[str]:
    """Replace each `<SECRET>_FILE` variable by the secret in the file that it names; return the problems."""
    problems: list[str] = []
    for name in [name for name in values if name.endswith("_FILE") and name.removesuffix("_FILE") in _FIELDS]:
        path, secret = values.pop(name).strip(), name.removesuffix("_FILE")
        if not path:
            continue
        if values.get(secret):
            problems.append(f"{name}: {secret} is also set; set only one of them")
        try:
            values[secret] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(
                f"{name}: can't read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'};"
                " name a file with nothing but the secret, readable by this user"
            )
    return problems


def _unknown(name: str) -> str:
    near = [PREFIX + word for word in get_close_matches(name.removeprefix(PREFIX), _WORDS, n=1)]
    return f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _contradictions(settings: Settings) -> Iterator[str]:
    """Yield a message for each setting that is valid alone, but contradicts another."""
    if unknown := [str(symbol) for symbol in settings.symbols if symbol.venue not in VENUES]:
        yield (f"{variable('symbols')}: {', '.join(unknown)}: no such venue; venues are {', '.join(VENUES)}")
    candles_days, trades_days = settings.keep_candles_days, settings.keep_trades_days
    if candles_days and not 0 < trades_days <= candles_days:
        yield (
            f"{variable('keep_candles_days')}: candles would be removed before the trades that they are"
            f" checked with; set it to 0, or {variable('keep_trades_days')} to no more than it"
        )
    if settings.api_tls_key and not settings.api_tls_cert:
        yield f"{variable('api_tls_key')}: it needs a certificate; set {variable('api_tls_cert')}, too"
    if settings.database_read_url and not settings.database_url:
        yield (
            f"{variable('database_read_url')}: an embedded server has no replicas;"
            f" set {variable('database_url')}, too"
        )
    tags = settings.notifications.tags
    if unknown_tags := [route.tag for route in settings.notify_signals if route.tag not in tags]:
        yield (
            f"{variable('notify_signals')}: no target in {variable('notify')} has the tag"
            f" {', '.join(unknown_tags)}; " + (f"its tags are {', '.join(tags)}" if tags else "it is not set")
        )
    if "anomaly" in settings.strategies and settings.anomaly_points > settings.statistics_returns:
        yield (
            f"{variable('anomaly_points')}: there are never that many returns; set it to"
            f" {settings.statistics_returns} or less, or {variable('statistics_returns')} to more"
        )


def _shown(name: str, text: str) -> str:
    """Return a value as a message shows it: no secrets, and no addresses, which can contain passwords."""
    return "not shown" if name.lower().endswith(("_url", "_notify", *SECRET_SUFFIXES)) else repr(text[:60])
