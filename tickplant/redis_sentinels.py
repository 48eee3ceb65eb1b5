"""Redis Sentinel: opens the master that sentinels name; what they don't answer is explained."""

from typing import Any
from urllib.parse import parse_qs

from redis.asyncio import Sentinel
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.exceptions import RedisError, ResponseError

from tickplant.errors import FatalError
from tickplant.redis_address import RedisAddress
from tickplant.redis_client import CONNECT_S, RedisClient, open_server, send_by
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


def open_by_sentinels(address: RedisAddress, options: dict[str, Any], wait_replicas: int) -> RedisClient:
    """Return a client of the master that the sentinels name whenever a connection is opened."""
    login = {
        name.removeprefix("sentinel_"): values[0]
        for name, values in parse_qs(address.query[1:]).items()
        if name in ("sentinel_username", "sentinel_password")
    }
    query = "&".join(part for part in address.query[1:].split("&") if not part.startswith("sentinel_"))
    address = address._replace(query=f"?{query}" if query else "")
    kwargs: Any = {}
    pool_of_node = open_server(address.node_url("sentinel", 0), "standalone", options, 0).connection_pool
    kwargs.update(pool_of_node.connection_kwargs)
    for name in ("host", "port"):
        kwargs.pop(name, None)
    tls = {name: value for name, value in kwargs.items() if name.startswith("ssl_")}
    timeout_s = min(options["socket_timeout"], CONNECT_S)  # of each: the next one is asked then
    limits = {name: options[name] for name in ("protocol", "retry")}
    limits |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), timeout_s)
    ssl = {"ssl": True} if address.tls else {}
    sentinel: Any = Sentinels(  # type: ignore[no-untyped-call]
        list(address.hosts), sentinel_kwargs={**limits, **ssl, **tls, **login}
    )
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.service, sentinel, max_connections=options["max_connections"], **ssl, **kwargs
    )
    send_by(pool, "standalone")
    client = RedisClient(connection_pool=pool)
    client.wait_replicas = wait_replicas
    client.auto_close_connection_pool = True
    client.sentinels = sentinel.sentinels
    return client


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
