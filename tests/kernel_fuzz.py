"""A fuzzer that holds the compiled kernel to Python's answers: `python tests/kernel_fuzz.py SEED ROUNDS`."""

import random
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from ingest.venues import make_adapter
from ingest.venues.base import VenueAdapter
from tickplant import wire, wire_columns
from tickplant.columns import TradeColumns, group_trades
from tickplant.errors import PoisonError
from tickplant.market import Side, Trade
from tickplant.minute_candles import MinuteCandles

NOW_US: Final = 1_700_000_000_000_000
SIDES: Final[tuple[Side | None, ...]] = ("buy", "sell", None)
compiled: Final[Any] = import_module("tickplant.kernel.compiled")
VENUES: Final = ("binance", "coinbase", "finnhub", "kraken")

DECIMALS: Final = (
    "0",
    "1",
    "0.001",
    "100.00000000",
    "62212.01000000",
    "0.00000000",
    "007",
    ".5",
    "5.",
    "." + "9" * 39,
    "9" * 40,
    "123456789012345678",
    "1234567890123456789",
    "12345678.0123456789",
    "99999999999999999999.99999999",
)
ODD_DECIMALS: Final = (
    "",
    ".",
    "1e5",
    "-1",
    "+1",
    " 1",
    "1..2",
    "٣",
    "1,5",
    "NaN",
    "1" * 41,
    "é",
    "1_0",
    "0x1",
)
NAMES: Final = (
    "BTCUSDT",
    "ETH-USD",
    "BTC/USD",
    "AAPL",
    "é",
    "A" * 64,
    "A" * 65,
    "",
    "a\\b",
    'a"b',
    "a\tb",
    "\x7f",
)
ODD_NUMBERS: Final = (
    -1,
    0,
    2**31,
    2**53,
    10**14,
    2**62,
    2**63 - 2,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(2**63),
)
ODD_JSON: Final = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"1e5",
    b"1.5",
    b"-0",
    b"01",
    b'"\\u0041"',
    b'"\xd9\xa3"',
    b"NaN",
    b"{",
    b"]",
    b'"\x00"',
    b'"\xff"',
    b"18446744073709551616",
    b"0.00000000000000000000000000000000000000001",
    b"[[[[1]]]]",
    b",",
)
TIMES: Final = (
    "2014-11-07T08:19:27.028459Z",
    "2024-02-29T23:59:59.999999999Z",
    "2023-02-29T00:00:00Z",
    "2023-09-25T07:49:37.7Z",
    "2023-09-25T07:49:37Z",
    "2023-09-25T07:49:37.Z",
    "2023-09-25 07:49:37Z",
    "2023-09-25T07:49:37+01:00",
    "20230925T074937Z",
    "2023-09-25T24:00:00Z",
    "2023-09-25T07:49:60Z",
    "1969-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-09-25T07:49:37,5Z",
    "2023-09-25T07:49:37.123456789012345678901Z",
    "0000-01-01T00:00:00Z",
    "",
    "Z",
)


def answer(question: Callable[[], Any]) -> Any:
    """Return what is said, in full, or the error."""
    try:
        found = question()
    except PoisonError as error:
        return f"poison: {error}"
    except (ArithmeticError, ValueError, IndexError) as error:
        return type(error).__name__
    return repr(found)


def check_columns(given: TradeColumns, choose: random.Random) -> None:
    """Assert that columns of either kind say what those of Python say of the same trades."""
    known = compiled.to_python(given) if isinstance(given, compiled.TradeColumns) else given
    start, stop = choose.randint(-3, len(given) + 2), choose.randint(-3, len(given) + 2)
    some = (
        [choose.randint(-len(given), len(given) - 1) for _ in range(choose.randint(0, 5))]
        if len(given)
        else []
    )
    questions: list[Callable[[TradeColumns], Any]] = [
        len,
        lambda part: [
            part.venue,
            part.symbol,
            list(part.ids),
            list(part.prices),
            list(part.sizes),
            part.sides,
        ],
        lambda part: [list(part.event_times_us), list(part.ingest_times_us)],
        lambda part: part.lowest_id,
        lambda part: part.highest_id,
        lambda part: part.latest_time_us,
        lambda part: part.consecutive,
        lambda part: part.ascending,
        lambda part: part.has_zero,
        lambda part: part.valid(),
        lambda part: part.trades(),
        lambda part: part.trade(start),
        lambda part: part.slice(start, stop).trades(),
        lambda part: part.select(some).fold(),
        lambda part: part.shift_ids(start * 2**61).trades(),
        lambda part: compiled.concat([part, part.slice(start, stop), part]).trades(),
        lambda part: compiled.concat([part, known]).trades(),
        lambda part: part.fold() if part.valid() else None,
        lambda part: part.slice(start, stop).copy_rows() if part.valid() else None,
        lambda part: part.slice(start, stop).copy_binary_rows() if part.valid() else None,
        lambda part: part.slice(start, stop).json_rows() if part.valid() else None,
        lambda part: compiled.encode_columns([part, part]),
    ]
    for i, ask in enumerate(questions):
        ours, theirs = answer(lambda ask=ask: ask(given)), answer(lambda ask=ask: ask(known))  # type: ignore[misc]
        assert ours == theirs, (i, ours, theirs)
    assert answer(lambda: wire_columns.encode_columns([known, known])) == answer(
        lambda: compiled.encode_columns([given, known])
    )


