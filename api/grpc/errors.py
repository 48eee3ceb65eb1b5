"""Problems as gRPC statuses, with the details of google.rpc. Pure.

Sources: https://grpc.io/docs/guides/status-codes/, and google/rpc/error_details.proto for the details.
"""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from api.http.problems import Problem

DOMAIN: Final = "tickplant"
"""Of `ErrorInfo`; its reason is the code of REST's problem in upper case."""
_CURSOR_CHARS: Final = 4096
"""The longest cursor that a status holds: clients accept some kilobytes of it."""

FIELDS: Final = {
    "after": "page_token",
    "limit": "page_size",
    "start": "start_us",
    "end": "end_us",
    "Idempotency-Key": "idempotency_key",
}
"""Fields whose names are not those of REST's parameters."""

_BY_CODE: Final = {
    "too_many_alerts": StatusCode.RESOURCE_EXHAUSTED,
    "too_slow": StatusCode.RESOURCE_EXHAUSTED,
    "idempotency_key_reused": StatusCode.ALREADY_EXISTS,
}
_BY_STATUS: Final = {
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    429: StatusCode.RESOURCE_EXHAUSTED,
    500: StatusCode.INTERNAL,
    503: StatusCode.UNAVAILABLE,
}


def code_of(problem: Problem) -> StatusCode:
    """Return the status code of a problem."""
    default = StatusCode.INVALID_ARGUMENT
    return _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, default)


def status_of(problem: Problem, cursor: str = "") -> Status:
    """Return a problem as `google.rpc.Status`.

    Its details are an `ErrorInfo`; a `BadRequest` if a field is wrong; and a `RetryInfo` if waiting may help.

    Args:
        problem: what is wrong.
        cursor: where a stream that ends with it continues; empty if there is none.
    """
    members = {
        name: ", ".join(value) if isinstance(value, list | tuple) else str(value)
        for name, value in problem.members.items()
    }
    detail = problem.detail
    parameter = members.get("parameter", "")
    if parameter in FIELDS:
        members["parameter"] = FIELDS[parameter]
        detail = detail.replace(f"{parameter}:", f"{FIELDS[parameter]}:", 1)
    if 0 < len(cursor) <= _CURSOR_CHARS:
        members["cursor"] = cursor
    status = Status(code=code_of(problem).value[0], message=detail)
    status.details.add().Pack(ErrorInfo(reason=problem.code.upper(), domain=DOMAIN, metadata=members))
    if parameter:
        violation = BadRequest.FieldViolation(field=members["parameter"], description=detail)
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    retry_s = problem.headers.get("Retry-After")
    if retry_s:
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=int(retry_s))))
    return status
