"""Loads the strategies that settings name: included ones, and the user's own classes."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from importlib import import_module
from math import isfinite
from typing import Any, ClassVar, Final, cast, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from tickplant.averages import AverageSpecs
from tickplant.errors import SettingsError
from tickplant.intervals import INTERVALS
from workers.strategies import STRATEGIES
from workers.strategies.base import Strategy
from workers.strategies.user_code import reason_of

MOST_COOLDOWN_S: Final = 366 * 86_400
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


def load_strategies(
    words: Sequence[str],
    specs: AverageSpecs | None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    source: str,
) -> tuple[type[Strategy], ...]:
    """Find strategies.

    Args:
        words: of each, an included one's name or `package.module:Class`, then perhaps parameters: class
            variables to override, as `cross?name=slow_cross&intervals=1h&averages=ema_12+ema_26`.
        specs: which averages there are; None where neither they nor statistics are computed.
        parameters: what to override of included ones, by name, where the word does not.
        source: where the words are from, for messages.

    Raises:
        SettingsError: naming everything that is wrong with any of them.
    """
    kinds: dict[str, type[Strategy]] = {}
    problems = []
    for word in words:
        try:
            kind = _load(word, parameters or {})
            _check(kind, specs)
        except _WrongError as error:
            problems.append(f"{source}: {word}: {error}")
            continue
        except BaseException as error:  # noqa: BLE001 - a class may run any code
            problems.append(f"{source}: {word}: it can't be used: {reason_of(error)}")
            continue
        if kinds.setdefault(kind.name, kind) is not kind:
            problems.append(f"{source}: {word}: another strategy is named {kind.name}; set a name by ?name=")
    if problems:
        raise SettingsError(problems)
    return tuple(kinds.values())


class _WrongError(Exception):
    """A word that names no strategy that can run."""


def _load(word: str, parameters: Mapping[str, Mapping[str, Any]]) -> type[Strategy]:
    path, _, query = word.partition("?")
    kind = _import(path) if ":" in path else STRATEGIES.get(path)
    if kind is None:
        near = get_close_matches(path, STRATEGIES, n=1)
        hint = f"did you mean {near[0]}?" if near else "your own are written package.module:Class"
        raise _WrongError(f"none of {', '.join(STRATEGIES)}; {hint}")
    return _configure(kind, query, dict(parameters.get(path, {})))


def _import(path: str) -> type[Strategy]:
    module_name, _, name = path.partition(":")
    try:
        kind = getattr(import_module(module_name), name)
    except BaseException as error:
        raise _WrongError(f"can't be imported: {reason_of(error)}") from error
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise _WrongError("not a class that derives from workers.strategies.Strategy")
    return kind


_FIXED: Final = ("trades", "statistics")
"""What a class reads, which its methods decide."""


def _configure(kind: type[Strategy], query: str, overrides: dict[str, Any]) -> type[Strategy]:
    """Override class variables."""
    try:
        given = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
    except ValueError as error:
        raise _WrongError("parameters are written ?name=value&name=value") from error
    types = {name: of for name, of in _variables(kind).items() if name not in _FIXED}
    for name, text in given:
        if name not in types:
            raise _WrongError(f"there is no parameter {name}; there are {', '.join(types)}")
        value = text.split() if get_origin(types[name]) is tuple else text
        try:
            overrides[name] = msgspec.convert(value, types[name], strict=False)
        except msgspec.ValidationError as error:
            raise _WrongError(f"{name}: {error}") from error
        if isinstance(overrides[name], float | Decimal) and not isfinite(overrides[name]):
            raise _WrongError(f"{name}: expected a finite number")
    if not overrides:
        return kind
    made = msgspec.defstruct(kind.__name__, [], bases=(kind,), namespace=overrides, module=kind.__module__)
    return cast("type[Strategy]", made)


def _variables(kind: type[Strategy]) -> dict[str, Any]:
    """Return the types of class variables, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is ClassVar}


def _check(kind: type[Strategy], specs: AverageSpecs | None) -> None:
    """Refuse a class that can't run.

    Raises:
        _WrongError: with the reason.
    """
    for name, of in _variables(Strategy).items():
        try:
            msgspec.convert(getattr(kind, name, ""), of)
        except msgspec.ValidationError as error:
            raise _WrongError(f"{name}: {error}") from error
    if not 0 <= kind.cooldown_s <= MOST_COOLDOWN_S:
        raise _WrongError(f"cooldown_s: it must be from 0 to {MOST_COOLDOWN_S} seconds")
    if not _NAME.fullmatch(getattr(kind, "name", "")):
        raise _WrongError("its name must consist of lowercase letters, digits and underscores")
    if not (kind.trades or kind.intervals):
        raise _WrongError("it reads nothing: set trades or intervals")
    if kind.trades and kind.run is Strategy.run and kind.trade is Strategy.trade:
        raise _WrongError("it reads trades, but has no method trade")
    if kind.intervals and kind.closed is Strategy.closed:
        raise _WrongError("it reads candles, but has no method closed")
    for interval in kind.intervals:
        if interval not in INTERVALS:
            raise _WrongError(f"there are no candles of {interval}; there are of {', '.join(INTERVALS)}")
    if kind.averages or kind.statistics:
        _check_averages(kind, specs)
    try:
        msgspec.msgpack.Decoder(kind).decode(msgspec.msgpack.encode(kind()))
    except BaseException as error:
        raise _WrongError(f"its fields can't be stored: {reason_of(error)}") from error


def _check_averages(kind: type[Strategy], specs: AverageSpecs | None) -> None:
    if specs is None:
        raise _WrongError("it reads averages or statistics, and these are off: see TICKPLANT_ROLES")
    for interval in kind.intervals if kind.averages else ():
        if interval not in specs.intervals:
            raise _WrongError(f"there are no averages of {interval}: see TICKPLANT_AVERAGE_INTERVALS")
    names = [spec.name for spec in specs.averages]
    for average in kind.averages:
        if average not in names:
            raise _WrongError(f"there is no average {average}; there are {', '.join(names) or 'none'}")
