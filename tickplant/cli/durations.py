"""Parses durations in arguments."""

import re
from argparse import ArgumentTypeError
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_duration_s(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m, 2h or 1d.

    Raises:
        ArgumentTypeError: it is none, or zero.
    """
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None or not int(match[1]):
        raise ArgumentTypeError(f"{text!r} is no time: a number and s, m, h or d, such as 90s, 10m or 2h")
    return int(match[1]) * _UNITS[match[2]]
