"""Coinbase Exchange as it speaks: frames, subscriptions, heartbeats, and REST; pure, without sockets.

Documentation: https://docs.cdp.coinbase.com/exchange/websocket-feed/overview and
https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades
"""
