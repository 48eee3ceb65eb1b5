"""Records: what they hold, and that schema and code agree, in the eyes of Protobuf's own compiler."""

import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tickplant import wire
from tickplant.derived import Firing, Signal
from tickplant.errors import PoisonError
from tickplant.market import Candle, Gap, Trade
from tickplant.wire import LiveUpdate
from workers.mirror import protobuf
from workers.mirror.records import KINDS, Encoder, extract_results, extract_trades

ROOT = Path(__file__).parents[2]
TRADE = Trade("binance", "BTCUSDT", 2**62, "61837.63000000", "0.00", None, 1_723_161_255_342_001, 0)
CANDLE = Candle(
    *("kraken", "XBT/USD", "1m", 1_723_161_240_000_000),
    *(Decimal("1.50"), Decimal("2"), Decimal("0E-8"), Decimal("1E+3"), Decimal("0.1"), Decimal("0.15")),
    *(3, 1, 11, 2, 13, 1),
    closed=True,
    complete=None,
    taker_buy_volume=Decimal("0E-9"),
)
SIGNAL = Signal("dip", "binance", "BTCUSDT", 7, 5, 6, "61000.1", "buy", 0.25, {"zscore": -3.5, "é": 1e300})
FIRING = Firing("a1", 2, "me", "binance", "BTCUSDT", "silence", 9, None, None, "61", "60", "wake up")
THINGS: list[Any] = [TRADE, CANDLE, SIGNAL, FIRING]


def encode(thing: Struct, format: Any = "json") -> bytes:
    ((_, _, value),) = Encoder(prefix="t.", format=format).encode([thing])
    return value


def test_records_go_to_the_topic_of_their_kind_under_the_symbols_name() -> None:
    records = Encoder(prefix="t.", format="json").encode(THINGS)
    assert [(record.topic, record.key) for record in records] == [
        ("t.trades", b"binance:BTCUSDT"),
        ("t.candles", b"kraken:XBT/USD"),
        ("t.signals", b"binance:BTCUSDT"),
        ("t.alerts", b"binance:BTCUSDT"),
    ]


def test_json_has_decimals_as_exact_text_without_exponents() -> None:
    candle = msgspec.json.decode(encode(CANDLE))
    assert (candle["open"], candle["low"], candle["close"]) == ("1.50", "0.00000000", "1000")
    assert (candle["complete"], candle["revision"]) == (None, 1)
    assert msgspec.json.decode(encode(TRADE))["price"] == "61837.63000000"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_kind_is_mirrored(kind: type[Struct]) -> None:
    assert sorted(KINDS[kind].fields) == sorted(kind.__struct_fields__)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The schema, as Protobuf's compiler and runtime understand it."""
    folder = tmp_path_factory.mktemp("schema")
    assert protoc.main(["protoc", f"-I{ROOT / 'schema'}", f"--python_out={folder}", "tickplant.proto"]) == 0
    sys.path.insert(0, str(folder))
    try:
        return import_module("tickplant_pb2")
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_schema_numbers_the_fields_as_the_code_does(kind: type[Struct], compiled: ModuleType) -> None:
    fields = getattr(compiled, kind.__name__).DESCRIPTOR.fields
    assert [(field.number, field.name) for field in fields] == list(enumerate(KINDS[kind].fields, 1))
    hints = get_type_hints(kind)
    optional = {field.name for field in fields if field.has_presence}
    assert optional == {name for name, hint in hints.items() if type(None) in get_args(hint)}


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_consumers_read_with_the_schema_what_was_written(thing: Any, compiled: ModuleType) -> None:
    message = getattr(compiled, type(thing).__name__)()
    message.ParseFromString(encode(thing, "protobuf"))
    for name, value in msgspec.json.decode(encode(thing)).items():
        if value is None:
            assert not message.HasField(name)
        elif isinstance(value, dict):
            assert dict(getattr(message, name)) == value
        else:
            assert getattr(message, name) == value


@given(st.integers(-(2**63), 2**63 - 1), st.text(), st.floats(allow_nan=False), st.booleans())
def test_any_value_survives(compiled: ModuleType, whole: int, text: str, number: float, flag: bool) -> None:
    signal = compiled.Signal()
    signal.ParseFromString(
        protobuf.encode_message(["", "", "", whole, 0, 0, text, "", number, {text: number}])
    )
    assert (signal.number, signal.price, signal.strength) == (whole, text, number)
    assert signal.values[text] == number
    candle = compiled.Candle()
    candle.ParseFromString(protobuf.encode_message([None] * 16 + [flag, flag]))
    assert (candle.closed, candle.complete) == (flag, flag)


@pytest.mark.parametrize("field", [wire.TRADES, wire.UNNUMBERED, wire.HISTORICAL])
def test_trades_of_every_kind_of_entry_are_mirrored(field: bytes) -> None:
    assert extract_trades({field: wire.encode_trades([TRADE])}) == [TRADE]


def test_clocks_hold_nothing_to_mirror() -> None:
    assert extract_trades({wire.CLOCK: wire.encode_clock(wire.Clock("binance", ("BTCUSDT",), 1))}) == ()


def test_of_an_update_what_is_final_is_mirrored() -> None:
    open_candle = msgspec.structs.replace(CANDLE, closed=False)
    gap = Gap("binance", "BTCUSDT", 1, 2, 3, 4, "open", "ours", None, 2)
    update = LiveUpdate(
        prices=(TRADE,), candles=(open_candle, CANDLE), gaps=(gap,), signals=(SIGNAL,), firings=(FIRING,)
    )
    assert extract_results({wire.UPDATE: wire.encode_update(update)}) == [CANDLE, SIGNAL, FIRING]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"text"])
def test_what_is_not_understood_is_poison(payload: bytes) -> None:
    with pytest.raises(PoisonError):
        extract_results({wire.UPDATE: payload})
