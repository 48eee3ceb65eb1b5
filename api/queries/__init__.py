"""Reads of the database and Redis, one module a topic."""