def check_minutes(given: TradeColumns, choose: random.Random) -> None:
    """Assert that candles which grow by columns of both kinds are those of Python."""
    ours, theirs = compiled.MinuteCandles(), MinuteCandles()
    assert not ours
    for _ in range(choose.randint(1, 6)):
        at = choose.randint(0, len(given))
        part = given.slice(at, at + choose.randint(0, 9))
        if choose.random() < 0.2:
            part = compiled.to_python(part)
        ours.add(part)
        theirs.add(part)
        assert bool(ours) == bool(theirs)
        if choose.random() < 0.2:
            assert repr(ours.take()) == repr(theirs.take())
    assert repr(ours.take()) == repr(theirs.take())
    assert ours.take() == []


def check_entry(payload: bytes, choose: random.Random) -> None:
    """Assert that an entry decodes as in Python."""
    ours = answer(lambda: [part.trades() for part in compiled.decode_columns(payload)])
    theirs = answer(lambda: [part.trades() for part in wire_columns.decode_columns(payload)])
    assert ours == theirs, payload
    if not ours.startswith("poison"):
        for part in compiled.decode_columns(payload):
            check_columns(part, choose)
            if part.valid():
                check_minutes(part, choose)


def check_frames(venue: VenueAdapter, frames: Sequence[bytes], choose: random.Random) -> int:
    """Assert that frames give the trades that they give one by one; return how many were taken."""
    parse = getattr(compiled, f"parse_{venue.name}_frames")
    found, consumed = parse(frames, NOW_US)
    trades: list[Trade] = []
    for frame in frames[:consumed]:
        parsed = venue.parse_frame(frame, NOW_US)
        assert type(parsed) is tuple, frame
        assert parsed, frame
        trades += parsed
    assert [part.trades() for part in found] == [part.trades() for part in group_trades(trades)], frames
    for part in found:
        assert part.valid()
        check_columns(part, choose)
    return int(consumed)


# --- What is made up


def some_trades(choose: random.Random) -> list[Trade]:
    """Return trades of a symbol or some, mostly valid."""
    odd = choose.random() < 0.2
    names = [choose.choice(NAMES if odd else NAMES[:6]) for _ in range(choose.choice((1, 1, 2)))]
    first, now_us = choose.choice((1, 2**40, 2**62 - 3, 0)), NOW_US + choose.randrange(10**8)
    trades = []
    for i in range(choose.choice((1, 2, 5, 20, 300))):
        strange = odd and choose.random() < 0.1
        price, size = (choose.choice(ODD_DECIMALS) if strange else some_decimal(choose) for _ in range(2))
        trades.append(
            Trade(
                "binance",
                choose.choice(names),
                choose.choice(ODD_NUMBERS[:8]) if strange else first + i + (choose.random() < 0.01),
                price,
                size,
                choose.choice(SIDES),
                now_us + i * choose.choice((0, 1, 10**6)) + (choose.random() < 0.05) * 10**8,
                choose.choice((NOW_US, NOW_US, NOW_US + i)),
            )
        )
    return trades


def some_decimal(choose: random.Random) -> str:
    """Return a valid decimal, most often of 8 places."""
    if choose.random() < 0.05:
        return choose.choice(DECIMALS)
    places = 8 if choose.random() < 0.9 else choose.randint(0, 20)
    return f"{choose.randrange(10 ** choose.randint(1, 12))}.{choose.randrange(10**places):0{places}}"


def some_frame(venue: str, choose: random.Random) -> bytes:
    """Return a frame of trades, at times with something odd in it."""
    rows = [
        some_row(venue, choose)
        for _ in range(1 if venue in ("binance", "coinbase") else choose.randint(1, 4))
    ]
    if venue == "binance" and choose.random() < 0.5:
        return b'{"stream":"x@trade","data":' + rows[0] + b"}"
    if venue in ("binance", "coinbase"):
        return rows[0]
    kind = b'"channel":"trade"' if venue == "kraken" else b'"type":"trade"'
    fields = [kind, b'"data":[' + b",".join(rows) + b"]"]
    if choose.random() < 0.2:
        fields.reverse()
    return b"{" + b",".join(fields) + b"}"


