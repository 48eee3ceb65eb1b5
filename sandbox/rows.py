"""What venues have in common that name a frame's symbols in the frame itself, one symbol or several."""

from decimal import Decimal

import msgspec
from msgspec import Raw

from sandbox.frames import View
from sandbox.venue import ViewFit
from tickplant.market import MAX_DECIMAL_CHARS

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_rows = msgspec.json.Decoder(list[Raw]).decode
_decode_row = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def stream_name(symbols: list[str]) -> str:
    """Name the stream of a frame with rows of these symbols; one symbol's stream has the symbol's name."""
    return " ".join(dict.fromkeys(symbols))


def fit_symbols(stream: str, view: View) -> ViewFit:
    """Return what becomes of a frame for a view that asks for symbols."""
    symbols = stream.split(" ")
    wanted = sum(symbol in view.streams for symbol in symbols)
    if not wanted:
        return ViewFit.NONE
    return ViewFit.AS_IT_LIES if wanted == len(symbols) else ViewFit.STYLED


def keep_rows(text: bytes, key: str, view: View) -> bytes:
    """Return a frame with only those rows under `data` whose symbol, under `key`, a view asks for."""
    message = _decode(text)
    rows = [row for row in _decode_rows(message["data"]) if _symbol(row, key) in view.streams]
    return msgspec.json.encode({**message, "data": rows})


def plain_decimal(number: object) -> str:
    """Return a JSON number as a plain decimal: venues write very small ones with an exponent.

    Args:
        number: an int, or the text of any other number; of anything else the text is no decimal.
    """
    text = str(number)
    if type(number) is not str or "e" not in text.lower():
        return text
    try:
        exact = Decimal(text)
    except ArithmeticError:
        return text
    return format(exact, "f") if abs(exact.adjusted()) < MAX_DECIMAL_CHARS else text


def _symbol(row: Raw, key: str) -> str:
    return _decode_text(_decode_row(row)[key])
