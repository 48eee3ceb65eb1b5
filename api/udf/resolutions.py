"""Resolutions of TradingView's charts, and the intervals that they mean. Pure."""

from typing import Final

RESOLUTIONS: Final = {
    "1S": "1s",
    **{str(count): f"{count}m" for count in (1, 3, 5, 15, 30)},
    **{str(60 * count): f"{count}h" for count in (1, 2, 4, 6, 8, 12)},
    "1D": "1d",
    "3D": "3d",
    "1W": "1w",
    "1M": "1M",
}
"""Minutes are numbers without a unit; `M` is a month."""


def interval_of(resolution: str) -> str | None:
    """Return the interval of a resolution; None if there is none. `D` is written for `1D`, and so on."""
    return RESOLUTIONS.get(resolution if resolution[:1].isdigit() else f"1{resolution}")
