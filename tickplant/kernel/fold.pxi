# Folding of columns; see tickplant/folding.py, which this follows.

cdef inline object _price(TradeColumns columns, size_t index):
    return _Decimal(_text(columns.rows[index].price, columns.rows[index].price_length))


cdef object _sum(const exact_sum *it):
    cdef char chars[MOST_WRITTEN]
    return _Decimal(_text(chars, write_sum(it, chars)))


cdef object _candle(
    str venue,
    str symbol,
    int64_t opened,
    object open_,
    object high,
    object low,
    object close,
    const fold_sums *sums,
    int64_t count,
    int64_t first_us,
    int64_t first_id,
    int64_t last_us,
    int64_t last_id,
):
    if not _TAKER_BUY:
        return _Candle(
            venue,
            symbol,
            _BASE,
            opened,
            open_,
            high,
            low,
            close,
            _sum(&sums.volume),
            _sum(&sums.quote_volume),
            count,
            first_us,
            first_id,
            last_us,
            last_id,
        )
    return _Candle(
        venue,
        symbol,
        _BASE,
        opened,
        open_,
        high,
        low,
        close,
        _sum(&sums.volume),
        _sum(&sums.quote_volume),
        count,
        first_us,
        first_id,
        last_us,
        last_id,
        0,
        False,
        False,
        _sum(&sums.bought) if sums.sides_known else None,
        _sum(&sums.bought_quote) if sums.sides_known else None,
    )


cdef object _fold_minute(TradeColumns columns, Py_ssize_t start, Py_ssize_t stop, int64_t opened):
    cdef folded found
    cdef trade_row *rows = columns.rows + start
    if not fold_trades(rows, stop - start, &found):
        (candle,) = to_python(columns.slice(start, stop)).fold()
        return candle
    open_ = _price(columns, start + found.first)
    high = open_ if found.high == found.first else _price(columns, start + found.high)
    low = open_ if found.low == found.first else _price(columns, start + found.low)
    if found.last == found.high:
        close = high
    elif found.last == found.low:
        close = low
    else:
        close = _price(columns, start + found.last)
    return _candle(
        columns.venue,
        columns.symbol,
        opened,
        open_,
        high,
        low,
        close,
        &found.sums,
        stop - start,
        rows[found.first].event_us,
        rows[found.first].id,
        rows[found.last].event_us,
        rows[found.last].id,
    )
