"""A Redis-compatible server and a PostgreSQL server of our own, each on a data folder.

Whoever has servers already gives their addresses instead and never comes here.
"""

from tickplant.local.binaries import Source
from tickplant.local.postgres_server import PostgresServer
from tickplant.local.redis_server import RedisServer

__all__ = ["PostgresServer", "RedisServer", "Source"]
