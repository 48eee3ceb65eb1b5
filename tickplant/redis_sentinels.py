"""Sentinels, asked for the master; what they don't answer is explained."""

from typing import Any

from redis.asyncio import Sentinel
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import RedisError, ResponseError

from tickplant.errors import FatalError
from tickplant.redis_errors import FORBIDDEN, OUTAGE, redis_error


class Sentinels(Sentinel):
    """redis-py's, with messages for users."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the address of the master.

        Raises:
            MasterNotFoundError: no sentinel that answers knows it, which may change.
            FatalError: each server refuses the login, or is no sentinel.
        """
        refusals: list[FatalError] = []
        reasons: list[str] = []
        sentinels: list[Any] = self.sentinels
        for number, sentinel in enumerate(sentinels):
            options = sentinel.connection_pool.connection_kwargs
            name = f"{options['host']}:{options['port']}"
            try:
                masters = await sentinel.sentinel_masters()
            except FORBIDDEN as error:
                refusals.append(_refused_login(name, error))
                reasons.append(str(refusals[-1]))
            except ResponseError as error:
                refusals.append(_refused(name, error))
                reasons.append(str(refusals[-1]))
            except (*OUTAGE, RedisError) as error:
                reasons.append(f"{name}: {error}")
            else:
                state = masters.get(service_name)
                if state and self.check_master_state(state, service_name):
                    sentinels[0], sentinels[number] = sentinel, sentinels[0]  # it is asked first from now on
                    return state["ip"], state["port"]
                reasons.append(
                    f"{name}: it is down"
                    if state
                    else f"{name}: it knows {', '.join(masters) or 'no master'}"
                )
        if len(refusals) == len(reasons):
            raise refusals[0]
        raise MasterNotFoundError(f"no sentinel names a master {service_name}; {'; '.join(reasons)}")


def _refused_login(name: str, error: Exception) -> FatalError:
    return FatalError(
        f"the sentinel {name} refuses the login: {error}; add"
        " ?sentinel_username=USER&sentinel_password=PASSWORD, or the latter alone, to TICKPLANT_REDIS_URL"
    )


def _refused(name: str, error: ResponseError) -> FatalError:
    if "unknown command" in str(error):
        return FatalError(
            f"{name} in TICKPLANT_REDIS_URL is no sentinel: name sentinels, whose port is mostly 26379, or"
            " write redis:// instead of redis+sentinel://"
        )
    return FatalError(f"the sentinel {name}: {redis_error(error)}")
