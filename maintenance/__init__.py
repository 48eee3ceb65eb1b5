"""Backfill, verification, audit and replays: what needs a venue's history and the database together."""
