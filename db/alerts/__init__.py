"""Alerts: their definitions, their state, and their firings."""
