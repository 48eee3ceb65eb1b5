"""Venues: pure adapters from frames to trades, one module each."""
