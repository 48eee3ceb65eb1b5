"""Serves metrics, and the probes of a service that has no HTTP interface otherwise.

`/health/live` fails while the event loop doesn't run, `/health/ready` while a part of the service can't do
its work. Threads answer, so that a busy event loop delays neither metrics nor the answer that it is busy.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LIVE: Final = "/health/live"
READY: Final = "/health/ready"
LIVE_S: Final = 4.0
"""The longest time that the event loop may take to answer; less than the usual timeout of a probe, 5 s."""
_STARTING: Final = "it is starting"


class ServiceReadiness:
    """What keeps each part of a service from its work."""

    def __init__(self) -> None:
        """Start without a part: the service is starting."""
        self._problems: dict[str, str | None] = {}

    def note(self, part: str, problem: str | None) -> None:
        """Record why a part can't do its work; None: it can."""
        self._problems[part] = problem

    @property
    def problem(self) -> str | None:
        """Why the service can't do its work; None: it can."""
        problems = list(self._problems.items())  # read by other threads
        if not problems:
            return _STARTING
        return "; ".join(f"{part}: {problem}" for part, problem in problems if problem) or None


def serve_probes(host: str, port: int, readiness: ServiceReadiness, *, live_s: float = LIVE_S) -> WSGIServer:
    """Serve metrics and probes in threads; call it in the event loop that `/health/live` is about.

    Args:
        host: address or name to listen on.
        port: 0 for any that is free.
        readiness: of the service.
        live_s: the longest time that the event loop may take to answer.

    Raises:
        OSError: nothing can listen there.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server_class = type("Server", (_ProbeServer,), {"address_family": family})
    app = _make_app(asyncio.get_running_loop(), readiness, live_s)
    server: WSGIServer = make_server(str(address[0]), port, app, server_class, _Handler)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server


class _ProbeServer(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Doesn't log requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Do nothing."""


def _make_app(
    loop: asyncio.AbstractEventLoop, readiness: ServiceReadiness, live_s: float
) -> "WSGIApplication":
    metrics: WSGIApplication = make_wsgi_app()

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == LIVE:
            return _answer(start_response, "live", _why_not_live(loop, live_s))
        if path == READY:
            return _answer(start_response, "ready", readiness.problem)
        return metrics(environ, start_response)

    return app


def _why_not_live(loop: asyncio.AbstractEventLoop, live_s: float) -> str | None:
    answered = threading.Event()
    try:
        loop.call_soon_threadsafe(answered.set)
    except RuntimeError:  # it is closed
        return "it has stopped"
    return None if answered.wait(live_s) else f"the event loop has not answered for {live_s:g} s"


def _answer(start_response: "StartResponse", good: str, problem: str | None) -> Iterable[bytes]:
    status, body = "200 OK", {"status": good}
    if problem is not None:
        status, body = "503 Service Unavailable", {"status": f"not {good}", "problem": problem}
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(body).encode()]
