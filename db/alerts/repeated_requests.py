"""Requests that create alerts and may be repeated: the answer to each is kept for a day."""

from typing import Final, NamedTuple

from db.pool import DatabaseConnection


class RepeatableRequest(NamedTuple):
    """A request with an idempotency key."""

    key_id: str
    """The API key that sent it; empty without one."""
    idempotency_key: str
    digest: bytes
    """Of the request, which must be the same if it is repeated."""


class OtherRequestError(Exception):
    """Another request was sent with the same idempotency key."""


async def read_answer(connection: DatabaseConnection, request: RepeatableRequest) -> bytes | None:
    """Return the answer to a request that is repeated; None if it is the first one.

    Requests with the same key wait until the transaction ends.

    Raises:
        OtherRequestError: the key was used for another request.
    """
    name = f"{request.key_id} {request.idempotency_key}"
    await connection.execute("select pg_advisory_xact_lock($1, hashtext($2))", _LOCK, name)
    await connection.execute("delete from alert_requests where created_at < now() - interval '1 day'")
    row = await connection.fetchrow(
        "select digest, answer from alert_requests where key_id = $1 and idempotency_key = $2",
        request.key_id,
        request.idempotency_key,
    )
    if row is None:
        return None
    if row["digest"] != request.digest:
        raise OtherRequestError
    answer: bytes = row["answer"]
    return answer


async def write_answer(
    connection: DatabaseConnection, request: RepeatableRequest, alert_id: str, answer: bytes
) -> None:
    """Store the answer to the first request."""
    await connection.execute(
        "insert into alert_requests (key_id, idempotency_key, digest, alert_id, answer)"
        " values ($1, $2, $3, $4, $5)",
        *request,
        alert_id,
        answer,
    )


_LOCK: Final = 0x72657175  # 'requ'
