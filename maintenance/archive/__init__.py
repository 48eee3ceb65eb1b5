"""The archive: a file of trades and one of candles for each day of each symbol, with a manifest.

    archive.json                                  the archive's id, form and source
    binance/BTCUSDT/index.json                    the symbol's days with the hashes of their manifests
    binance/BTCUSDT/manifests/2026-11-01.r1.json
    binance/BTCUSDT/trades/2026-11-01.r1.parquet
    binance/BTCUSDT/candles/2026-11-01.r1.parquet
    superseded/binance/BTCUSDT/...                the same of former revisions

Characters of a symbol other than letters, digits, `-`, `_`, `.` and `~` are percent-encoded in names.
"""
