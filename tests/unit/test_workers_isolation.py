"""What is kept out of transactions, and for how long."""

from typing import Any

import pytest
from working import START_US, trade

from tickplant import wire
from tickplant.kernel import decode_trades, encode_trades
from tickplant.market import SymbolId, Trade
from workers.isolation import NO_TRADES, Isolation, join_parts, split_entry
from workers.ranges import Ranges

BAD, GOOD = SymbolId("binance", "AAAUSDT"), SymbolId("binance", "BBBUSDT")


def of(symbol: SymbolId, *ids: int) -> list[Trade]:
    return [trade(i, at_us=START_US + i, symbol=symbol.symbol) for i in ids]


def entry(*trades: Trade, name: bytes = wire.TRADES) -> dict[bytes, bytes]:
    return {name: encode_trades(trades)}


def ids(fields: dict[bytes, bytes]) -> list[int]:
    (payload,) = fields.values()
    return [each.trade_id for each in decode_trades(payload)]


def test_a_symbol_is_shut_when_it_is_refused_again_and_again_and_tried_later() -> None:
    isolation = Isolation()
    both = entry(*of(BAD, 1), *of(GOOD, 2), *of(BAD, 3))
    for count in range(3):
        isolation.note_refused(BAD, of(BAD, 1), "too large", now_s=count)
        assert isolation.filter(both, now_s=count) == (both, [])
    isolation.note_refused(BAD, of(BAD, 1), "too large", now_s=10)
    rest, refused = isolation.filter(both, now_s=11)
    assert ids(rest) == [2]
    assert [(reason, [trade.trade_id for trade in trades]) for reason, trades in refused] == [
        ("too large", [1, 3])
    ]
    assert isolation.filter(both, now_s=13) == (both, [])
    for _ in range(30):
        isolation.note_refused(BAD, of(BAD, 1), "too large", now_s=20)
    assert isolation.filter(both, now_s=600)[1]
    assert not isolation.filter(both, now_s=700)[1]
    isolation.note_refused(BAD, of(BAD, 1), "too large", now_s=10_000)  # the others are long ago
    assert not isolation.filter(both, now_s=10_000)[1]


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        (entry(*of(BAD, 1), name=wire.HISTORICAL), entry(name=wire.HISTORICAL)),
        (entry(*of(GOOD, 1), name=wire.UNNUMBERED), None),
        (
            {wire.CLOCK: wire.encode_clock(wire.Clock("binance", ("AAAUSDT", "BBBUSDT"), 7))},
            {wire.CLOCK: wire.encode_clock(wire.Clock("binance", ("BBBUSDT",), 7))},
        ),
        ({wire.CLOCK: wire.encode_clock(wire.Clock("binance", ("AAAUSDT",), 7))}, NO_TRADES),
        ({wire.VERDICT: wire.encode_verdict(wire.Verdict(*BAD, 1, 2, "void"))}, NO_TRADES),
        ({wire.VERDICT: wire.encode_verdict(wire.Verdict(*GOOD, 1, 2, "void"))}, None),
        ({wire.TRADES: b"\xc1"}, None),
        ({b"?": b""}, None),
    ],
)
def test_everything_in_an_entry_about_an_isolated_symbol_is_skipped(fields: Any, rest: Any) -> None:
    isolation = Isolation()
    for _ in range(9):
        isolation.note_refused(BAD, (), "too large", now_s=0)
    assert isolation.filter(fields, now_s=1)[0] == (fields if rest is None else rest)


def test_parts_make_up_the_whole() -> None:
    whole = entry(*of(BAD, 1), *of(GOOD, 2), *of(BAD, 3))
    parts = split_entry(whole)
    assert [(part.symbol, ids(part.fields)) for part in parts] == [(BAD, [1, 3]), (GOOD, [2])]
    assert sorted(ids(join_parts(whole, parts))) == [1, 2, 3]


def test_refused_ids_are_reported_once_missing_and_again_if_that_was_not_stored() -> None:
    isolation = Isolation()
    missing = Ranges()
    isolation.note_refused(BAD, of(BAD, 5, 6, 9), "too large", now_s=0)
    isolation.note_refused(GOOD, of(GOOD, 1), "too large", now_s=0)

    def reported() -> list[tuple[int, int]]:
        verdicts = isolation.take_missing({BAD: missing}.get)
        return [
            (verdict.first_id, verdict.last_id) for verdict in verdicts if verdict.verdict == "unrecoverable"
        ]

    assert reported() == []
    missing.add(4, 6)
    assert reported() == [(5, 6)]
    assert reported() == []
    missing.add(8, 20)
    assert reported() == [(9, 9)]
    isolation.reset()
    missing.discard(6, 6)
    assert reported() == [(5, 5), (9, 9)]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.isolation._MAX_REFUSED", 3)
    isolation = Isolation()
    isolation.note_refused(BAD, of(BAD, *range(0, 100, 2)), "too large", now_s=0)
    missing = Ranges([(0, 200)])
    assert [gap.first_id for gap in isolation.take_missing({BAD: missing}.get)] == [94, 96, 98]
