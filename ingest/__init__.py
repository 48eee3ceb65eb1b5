"""Receives trades from venues and writes them to Redis streams; never uses the database."""
