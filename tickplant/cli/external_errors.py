"""Turns errors of servers, files and networks into messages for the user, in place of tracebacks."""

import sys
from collections.abc import Iterator

from tickplant.errors import FatalError, SettingsError
from tickplant.network_errors import system_reason


def explain(error: BaseException) -> FatalError | None:
    """Return the message for an error of a server, file or network; None for an error of the program.

    Args:
        error: one, or a group; of a group, the errors with a message for the user are reported.
    """
    found = [_explain(leaf) for leaf in _leaves(error)]
    explained = list({str(fatal): fatal for fatal in found if fatal is not None}.values())
    if not explained or (None in found and not any(isinstance(leaf, FatalError) for leaf in _leaves(error))):
        return None
    if len(explained) == 1:
        return explained[0]
    problems = [
        problem for fatal in explained if isinstance(fatal, SettingsError) for problem in fatal.problems
    ]
    return SettingsError(problems) if problems else FatalError("\n".join(map(str, explained)))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _explain(error: BaseException) -> FatalError | None:
    if isinstance(error, FatalError):
        return error
    # A library that was not imported can't have raised, and importing it would take time.
    for library, explain in (
        ("asyncpg", _explain_database),
        ("redis", _explain_redis),
        ("httpx", _explain_venue),
    ):
        if library in sys.modules and (found := explain(error)) is not None:
            return found
    if isinstance(error, TimeoutError):
        return FatalError("a server did not answer in time; see `tickplant doctor`")
    if isinstance(error, ConnectionError):
        return FatalError(f"a connection failed: {system_reason(error) or error}; see `tickplant doctor`")
    if isinstance(error, OSError):
        if error.filename is not None:
            return FatalError(f"{error.filename}: {error.strerror}")
        return FatalError(system_reason(error) or str(error))
    return None


def _explain_database(error: BaseException) -> FatalError | None:
    from db.pool import database_error, is_database_error

    return database_error(error) if is_database_error(error) else None


def _explain_redis(error: BaseException) -> FatalError | None:
    from redis.exceptions import RedisError

    from tickplant.redis_errors import redis_error

    return redis_error(error) if isinstance(error, RedisError) else None


def _explain_venue(error: BaseException) -> FatalError | None:
    from httpx import HTTPError, InvalidURL

    if not isinstance(error, HTTPError | InvalidURL):
        return None
    return FatalError(
        f"a venue can't be reached: {system_reason(error) or error or type(error).__name__};"
        " see `tickplant doctor`"
    )
