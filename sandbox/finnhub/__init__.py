"""Finnhub's trades as it speaks of them; pure, without sockets. There is no history.

Documentation: https://finnhub.io/docs/api/websocket-trades
"""
