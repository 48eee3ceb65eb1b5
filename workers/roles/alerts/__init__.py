"""Alerts: what users want to be told of a symbol's trades."""
