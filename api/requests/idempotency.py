"""The header Idempotency-Key: a repeated request has no effect, and gets the first one's answer."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec
from litestar.params import HeaderParameter

from api.access.caller import ApiCaller
from api.http.problems import Problem, bad_parameter
from api.requests.alerts import AlertRequest
from api.views.alerts import AlertView, alert_view
from db.alerts.lists import AlertRow
from db.alerts.repeated_requests import OtherRequestError, RepeatableRequest, read_answer, write_answer
from db.pool import DatabaseConnection, Pool, transaction

_NAME: Final = "Idempotency-Key"
_MAX_CHARS: Final = 255

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=_NAME,
        min_length=1,
        max_length=_MAX_CHARS,
        pattern="^[\\x21-\\x7e]+$",
        description="Any text that identifies the request, such as a UUID: if it is repeated within a day,"
        " no second alert is created.",
    ),
]


def repeatable_request(caller: ApiCaller, key: str | None, request: AlertRequest) -> RepeatableRequest | None:
    """Return what identifies a request; None if it has no idempotency key.

    Raises:
        Problem: the key is malformed.
    """
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key and 0 < len(key) <= _MAX_CHARS):
        raise bad_parameter(_NAME, f"must be 1 to {_MAX_CHARS} visible ASCII characters")
    digest = hashlib.sha256(msgspec.json.encode(request)).digest()
    return RepeatableRequest(caller.key_id or "", key, digest)


async def create_once(
    pool: Pool,
    request: RepeatableRequest | None,
    create: Callable[[DatabaseConnection], Awaitable[AlertRow]],
) -> AlertView:
    """Create an alert in a transaction, unless that was done for the same request before.

    Raises:
        Problem: the idempotency key was used for another request.
    """
    async with transaction(pool) as connection:
        if request is None:
            return alert_view(await create(connection))
        try:
            answer = await read_answer(connection, request)
        except OtherRequestError:
            raise Problem(
                422,
                "idempotency_key_reused",
                f"{_NAME}: it was used for another request; send another one with each new alert",
                parameter=_NAME,
            ) from None
        if answer is not None:
            return msgspec.json.decode(answer, type=AlertView)
        view = alert_view(await create(connection))
        await write_answer(connection, request, view.alert_id, msgspec.json.encode(view))
        return view
