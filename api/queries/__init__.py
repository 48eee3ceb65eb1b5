"""Queries on the database and Redis, one module per topic."""
