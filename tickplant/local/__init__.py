"""Embedded Redis and PostgreSQL servers, each on a data folder, for use without servers of one's own."""

from tickplant.local.binaries import Source
from tickplant.local.postgres_server import PostgresServer
from tickplant.local.redis_server import RedisServer

__all__ = ["PostgresServer", "RedisServer", "Source"]
