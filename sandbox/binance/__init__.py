"""Binance spot as it speaks: frames, websocket requests, and REST; pure, without sockets.

Documentation, under web-socket-streams, rest-api and errors:
https://developers.binance.com/docs/binance-spot-api-docs
"""
