"""Kraken spot as it speaks: frames of websocket v2, subscriptions and REST; pure, without sockets.

Documentation: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade and
https://docs.kraken.com/api/docs/rest-api/get-recent-trades
"""
