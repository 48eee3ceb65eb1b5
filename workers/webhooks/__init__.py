"""Webhooks: firings, delivered to addresses that users define."""
