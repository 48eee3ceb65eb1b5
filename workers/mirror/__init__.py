"""Trades and results, mirrored to Kafka: at least once, and per symbol in order."""
