"""Reports when a plant that was started is ready: when its API answers with a price."""

import asyncio
from collections.abc import Sequence
from http.client import HTTPException
from typing import Final
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

from tickplant.cli.terminal import Terminal

_open: Final = build_opener(ProxyHandler({})).open  # our own API, whatever proxy is set
_TIMEOUT_S: Final = 2.0
_POLL_S: Final = 0.25
_NO_TRADE_S: Final = 60.0


async def report_ready(url: str, symbols: Sequence[str], terminal: Terminal) -> None:
    """Report the address of the page as soon as the API answers with the price of a symbol.

    If no trade is received within a minute, a line reports that, and the wait continues.

    Args:
        url: of the API.
        symbols: those that are received, as `venue:SYMBOL`.
        terminal: where to report.
    """
    loop = asyncio.get_running_loop()
    report_at_s = loop.time() + _NO_TRADE_S
    while not await asyncio.to_thread(_has_price, url, symbols):
        if loop.time() > report_at_s:
            report_at_s = float("inf")
            terminal.report(f"no trade has come yet; {url}/health shows the state of each connection")
        await asyncio.sleep(_POLL_S)
    terminal.report(f"ready: {url}/ is the page; {url}/docs describes the API")


def _has_price(url: str, symbols: Sequence[str]) -> bool:
    return any(_answers(f"{url}/api/v1/price/{quote(symbol, safe=':')}") for symbol in symbols)


def _answers(url: str) -> bool:
    """Return whether a request is answered with status 200."""
    try:
        with _open(url, timeout=_TIMEOUT_S):
            return True
    except (OSError, HTTPException):  # also an answer that there is no price, or that is not HTTP
        return False
