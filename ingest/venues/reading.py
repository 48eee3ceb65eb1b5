"""What reading JSON from a venue takes besides decoding it: exact numbers, times, and broken input."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Meta

from tickplant.errors import PoisonError
from tickplant.market import MAX_DECIMAL_CHARS, check_decimal, is_decimal

MALFORMED: Final = (ValueError, RecursionError)
"""What msgspec raises on bad input: its own errors, of bytes that are not UTF-8, and of endless nesting."""

TRADE_ID: Final = Meta(ge=0, le=2**63 - 2)
"""What fits into the ledger of ids, with a number to spare for exclusive bounds."""

LATEST_US: Final = 4_102_444_800_000_000
"""The begin of the year 2100: a time from then on is a mistake, and would close every open candle."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_decode = msgspec.json.Decoder(float_hook=str).decode


def read_object(text: bytes) -> dict[str, Any]:
    """Decode any JSON object; numbers with a fraction or an exponent stay text.

    Raises:
        PoisonError: it is none.
    """
    try:
        message = _decode(text)
    except MALFORMED as error:
        raise PoisonError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise PoisonError("not a JSON object")
    return message


def plain_decimal(number: object, what: str) -> str:
    """Return a JSON number as plain decimal text, exactly.

    Args:
        number: an int, or the text of any other number, as a decoder with `float_hook=str` gives it.
        what: names it in the error.

    Raises:
        PoisonError: it is no number, negative, or has too many digits.
    """
    text = number if type(number) is str else str(number) if type(number) is int else "no number"
    return text if is_decimal(text) else check_decimal(_without_exponent(text), what)


def _without_exponent(text: str) -> str:
    if "e" not in text.lower():
        return text
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    # Without this, 1e999999999 would become a text of that length.
    return format(number, "f") if abs(number.adjusted()) < MAX_DECIMAL_CHARS else text


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since the epoch.

    Raises:
        PoisonError: it is not a time at which a trade can have happened.
    """
    return check_time_us((moment - _EPOCH) // _MICROSECOND)


def check_time_us(time_us: int) -> int:
    """Return a time in microseconds since the epoch.

    Raises:
        PoisonError: it is not a time at which a trade can have happened.
    """
    if not 0 < time_us < LATEST_US:
        raise PoisonError(f"a time before 1970 or after 2100: {time_us} us since the epoch")
    return time_us
