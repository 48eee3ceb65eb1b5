"""Reports when a plant that was started is ready, when its API answers with a price, or what it waits for."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from tickplant.cli.terminal import Terminal

_open: Final = build_opener(
    ProxyHandler({}),
    HTTPSHandler(context=ssl._create_unverified_context()),  # noqa: S323
).open
"""Opens addresses of our own API, whatever proxy is set, and whatever name its certificate is for."""
_TIMEOUT_S: Final = 2.0
_POLL_S: Final = 0.25
_NO_TRADE_S: Final = 60.0
_CONNECT_S: Final = 5.0


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


async def report_unconnected(url: str, terminal: Terminal, *, after_s: float = _CONNECT_S) -> None:
    """Report, once each, the venues that are not connected some seconds after the start, and why.

    Later outages are in the lines of ingest.

    Args:
        url: of the API.
        terminal: where to report.
        after_s: how long connecting may take without a word.
    """
    await asyncio.sleep(after_s)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _NO_TRADE_S
    reported: set[str] = set()
    while loop.time() < deadline_s:
        found = _unconnected(await asyncio.to_thread(_read_connections, url))
        for venue in found.keys() - reported:
            terminal.report(f"{venue} is not connected: {found[venue]}; ingest keeps trying")
        reported |= found.keys()
        await asyncio.sleep(_POLL_S)


def _unconnected(connections: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the venues without any live connection, with the reason that one of theirs is down."""
    live = {connection["venue"] for connection in connections if connection["state"] == "live"}
    return {
        connection["venue"]: connection["reason"]
        for connection in connections
        if connection["venue"] not in live and connection["reason"]
    }


def _read_connections(url: str) -> list[dict[str, Any]]:
    """Return the connections that the API lists; none while it doesn't answer."""
    try:
        with _open(f"{url}/api/v1/connections", timeout=_TIMEOUT_S) as answer:
            connections: list[dict[str, Any]] = json.load(answer)["connections"]
            return connections
    except (OSError, HTTPException, ValueError, KeyError):
        return []


def _has_price(url: str, symbols: Sequence[str]) -> bool:
    return any(_answers(f"{url}/api/v1/price/{quote(symbol, safe=':')}") for symbol in symbols)


def _answers(url: str) -> bool:
    """Return whether a request is answered with status 200, or needs a key, which `up` has none of."""
    try:
        with _open(url, timeout=_TIMEOUT_S):
            return True
    except HTTPError as error:
        return error.code == HTTPStatus.UNAUTHORIZED
    except (OSError, HTTPException):  # also an answer that there is no price, or that is not HTTP
        return False
