"""The roles: averages, signals, alerts and the paper bot, and the order in which they receive trades."""
