"""Trades and what follows from them, mirrored to Kafka: at least once, in order of each symbol."""
