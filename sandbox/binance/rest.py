"""Binance's REST interface for market data: a path with its query to an answer, and the weight it uses up.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/rest-api

    GET /api/v3/trades?symbol=NOSUCH  ->  400 {"code":-1121,"msg":"Invalid symbol."}
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from sandbox.binance.endpoints import ENDPOINTS, WEIGHT_PER_MINUTE
from sandbox.binance.query import Query, RefusalError, read_values
from sandbox.source import Source
from tickplant.intervals import MINUTE_US


class Answer(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


class Rest:
    """The interface, with the weight used in the running minute.

    Args:
        source: whose trades are asked for.
        now_us: this machine's time, by which minutes are counted.
        weight_per_minute: requests are refused from there on.
    """

    def __init__(
        self, source: Source, now_us: Callable[[], int], weight_per_minute: int = WEIGHT_PER_MINUTE
    ) -> None:
        self._source = source
        self._now_us = now_us
        self._weight_per_minute = weight_per_minute
        self._minute = 0
        self._used = 0

    def get(self, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Answer a GET; None if nothing is there.

        Args:
            path: with its query.
            headers: of the request; `X-MBX-TIME-UNIT: MICROSECOND` asks for microseconds.
        """
        parts = urlsplit(path)
        endpoint = ENDPOINTS.get(parts.path)
        if endpoint is None:
            return None
        micro = headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
        try:
            self._charge(endpoint.weight)
            values = read_values(parts.query, endpoint.parameters)
            return self._answer(200, endpoint.read(Query(self._source, values, micro)))
        except RefusalError as refusal:
            return self._answer(refusal.status, {"code": refusal.code, "msg": str(refusal)})

    def _charge(self, weight: int) -> None:
        minute = self._now_us() // MINUTE_US
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        if self._used > self._weight_per_minute:
            raise RefusalError(
                -1003,
                f"Too much request weight used; current limit is {self._weight_per_minute} request weight per"
                " 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
                429,
            )

    def _answer(self, status: int, content: Any) -> Answer:
        headers = {
            "Content-Type": "application/json;charset=UTF-8",
            "X-MBX-USED-WEIGHT": str(self._used),
            "X-MBX-USED-WEIGHT-1M": str(self._used),
        }
        if status == 429:
            headers["Retry-After"] = str(60 - self._now_us() % MINUTE_US // 1_000_000)
        return Answer(status, headers, msgspec.json.encode(content))
