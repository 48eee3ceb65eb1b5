"""Binance's public market data interface, REST and websockets, over this plant's own queries and channels.

Clients made for Binance work unmodified once their base address is changed. Nothing is computed here: modules
translate names, parameters, messages and errors. See https://developers.binance.com/docs/binance-spot-api-docs.
"""
