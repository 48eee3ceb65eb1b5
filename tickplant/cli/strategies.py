"""The strategies that settings name."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tickplant.settings import Settings, variable

if TYPE_CHECKING:
    from tickplant.averages import AverageSpecs
    from workers.strategies import Strategy


def load(settings: Settings) -> "tuple[type[Strategy], ...]":
    """Load the strategies of the settings, for workers.

    Raises:
        SettingsError: naming everything that is wrong with any of them.
    """
    specs = settings.average_specs if "averages" in settings.roles else None
    return load_named(settings, settings.strategies, specs, source=variable("strategies"))


def load_named(
    settings: Settings, words: Sequence[str], specs: "AverageSpecs | None", *, source: str
) -> "tuple[type[Strategy], ...]":
    """Load strategies; `anomaly` has the parameters of its own settings.

    Args:
        settings: as read.
        words: what names the strategies.
        specs: which averages there are; None for none, and no statistics.
        source: where the words are from, for messages.

    Raises:
        SettingsError: naming everything that is wrong with any of them.
    """
    from workers.strategies.loading import load_strategies

    here = str(Path.cwd())
    if here not in sys.path:  # where an installed command would not look
        sys.path.append(here)
    anomaly = {
        "zscore": settings.anomaly_zscore,
        "iqr": settings.anomaly_iqr,
        "points": settings.anomaly_points,
    }
    return load_strategies(words, specs, {"anomaly": anomaly}, source=source)
