"""Finnhub as it documents itself: keys, subscriptions without answers, errors, pings."""

import json
from typing import Any

import pytest
from sandbox_tape import Stopped, make_tape

from sandbox.finnhub.session import FinnhubSession
from sandbox.finnhub.venue import SandboxFinnhub
from sandbox.frames import View
from sandbox.tape import Tape
from sandbox.venue import BadAddressError, SandboxRest, SyntheticTrade, ViewFit
from tickplant.errors import PoisonError
from tickplant.market import SymbolId, Trade

START_US = 1_575_526_691_134_000
FINNHUB = SandboxFinnhub()

SAMPLE = (
    b'{"data":[{"c":["1","12"],"p":122.10,"s":"AAPL","t":1575526691136,"v":100},'
    b'{"c":null,"p":7.29689e-05,"s":"BINANCE:BTCUSDT","t":1575526691134,"v":0.011467}],"type":"trade"}'
)


def tape() -> Tape:
    trades = [
        Trade("finnhub", symbol, 0, "122.1", "100", None, START_US, START_US)
        for symbol in ("AAPL", "IBM", "AAPL")
    ]
    return make_tape(FINNHUB, trades)


def request(session: FinnhubSession, **request: Any) -> list[Any]:
    return [json.loads(text) for text in session.receive(json.dumps(request))]


def test_a_frame_has_trades_of_several_symbols_with_their_numbers_own_text() -> None:
    parsed = FINNHUB.parse_frame(SAMPLE, 0)
    assert parsed is not None
    assert parsed.stream == "AAPL BINANCE:BTCUSDT"
    assert parsed.event_time_us == 1_575_526_691_136_000
    first, second = parsed.trades
    assert (first.symbol, first.price, first.size, first.side, first.trade_id) == (
        "AAPL", "122.10", "100", None, 0,
    )  # fmt: skip
    assert (second.price, second.size, second.event_time_us) == ("0.0000729689", "0.011467", START_US)


def test_a_frame_is_cut_to_the_symbols_asked_for() -> None:
    view = View(frozenset({"BINANCE:BTCUSDT"}))
    assert FINNHUB.fit("AAPL BINANCE:BTCUSDT", view) is ViewFit.STYLED
    assert FINNHUB.style(SAMPLE, "AAPL BINANCE:BTCUSDT", view) == (
        b'{"data":[{"c":null,"p":7.29689e-05,"s":"BINANCE:BTCUSDT","t":1575526691134,"v":0.011467}],"type":"trade"}'
    )


@pytest.mark.parametrize("broken", [SAMPLE[:-3], SAMPLE.replace(b"122.10", b"null"), b'{"type":"trade"}'])
def test_a_broken_frame_is_refused(broken: bytes) -> None:
    with pytest.raises(PoisonError):
        FINNHUB.parse_frame(broken, 0)


def test_pings_are_not_played() -> None:
    assert FINNHUB.parse_frame(b'{"type":"ping"}', 0) is None


def test_trades_without_ids_are_numbered_on_a_tape() -> None:
    made = tape()
    history = made.history(SymbolId("finnhub", "AAPL"), len(made))
    assert [trade.trade_id for trade in history.latest(5)] == [1, 2]


def test_an_orders_trades_are_one_frame() -> None:
    order = [SyntheticTrade(0, 1, "1.5", "20", "sell"), SyntheticTrade(0, 2, "1.5", "20", "sell")]
    (text,) = FINNHUB.encode_order("AAPL", order, START_US)
    assert [(each.price, each.size) for each in FINNHUB.read_trades(text)] == [("1.5", "20")] * 2


def test_subscriptions_are_answered_only_when_they_are_refused() -> None:
    session = FinnhubSession(Stopped(tape()))
    assert request(session, type="subscribe", symbol="AAPL") == []
    assert request(session, type="subscribe", symbol="NOSUCH") == [{"msg": "Invalid symbol", "type": "error"}]
    assert session.view.streams == {"AAPL"}
    assert request(session, type="unsubscribe", symbol="AAPL") == []
    assert not session.view.streams
    assert request(session, type="jump")[0]["type"] == "error"
    assert json.loads(session.receive("nonsense")[0])["type"] == "error"
    assert session.refuse('{"type":"subscribe","symbol":"AAPL"}')
    assert session.refuse('{"type":"unsubscribe","symbol":"AAPL"}') is None


def test_a_ping_comes_after_a_while_of_silence() -> None:
    session = FinnhubSession(Stopped(tape()))
    beats = [session.beat(quiet=quiet) for quiet in (True, True, False, *(True,) * 5, True)]
    assert beats == [[]] * 7 + [['{"type":"ping"}'], []]


@pytest.mark.parametrize(("path", "status"), [("/", 401), ("/?token=", 401), ("/ws?token=x", 404)])
def test_an_address_without_a_key_is_refused(path: str, status: int) -> None:
    market = Stopped(tape())
    with pytest.raises(BadAddressError) as refused:
        FINNHUB.open_session(path, market, market.now_us)
    assert refused.value.status == status
    FINNHUB.open_session("/?token=x", market, market.now_us)


def test_there_is_no_history() -> None:
    rest: SandboxRest = FINNHUB.open_rest(Stopped(tape()), FINNHUB.limits, lambda: 0)
    assert rest.get("/api/v1/stock/tick", {}, 0) is None
