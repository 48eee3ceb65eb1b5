"""The strategies that settings name."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tickplant.settings import Settings, variable

if TYPE_CHECKING:
    from workers.strategies import Strategy


def load(
    settings: Settings, words: Sequence[str] | None = None, *, source: str = variable("strategies")
) -> "tuple[type[Strategy], ...]":
    """Load strategies, their parameters as in settings.

    Args:
        settings: as read.
        words: what names them; None takes the settings'.
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
    return load_strategies(
        settings.strategies if words is None else words,
        settings.average_specs if "averages" in settings.roles else None,
        {"anomaly": anomaly},
        source=source,
    )
