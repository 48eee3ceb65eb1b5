"""What spans services and the database: backfill, verification, audits, backtests and replays."""
