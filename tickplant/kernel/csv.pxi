# Rows of venues' files into columns; see `ingest.venues.binance_files.parse_rows_in_python`.

def parse_binance_rows(bytes content, str symbol, ingest_time_us):
    """Parse the first lines of a text: see `ingest.venues.binance_files.parse_rows_in_python`."""
    cdef cursor c, row_start
    cdef text chars
    cdef parsed_trade trade
    cdef trade_row *row
    cdef Py_ssize_t count = 0
    if not 0 <= ingest_time_us < LATEST_US or not PyUnicode_IS_COMPACT_ASCII(symbol):
        raise ValueError("a time or a name that the kernel doesn't handle")
    chars.at = c.at = PyBytes_AS_STRING(content)
    chars.length = PyBytes_GET_SIZE(content)
    c.end = c.at + chars.length
    trade.symbol = _ascii(symbol)
    if not is_name(trade.symbol):
        raise ValueError("a name that the kernel doesn't handle")
    cdef int64_t ingest_us = ingest_time_us
    cdef _Block block = _Block(count_lines(chars), 0, content)
    while c.at < c.end:
        row_start = c
        if not parse_binance_row(&c, &trade):
            c = row_start
            break
        row = block.rows + count
        row.id = trade.id
        row.event_us = trade.event_us
        row.ingest_us = ingest_us
        row.side = trade.side
        set_price(row, &trade.price, &trade.size)
        count += 1
    return _view("binance", symbol, block, block.rows, count), c.at - chars.at
