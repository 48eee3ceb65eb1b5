"""The result of a check of `tickplant doctor`."""

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True):
    """What one check found."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    remedy: str = ""
    """What to do; empty if all is well."""


def judge_clock(subject: str, skew_s: float, limit_s: float) -> Finding:
    """Judge how far another clock is ahead of this machine's."""
    text = f"its clock is within {max(abs(skew_s), 0.001):.3f} s of this machine's"
    if abs(skew_s) <= limit_s:
        return Finding("ok", subject, text)
    text = f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    return Finding("warn", subject, text, "keep both in time with NTP; ingest times are this machine's")
