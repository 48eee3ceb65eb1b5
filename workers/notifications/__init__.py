"""Notifications: firings and signals, delivered by chat and mail."""
