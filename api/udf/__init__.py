"""TradingView's UDF protocol, as the reference adapter of its charting library reads it."""