def some_row(venue: str, choose: random.Random) -> bytes:
    """Return a trade as a venue writes it."""
    price, size = some_decimal(choose), some_decimal(choose)
    name, number = choose.choice(NAMES[:4]), choose.randrange(10**12)
    time = choose.choice(TIMES) if choose.random() < 0.1 else TIMES[0]
    fields: list[tuple[bytes, bytes]]
    if venue == "binance":
        event = choose.choice((b"1672515782136000", b"1672515782136"))
        fields = [
            (b"e", b'"trade"'),
            (b"E", b"1"),
            (b"s", _quoted(name)),
            (b"t", b"%d" % number),
            (b"p", _quoted(price)),
        ]
        fields += [
            (b"q", _quoted(size)),
            (b"T", event),
            (b"m", choose.choice((b"true", b"false"))),
            (b"M", b"true"),
        ]
    elif venue == "coinbase":
        fields = [(b"type", choose.choice((b'"match"', b'"last_match"'))), (b"trade_id", b"%d" % number)]
        fields += [(b"sequence", b"50"), (b"maker_order_id", b'"ac928c66"'), (b"time", _quoted(time))]
        fields += [(b"product_id", _quoted(name)), (b"size", _quoted(size)), (b"price", _quoted(price))]
        fields += [(b"side", choose.choice((b'"buy"', b'"sell"')))]
    elif venue == "kraken":
        fields = [(b"symbol", _quoted(name)), (b"side", choose.choice((b'"buy"', b'"sell"') * 9 + (b'"b"',)))]
        fields += [(b"price", price.encode()), (b"qty", size.encode()), (b"ord_type", b'"market"')]
        fields += [(b"trade_id", b"%d" % number), (b"timestamp", _quoted(time))]
    else:
        conditions = choose.choice((b"null", b"[]", b'["1", "12"]', b'["1","12"]'))
        fields = [(b"c", conditions), (b"p", price.encode()), (b"s", _quoted(name)), (b"t", b"1575526691136")]
        fields += [(b"v", size.encode())]
    if choose.random() < 0.1:
        choose.shuffle(fields)
    if choose.random() < 0.1:
        at = choose.randrange(len(fields))
        fields[at] = (fields[at][0], odd_value(choose))
    if choose.random() < 0.03:
        fields.insert(choose.randrange(len(fields)), choose.choice(fields))
    if choose.random() < 0.03:
        fields.pop(choose.randrange(len(fields)))
    mark = b": " if choose.random() < 0.05 else b":"
    return b"{" + b",".join(b'"' + key + b'"' + mark + value for key, value in fields) + b"}"


def _quoted(text: str) -> bytes:
    return b'"' + text.encode() + b'"'


def odd_value(choose: random.Random) -> bytes:
    """Return a JSON value, or what is none."""
    kind = choose.randrange(4)
    if kind == 0:
        return choose.choice(ODD_JSON)
    if kind == 1:
        return b"%d" % choose.choice(ODD_NUMBERS)
    return _quoted(choose.choice((*ODD_DECIMALS, *NAMES, *TIMES)))


def damage(given: bytes, choose: random.Random) -> bytes:
    """Return bytes with some changed, inserted, gone, or cut off."""
    kind = choose.randrange(4)
    at = choose.randrange(len(given) + 1)
    if kind == 0:
        return given[:at]
    if kind == 3:
        return given[:at] + given[at + 1 :]
    stop = at + choose.randrange(4) if kind == 1 else at
    return given[:at] + bytes(choose.randrange(256) for _ in range(choose.randrange(4))) + given[stop:]


def run(seed: int, rounds: int) -> None:
    """Hold the kernel to Python's answers so many times."""
    choose = random.Random(seed)
    venues = {name: make_adapter(name, api_key="key" if name == "finnhub" else None) for name in VENUES}
    taken = dict.fromkeys(VENUES, 0)
    for _ in range(rounds):
        columns = group_trades(some_trades(choose))
        payload = wire_columns.encode_columns(columns)
        check_entry(payload, choose)
        check_entry(damage(payload, choose), choose)
        check_entry(wire.encode_trades([trade for part in columns for trade in part.trades()]), choose)
        for name, venue in venues.items():
            frames = [some_frame(name, choose) for _ in range(choose.choice((0, 1, 3, 10)))]
            taken[name] += check_frames(venue, frames, choose)
            if frames:
                frames[choose.randrange(len(frames))] = damage(choose.choice(frames), choose)
                check_frames(venue, frames, choose)
    print(seed, taken)
    assert min(taken.values()) >= rounds // 10, f"nearly all frames were left to Python: {taken}"


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]))
