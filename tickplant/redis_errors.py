"""Classifies errors of Redis: unavailable, or unusable; and waits while it is unavailable."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeGuard

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

OUTAGE: Final = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError)
"""Redis can't be reached or isn't ready; whether a command under way was carried out is unknown."""

FORBIDDEN: Final = (AuthenticationError, AuthenticationWrongNumberOfArgsError)
"""The server refuses the login."""

_PASSING: Final = (
    OutOfMemoryError,
    ReadOnlyError,
    BusyLoadingError,
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
)
_NO_LOGIN: Final = ("HELLO must be called with the client already authenticated", "Authentication required")
_PASSING_WORDS: Final = (
    "MISCONF",
    "LOADING",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "UNBLOCKED",
)


async def retry_until_available(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """Make an attempt again and again until Redis answers.

    Args:
        attempt: makes one try; it may be repeated though an earlier one was carried out.

    Raises:
        RedisError: one that waiting does not resolve.
    """
    backoff = Backoff(first_s=0.05, cap_s=2.0)
    outage = OutageLog(_log, "Redis is unavailable, retrying", "Redis is available again")
    while True:
        try:
            result = await attempt()
        except (*OUTAGE, RedisError) as error:
            if not is_transient(error):
                raise
            outage.note_failure(error)
            await asyncio.sleep(backoff.next_s())
        else:
            outage.note_success()
            return result


def is_transient(error: BaseException) -> bool:
    """Return whether waiting may resolve an error: an outage, a full memory or disk, a loading server."""
    if isinstance(error, FORBIDDEN):
        return False
    if isinstance(error, _PASSING):
        return True
    return isinstance(error, ResponseError | RedisError) and str(error).startswith(_PASSING_WORDS)


def is_wrong_type(error: BaseException) -> TypeGuard[ResponseError]:
    """Return whether a key holds another type than tickplant writes; this concerns that key only."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def redis_error(error: BaseException) -> FatalError:
    """Return the message for an error of Redis that ends the process, with how to fix it."""
    if isinstance(error, FORBIDDEN):
        if str(error).startswith(_NO_LOGIN):
            remedy = "give them in TICKPLANT_REDIS_URL: redis://USER:PASSWORD@HOST:PORT/0, or redis://:PASSWORD@..."
            return FatalError(f"Redis refuses the login: it asks for a user or a password; {remedy}")
        remedy = "check the user and the password in TICKPLANT_REDIS_URL"
        return FatalError(f"Redis refuses the login: {error}; {remedy}")
    if isinstance(error, NoPermissionError):
        remedy = "let an administrator run: acl setuser NAME ~* &* +@all -@admin -@dangerous"
        return FatalError(f"the Redis user lacks a right: {error}; {remedy}")
    if is_transient(error):
        remedy = "start the server, or check TICKPLANT_REDIS_URL"
        return FatalError(f"Redis can't be reached: {error or type(error).__name__}; {remedy}")
    return FatalError(f"Redis refuses: {error}; see the server's log")
