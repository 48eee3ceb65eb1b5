"""ASGI middleware that refuses requests for hosts other than this API's."""

from typing import Any, Final, cast
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http.problems import Problem, send_problem
from tickplant import metrics
from tickplant.hosts import Hosts

REFUSED: Final = "host_refused"


def host_checked(app: ASGIApp, hosts: Hosts) -> Any:
    """Return an application that serves only requests for the given hosts.

    A request without a Host header passes: it is HTTP/1.0, of a health check for example; no browser sends
    it. Headers that proxies add, such as X-Forwarded-Host, are ignored: a page can set them.
    """

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope = _without_authority(scope, hosts)
            for name, value in scope["headers"]:
                if name == b"host":
                    _check(value.decode("latin-1"), hosts)
        except Problem as problem:
            if scope["type"] == ScopeType.WEBSOCKET:
                metrics.API_TURNED_AWAY.labels(problem.code).inc()
            await send_problem(scope, send, problem)
            return
        await app(scope, receive, send)

    return check


def _without_authority(scope: Scope, hosts: Hosts) -> Scope:
    """Return the scope with the path alone, where the request target is a whole URL, as for proxies."""
    if scope["path"].startswith("/"):
        return scope
    try:
        target = urlsplit(scope["raw_path"].decode("latin-1"))
    except ValueError as error:
        raise Problem(400, "bad_request", "the request's target is not a valid URL") from error
    if target.scheme.lower() not in ("http", "https", "ws", "wss"):
        return scope
    _check(target.netloc, hosts)
    path = "/" + scope["path"].split("/", 3)[3] if target.path else "/"
    raw_path = (target.path or "/").encode("latin-1")
    return cast(Scope, {**scope, "path": path, "raw_path": raw_path})


def _check(authority: str, hosts: Hosts) -> None:
    if not hosts.admit(authority):
        raise Problem(
            421,
            REFUSED,
            f"the host {authority[:80]!r} is not allowed: use localhost or an IP address, or add the host to"
            " TICKPLANT_API_HOSTS",
        )
