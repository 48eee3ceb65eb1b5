# Candles of a minute that grow by columns; see `tickplant.minute_candles`, which this follows.

cdef enum:
    _MINUTES = 4


@cython.final
cdef class MinuteCandles:
    """See `tickplant.minute_candles`. Candles that don't fit into C are kept as Python has them."""

    cdef str venue, symbol
    cdef minute_candle candles[_MINUTES]
    cdef int count
    cdef dict odd

    def __cinit__(self):
        self.odd = {}

    def __bool__(self):
        return self.count > 0 or bool(self.odd)

    def add(self, columns):
        """See `tickplant.minute_candles`."""
        cdef Py_ssize_t start, i = 0
        cdef int64_t opened
        cdef TradeColumns given
        if type(columns) is not TradeColumns:
            for candle in columns.fold():
                self._add_odd(candle)
            return
        given = columns
        while i < given.count:
            start = i
            opened = minute_of(given.rows[start].event_us)
            while i < given.count and opened <= given.rows[i].event_us < opened + MINUTE_US:
                i += 1
            if not self._add_run(given, start, i, opened):
                self._add_odd(_fold_minute(given, start, i, opened))

    def take(self):
        """See `tickplant.minute_candles`."""
        cdef int i
        found = [_minute_candle(self.venue, self.symbol, &self.candles[i]) for i in range(self.count)]
        found += self.odd.values()
        if self.odd:
            found.sort(key=_open_time)
            self.odd = {}
        elif self.count > 1:
            found.sort(key=_open_time)
        self.count = 0
        return found

    cdef bint _add_run(self, TradeColumns columns, Py_ssize_t start, Py_ssize_t stop, int64_t opened) except -1:
        """Add trades of one minute; return whether that was possible in C."""
        cdef folded run
        cdef trade_row *rows = columns.rows + start
        cdef int i = self.count - 1
        if self.odd and opened in self.odd:
            return False
        if not fold_trades(rows, stop - start, &run):
            return False
        while i >= 0 and self.candles[i].opened_us != opened:
            i -= 1
        if i >= 0:
            return merge_minute(&self.candles[i], rows, stop - start, &run)
        if self.count == _MINUTES:
            return False
        self.venue, self.symbol = columns.venue, columns.symbol
        start_minute(&self.candles[self.count], rows, stop - start, &run, opened)
        self.count += 1
        return True

    cdef object _add_odd(self, object candle):
        """Merge a candle as Python does, with what is here of its minute."""
        cdef int i
        cdef int64_t opened = candle.open_time_us
        known = self.odd.get(opened)
        for i in range(self.count):
            if self.candles[i].opened_us == opened:
                known = _minute_candle(self.venue, self.symbol, &self.candles[i])
                self.count -= 1
                self.candles[i] = self.candles[self.count]
                break
        self.odd[opened] = candle if known is None else _merge(known, candle)


def _open_time(candle):
    return candle.open_time_us


cdef inline object _amount(const amount *it):
    return _Decimal(_text(it.chars, it.length))


cdef object _minute_candle(str venue, str symbol, const minute_candle *it):
    return _candle(
        venue,
        symbol,
        it.opened_us,
        _amount(&it.open),
        _amount(&it.high),
        _amount(&it.low),
        _amount(&it.close),
        &it.sums,
        it.count,
        it.first_us,
        it.first_id,
        it.last_us,
        it.last_id,
    )
