"""Parsing of venues' JSON: exact numbers, times, rows, and malformed input."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from ingest.venues.base import BadRow, ParsedRows
from ingest.venues.base_rest import ListedSymbol, UnreadableError
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import MAX_DECIMAL_CHARS, Trade, check_decimal, is_decimal
from tickplant.times import to_us
from tickplant.trade_rules import MAX_TRADE_ID, check_trade, reject_reason_of_time

TradeId = Annotated[int, Meta(ge=0, le=MAX_TRADE_ID)]
"""The type of a trade id in a message."""

_decode = msgspec.json.Decoder(float_hook=str).decode
_decode_rows = msgspec.json.Decoder(list[Raw]).decode


def decode_object(text: bytes) -> dict[str, Any]:
    """Decode a JSON object; numbers with a fraction or an exponent stay text.

    Raises:
        PoisonError: it is not a JSON object.
    """
    try:
        message = _decode(text)
    except MALFORMED as error:
        raise PoisonError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise PoisonError("not a JSON object")
    return message


def split_rows(text: bytes | Raw) -> list[Raw]:
    """Split a JSON array into its elements without decoding them.

    Raises:
        UnreadableError: it is not JSON.
        PoisonError: it is not an array.
    """
    try:
        return _decode_rows(text)
    except MALFORMED as error:
        raise explain_page(bytes(text), error) from error


def explain_page(body: bytes, error: Exception) -> PoisonError:
    """Return the error for a malformed page: UnreadableError if it is not JSON."""
    try:
        _decode(body)
    except MALFORMED:
        return UnreadableError(f"not a page of trades: not JSON: {error}")
    return PoisonError(f"not a page of trades: {error}: {body[:200].decode(errors='replace')}")


def parse_history_rows(rows: Sequence[Raw], parse: Callable[[Raw], Trade], id_key: str | int) -> ParsedRows:
    """Parse the rows of a page of history one by one; return trades in ascending order of id, each id once.

    Args:
        rows: from `split_rows`.
        parse: returns the trade of one row, or raises an error of `MALFORMED`, or PoisonError.
        id_key: key or index of the trade id in a row.
    """
    trades, bad_rows = _try_rows(rows, lambda row: check_trade(parse(row)))
    by_id = {trade.trade_id: trade for trade in reversed(trades)}
    bad_rows = [row._replace(trade_id=_read_id(row.payload, id_key)) for row in bad_rows]
    return ParsedRows(tuple([by_id[trade_id] for trade_id in sorted(by_id)]), tuple(bad_rows))


def parse_listing_rows(
    rows: Sequence[Raw], parse: Callable[[Raw], ListedSymbol | None]
) -> tuple[ListedSymbol, ...]:
    """Parse the rows of a list of symbols one by one; skip rows that can't be parsed.

    Args:
        rows: their texts.
        parse: returns the symbol of one row, or None to skip it, or raises an error of `MALFORMED`.

    Raises:
        PoisonError: no row is valid; an empty list would make every symbol unknown.
    """
    listed, reason = [], "it is empty"
    for row in rows:
        try:
            symbol = parse(row)
        except MALFORMED as error:
            reason = str(error)
        else:
            if symbol is not None:
                listed.append(symbol)
    if not listed:
        raise PoisonError(f"no valid row in the list of symbols: {reason}")
    return tuple(listed)


def _read_id(row: bytes, id_key: str | int) -> int | None:
    try:
        trade_id = msgspec.json.decode(row)[id_key]
    except (*MALFORMED, LookupError, TypeError):
        return None
    return trade_id if type(trade_id) is int and 0 <= trade_id <= MAX_TRADE_ID else None


def plain_decimal(number: object, what: str) -> str:
    """Return a JSON number as plain decimal text, exactly.

    Args:
        number: an int, or the text of any other number, from a decoder with `float_hook=str`.
        what: names it in the error.

    Raises:
        PoisonError: it is not a number, is negative, or has too many digits.
    """
    text = number if type(number) is str else str(number) if type(number) is int else "not a number"
    return text if is_decimal(text) else check_decimal(_without_exponent(text), what)


def _without_exponent(text: str) -> str:
    if "e" not in text.lower():
        return text
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    # Bounded: 1e999999999 would become a text of that length.
    return format(number, "f") if abs(number.adjusted()) < MAX_DECIMAL_CHARS else text


def microseconds(text: str) -> int:
    """Return an RFC 3339 time as microseconds since the epoch.

    Finer digits are cut off, not rounded: rounding could move a trade into the next minute.

    Raises:
        PoisonError: it is not a possible time of a trade.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PoisonError(f"a time that is not RFC 3339: {text[:60]!r}") from error
    if moment.tzinfo is None:
        raise PoisonError(f"a time without an offset: {text[:60]!r}")
    return check_time_us(to_us(moment))


def check_time_us(time_us: int) -> int:
    """Return a time in microseconds since the epoch.

    Raises:
        PoisonError: it is not a possible time of a trade.
    """
    fault = reject_reason_of_time(time_us)
    if fault is not None:
        raise PoisonError(fault)
    return time_us


def parse_frame_rows(rows: Sequence[Raw], parse: Callable[[Raw], Trade]) -> ParsedRows:
    """Parse the rows of a message one by one, after the message as a whole could not be parsed.

    Args:
        rows: their texts.
        parse: returns the trade of one row, or raises an error of `MALFORMED`, or PoisonError.

    Raises:
        PoisonError: no row is valid; the error text is the first row's.
    """
    trades, bad_rows = _try_rows(rows, parse)
    if not trades:
        raise PoisonError(bad_rows[0].reason if bad_rows else "a message without rows")
    return ParsedRows(tuple(trades), tuple(bad_rows))


def _try_rows(rows: Sequence[Raw], parse: Callable[[Raw], Trade]) -> tuple[list[Trade], list[BadRow]]:
    trades, bad_rows = [], []
    for row in rows:
        try:
            trades.append(parse(row))
        except PoisonError as error:
            bad_rows.append(BadRow(bytes(row), str(error)))
        except MALFORMED as error:
            bad_rows.append(BadRow(bytes(row), f"a trade of unexpected shape: {error}"))
    return trades, bad_rows
