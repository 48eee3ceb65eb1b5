"""Webhooks: firings, delivered to addresses of the users' own."""
