"""The frame of every call: its caller, its parsed request, and its status; the same for all methods.

Requests are parsed here rather than by the library, which logs a malformed one as an error of the program.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc.aio import ServicerContext
from msgspec import Struct
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.access.caller import ApiCaller, require_scope
from api.access.middleware import Access
from api.grpc.errors import code_of, status_of
from api.http.problems import Problem, problem_of
from api.http.response_headers import added_headers
from tickplant import metrics
from tickplant.api_keys import Scope

_log = logging.getLogger(__name__)

Context: TypeAlias = ServicerContext[bytes, bytes]

_PEER: Final = re.compile(r"ipv[46]:\[?([^\]]*)\]?:(\d+)")
_LATER_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
_DETAILS: Final = "grpc-status-details-bin"
"""The metadata that holds `google.rpc.Status`."""


class Call(Struct, frozen=True):
    """A call that its caller may make."""

    request: Any
    """The parsed message."""
    caller: ApiCaller
    context: Context
    scope: dict[str, Any]
    """ASGI's of a request with the same metadata: what checks requests checks calls."""
    ends: ExitStack
    """Closed when the client has the status, or has left."""


class StreamEndedError(Exception):
    """The server ends a stream."""

    def __init__(self, problem: Problem, cursor: str) -> None:
        """Say why, and where it continues."""
        super().__init__(problem.detail)
        self.problem = problem
        self.cursor = cursor


Method = Callable[[Call], Awaitable[Message | None]]
"""Returns the response; one that streams has written all."""


class Frame:
    """Serves the methods of services."""

    def __init__(self, access: Access, proxies: Sequence[str]) -> None:
        """Take who may call, and the proxies whose X-Forwarded-For counts."""
        self._access = access
        self._forwarded: Any = ProxyHeadersMiddleware(_nothing, list(proxies))

    def handlers(
        self, service: ServiceDescriptor, implementation: object, needed: Scope
    ) -> grpc.GenericRpcHandler:
        """Return the handlers of a service.

        Args:
            service: as in the schema.
            implementation: has a method for each of the service's, with its name in lower case.
            needed: the scope that callers need.
        """
        methods = {
            method.name: self._handler(
                method, getattr(implementation, _LATER_CAPITAL.sub("_", method.name).lower()), needed
            )
            for method in service.methods
        }
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _handler(
        self, method: MethodDescriptor, function: Method, needed: Scope
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        request = GetMessageClass(method.input_type)
        name = f"{method.containing_service.name}/{method.name}"

        async def serve(data: bytes, context: Context) -> bytes | None:
            started_s = time.perf_counter()
            code = grpc.StatusCode.CANCELLED
            with ExitStack() as ends:
                try:
                    call = await self._admit(data, request, context, needed, ends)
                    response = await function(call)
                    code = grpc.StatusCode.OK
                    return None if response is None else response.SerializeToString()
                except Exception as error:  # noqa: BLE001 - any error becomes a status
                    problem, cursor = _problem(error, name)
                    code = code_of(problem)
                finally:
                    metrics.GRPC_CALLS.labels(name, code.name).inc()
                    if not method.server_streaming:
                        metrics.GRPC_CALL_S.labels(name).observe(time.perf_counter() - started_s)
                await _abort(context, problem, cursor)
            return None

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(serve)
        return grpc.unary_unary_rpc_method_handler(serve)

    async def _admit(
        self, data: bytes, kind: type[Message], context: Context, needed: Scope, ends: ExitStack
    ) -> Call:
        """Check and parse a call.

        Raises:
            Problem: its caller may not make it, or the request is malformed.
        """
        scope = _scope(context)
        await self._forwarded(scope, None, None)
        caller = await self._access.admit(scope)  # type: ignore[arg-type] # it reads no more than `_scope` has
        require_scope(caller, needed)
        context.set_trailing_metadata(_metadata(added_headers(scope)))
        try:
            request = kind.FromString(data)
        except DecodeError as error:
            raise Problem(
                400, "malformed", f"the request is not a serialized {kind.DESCRIPTOR.full_name}: {error}"
            ) from error
        return Call(request, caller, context, scope, ends)


async def _nothing(*_: object) -> None:
    """End the chain of ASGI applications."""


def _problem(error: Exception, name: str) -> tuple[Problem, str]:
    """Return the problem of an error, and where its stream continues; unexpected errors are logged."""
    if isinstance(error, StreamEndedError):
        return error.problem, error.cursor
    problem = problem_of(error)
    if problem.code == "internal_error":
        _log.error("%s failed", name, exc_info=error)
    return problem, ""


async def _abort(context: Context, problem: Problem, cursor: str) -> None:
    """End a call with the status of a problem.

    A status follows what has been written before, so this lasts until the client has read that, or left.
    """
    status = status_of(problem, cursor)
    shown = {name: value for name, value in problem.headers.items() if name.startswith("RateLimit")}
    metadata = ((_DETAILS, status.SerializeToString()), *_metadata(shown))
    await context.abort(code_of(problem), status.message, metadata)


def _metadata(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers.items())


def _scope(context: Context) -> dict[str, Any]:
    """Return the scope of an HTTP request from the same client with the same metadata."""
    peer = _PEER.fullmatch(unquote(context.peer()))
    return {
        "type": "http",
        "scheme": "http",
        "client": (peer[1], int(peer[2])) if peer else None,
        "query_string": b"",
        "headers": [
            (name.encode(), value if isinstance(value, bytes) else value.encode(errors="replace"))
            for name, value in context.invocation_metadata() or ()
        ],
    }
