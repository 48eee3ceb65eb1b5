"""Litestar middleware that identifies the caller of every request, and checks its scope.

A route needs the scope `read` unless its `opt` names another one: forgotten routes are closed, not open.
"""

from collections.abc import Callable
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from api.access.addresses import address_of
from api.access.caller import ApiCaller, put_caller, require_scope
from api.access.credentials import find_key
from api.access.key_ring import KeyRing
from api.access.rate_limits import RequestLimiter
from api.http.problems import Problem, send_problem
from api.http.response_headers import add_headers
from tickplant import api_keys, metrics

_OPT: Final = "scope"

OPEN: Final[dict[str, Any]] = {_OPT: None}
"""The `opt` of routes that anybody may use."""
NEEDS_ALERTS: Final[dict[str, Any]] = {_OPT: "alerts"}
NEEDS_ADMIN: Final[dict[str, Any]] = {_OPT: "admin"}
CHECKS_ITSELF: Final = OPEN
"""The `opt` of websockets whose key may also be in their first message."""


def scope_of(handler: BaseRouteHandler) -> api_keys.Scope | None:
    """Return the scope that a route needs; None if anybody may use it."""
    scope: api_keys.Scope | None = handler.opt.get(_OPT, "read")
    return scope


class Access:
    """Identifies callers."""

    def __init__(
        self, keys: KeyRing, limiter: RequestLimiter, *, without_key: frozenset[api_keys.Scope]
    ) -> None:
        """Take the valid keys, the limiter of requests, and what callers without a key may do."""
        self.keys = keys
        self._limiter = limiter
        self._nobody = ApiCaller(None, without_key)

    def identify(self, text: str | None) -> ApiCaller:
        """Return the caller with a key, or without one.

        Raises:
            Problem: the key is not valid.
        """
        if text is None:
            return self._nobody
        row = self.keys.find(text)
        return ApiCaller(row.key_id, api_keys.all_scopes(row.scopes))

    async def admit(self, scope: Scope) -> ApiCaller:
        """Count a request, and return its caller; one with an invalid key counts for its address.

        Raises:
            Problem: its key is not valid, or there are too many requests.
        """
        address = address_of(scope)
        try:
            caller = self.identify(find_key(scope))
        except Problem as problem:
            problem.headers |= await self._limiter.admit(self._nobody, address)
            raise
        add_headers(scope, await self._limiter.admit(caller, address))
        return caller

    async def check(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to an application if its caller may send it."""
        if scope["type"] == ScopeType.HTTP and scope["method"] == "OPTIONS":
            await app(scope, receive, send)
            return
        try:
            caller = await self.admit(scope)
            require_scope(caller, scope_of(scope["route_handler"]))
        except Problem as problem:
            if scope["type"] != ScopeType.WEBSOCKET:
                raise
            metrics.API_TURNED_AWAY.labels(problem.code).inc()
            await send_problem(scope, send, problem)
            return
        put_caller(scope, caller)
        await app(scope, receive, send)


def checked(access: Callable[[], Access]) -> Callable[[ASGIApp], ASGIApp]:
    """Return middleware that checks each request by what `access` returns then."""

    def middleware(app: ASGIApp) -> ASGIApp:
        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            await access().check(app, scope, receive, send)

        return check

    return middleware
