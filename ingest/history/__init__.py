"""Fetches missing and older trades from venues' REST history."""
