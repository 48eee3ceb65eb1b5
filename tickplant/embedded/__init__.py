"""A Redis-compatible server and a PostgreSQL server of our own, each on a data folder.

Whoever has servers already gives their addresses instead and never comes here.
"""

from tickplant.embedded.binaries import Source
from tickplant.embedded.postgres_server import PostgresServer
from tickplant.embedded.redis_server import RedisServer

__all__ = ["PostgresServer", "RedisServer", "Source"]
