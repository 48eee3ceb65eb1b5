"""Maintenance of a running plant: backfill, verification, audits, and waiting for commits."""
