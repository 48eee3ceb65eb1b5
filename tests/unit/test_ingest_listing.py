"""Venues' lists of symbols, and what they say of the symbols that are asked for."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from working import until

from ingest.listing import ListingCheck, ListingError, fetch_listing, find_problems
from ingest.venues import make_adapter
from ingest.venues.base_rest import TRADING, ListedSymbol, ListingAdapter
from tickplant.errors import PoisonError
from tickplant.market import Trade

ANSWERS = {
    "binance": b'{"timezone":"UTC","rateLimits":[],"symbols":[{"symbol":"BTCUSDT","status":"TRADING",'
    b'"permissionSets":[["SPOT"]]},{"symbol":"LUNAUSDT","status":"BREAK"}]}',
    "coinbase": b'[{"id":"BTC-USD","status":"online","trading_disabled":false},'
    b'{"id":"OLD-USD","status":"delisted","trading_disabled":true},'
    b'{"id":"HELD-USD","status":"online","trading_disabled":true}]',
    "kraken": b'{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","status":"online"},'
    b'"XDGUSD":{"altname":"XDGUSD","wsname":"XDG/USD","status":"cancel_only"},"DARK.d":{"altname":"X"}}}',
}
LISTED = {
    "binance": {"BTCUSDT": TRADING, "LUNAUSDT": "BREAK"},
    "coinbase": {"BTC-USD": TRADING, "OLD-USD": "delisted", "HELD-USD": "trading is disabled"},
    "kraken": {"BTC/USD": TRADING, "DOGE/USD": "cancel_only"},
}


def make(name: str) -> ListingAdapter:
    venue = make_adapter(name)
    assert isinstance(venue, ListingAdapter)
    return venue


@pytest.mark.parametrize("name", ANSWERS)
def test_a_list_has_each_symbol_as_it_is_subscribed_to(name: str) -> None:
    assert dict(make(name).parse_symbols(ANSWERS[name])) == LISTED[name]


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1]", b'{"symbols":7,"result":7}', b'{"error":["EService:x"]}']
)
def test_what_is_no_list_is_an_error(name: str, body: bytes) -> None:
    with pytest.raises(PoisonError):
        make(name).parse_symbols(body)


EMPTY = {
    "binance": [b'{"symbols":[]}'],
    "coinbase": [b"[]", b"[{}]"],
    "kraken": [b"{}", b'{"error":[],"result":{}}', b'{"error":[],"result":{"DARK.d":{"altname":"X"}}}'],
}


@pytest.mark.parametrize(("name", "body"), [(name, body) for name in EMPTY for body in EMPTY[name]])
def test_an_empty_list_is_none(name: str, body: bytes) -> None:
    with pytest.raises(PoisonError, match="list of symbols"):
        make(name).parse_symbols(body)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("binance", b'{"symbol":"LUNAUSDT"', b'{"symbol":7},{"symbol":"LUNAUSDT"'),
        ("coinbase", b'{"id":"OLD-USD"', b'{"id":null},{"id":"OLD-USD"'),
        ("kraken", b'"XDGUSD":', b'"ODD":{"wsname":7},"XDGUSD":'),
    ],
)
def test_a_bad_row_loses_no_other(name: str, good: bytes, bad: bytes) -> None:
    assert dict(make(name).parse_symbols(ANSWERS[name].replace(good, bad))) == LISTED[name]


def test_finnhub_has_no_list() -> None:
    assert not isinstance(make_adapter("finnhub", api_key="k"), ListingAdapter)


def test_symbols_that_are_not_listed_are_named_with_those_that_may_be_meant() -> None:
    listed = {name: ListedSymbol(name, TRADING) for name in ("BTCUSDT", "BTCUSDC", "ETHUSDT")}
    listed["LUNAUSDT"] = ListedSymbol("LUNAUSDT", "BREAK")
    found = find_problems(["BTCUSDT", "BTCUSDTT", "BTC/USDT", "LUNAUSDT"], listed)
    assert found["BTCUSDT"] is None
    for symbol in ("BTCUSDTT", "BTC/USDT"):
        state, reason = found[symbol] or ("", "")
        assert state == "unknown"
        assert "similar symbols are BTCUSDT" in reason
    assert found["LUNAUSDT"] == ("halted", "the venue does not trade it: BREAK")


class Feed:
    symbols: tuple[str, ...] = ("BTCUSDT", "BTCUSDTT")

    def __init__(self) -> None:
        self.problems: dict[tuple[str, str], str] = {}
        self.trades: dict[str, Trade] = {}

    def note_listing(self, symbol: str, state: str, reason: str) -> None:
        if reason:
            self.problems[symbol, state] = reason
        else:
            self.problems.pop((symbol, state), None)

    def last_trade(self, symbol: str) -> Trade | None:
        return self.trades.get(symbol)


def client_of(answers: Mapping[str, tuple[int, bytes]]) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        status, body = answers[request.url.path]
        return httpx.Response(status, content=body)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_an_unavailable_symbol_list_is_an_error_with_the_reason() -> None:
    async with client_of({"/api/v3/exchangeInfo": (503, b"maintenance")}) as client:
        with pytest.raises(ListingError, match="status 503: maintenance"):
            await fetch_listing(make("binance"), "http://venue", client)


async def test_unknown_and_silent_symbols_are_noted_and_cleared() -> None:
    feed, stop, now_s = Feed(), asyncio.Event(), 0.0
    answers = {"/api/v3/exchangeInfo": (200, ANSWERS["binance"])}
    async with client_of(answers) as client:
        check = ListingCheck(
            name="binance",
            venue=make("binance"),
            base_url="http://venue",
            client=client,
            rate=None,
            feeds=[feed],
            silent_s=3600,
            silence_check_s=0.01,
            clock_s=lambda: now_s,
        )
        running = asyncio.create_task(check.run(stop))

        async def noted(problems: set[tuple[str, str]]) -> None:
            async def is_so() -> bool:
                return feed.problems.keys() == problems

            await until(is_so, f"{problems}")

        await noted({("BTCUSDTT", "unknown")})
        now_s = 3600.0
        await noted({("BTCUSDTT", "unknown"), ("BTCUSDT", "silent"), ("BTCUSDTT", "silent")})
        feed.trades["BTCUSDT"] = Trade("binance", "BTCUSDT", 1, "1", "1", "buy", 1, 1)
        await noted({("BTCUSDTT", "unknown"), ("BTCUSDTT", "silent")})
        answers["/api/v3/exchangeInfo"] = (200, ANSWERS["binance"].replace(b"LUNAUSDT", b"BTCUSDTT"))
        now_s = 24 * 3600.0
        await noted({("BTCUSDTT", "halted"), ("BTCUSDTT", "silent"), ("BTCUSDT", "silent")})
        stop.set()
        await running
