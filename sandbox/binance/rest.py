"""Binance's REST interface for market data: a path with its query to an answer, and the weight it uses up.

Its public archive of files, which has an address of its own, is served at the same address, without limits.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/rest-api

    GET /api/v3/trades?symbol=NOSUCH  ->  400 {"code":-1121,"msg":"Invalid symbol."}
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from sandbox.binance.archive import PREFIX, SandboxArchive
from sandbox.binance.endpoints import ENDPOINTS
from sandbox.binance.query import Query, RefusalError, read_values
from sandbox.limits import Budget, SandboxLimits
from sandbox.venue import Answer, SandboxMarket


class BinanceRest:
    """The interface, with the weight used in the running minute.

    Args:
        market: what is asked about.
        limits: the weight that may be used.
        clock_us: this machine's time, by which minutes are counted.
    """

    def __init__(self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]) -> None:
        self._market = market
        self._archive = SandboxArchive(market)
        self._budget = Budget(limits, clock_us)

    def get(self, path: str, headers: Mapping[str, str], now_us: int) -> Answer | None:
        """Answer a GET; `X-MBX-TIME-UNIT: MICROSECOND` asks for microseconds."""
        parts = urlsplit(path)
        if parts.path.startswith(PREFIX):
            return self._archive.get(parts.path, headers, now_us)
        endpoint = ENDPOINTS.get(parts.path)
        if endpoint is None:
            return None
        micro = headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
        try:
            self._charge(endpoint.weight)
            values = read_values(parts.query, endpoint.parameters)
            content = endpoint.read(Query(self._market, values, micro, now_us, self._budget.limit))
            return self._answer(200, content)
        except RefusalError as refusal:
            return self._answer(refusal.status, {"code": refusal.code, "msg": str(refusal)})

    def _charge(self, weight: int) -> None:
        if not self._budget.charge(weight):
            raise RefusalError(
                -1003,
                f"Too much request weight used; current limit is {self._budget.limit} request weight per"
                " 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
                429,
            )

    def _answer(self, status: int, content: Any) -> Answer:
        used = str(self._budget.used)
        extra = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if status == 429:
            extra["Retry-After"] = str(self._budget.retry_after_s)
        return json_answer(status, content, extra)


def json_answer(status: int, content: Any, extra: Mapping[str, str] | None = None) -> Answer:
    """Return an answer in JSON."""
    headers = {"Content-Type": "application/json;charset=UTF-8", **(extra or {})}
    return Answer(status, headers, msgspec.json.encode(content))
