"""From venue sockets to Redis streams; knows venues and Redis, never the database."""
