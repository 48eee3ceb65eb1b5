"""Strategies: one small class each, and a line here. See "Your own strategy" in README.md."""

from typing import Final

from workers.strategies.anomaly import Anomaly
from workers.strategies.base import NEITHER, Held, Opinion, Strategy
from workers.strategies.cross import Cross
from workers.strategies.dip import Dip
from workers.strategies.hop import Hop

STRATEGIES: Final[dict[str, type[Strategy]]] = {kind.name: kind for kind in (Dip, Cross, Hop, Anomaly)}
"""Those that are included, by name."""

__all__ = ["NEITHER", "STRATEGIES", "Held", "Opinion", "Strategy"]
