# Columns in C arrays; see tickplant/columns.py, which this follows.

cdef int64_t _LAST_TIME_US = 1LL << 62

cdef object _SIDES = _pure.SIDES


class _Unsure(Exception):
    """C can't hold or tell this; Python does."""


cdef inline str _text(const char *at, Py_ssize_t length):
    """Return ASCII text."""
    cdef object made = PyUnicode_New(length, 127)
    memcpy(PyUnicode_1BYTE_DATA(made), at, length)
    return <str>made


@cython.final
@cython.no_gc
cdef class _Block:
    """Rows, and what keeps the text that they point to."""

    cdef trade_row *rows
    cdef char *chars
    cdef object owner

    def __cinit__(self, Py_ssize_t count, Py_ssize_t chars, object owner):
        self.rows = <trade_row *>PyMem_Malloc(max(count, 1) * sizeof(trade_row))
        self.chars = <char *>PyMem_Malloc(chars) if chars else NULL
        self.owner = owner
        if self.rows == NULL or (chars and self.chars == NULL):
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.rows)
        PyMem_Free(self.chars)


@cython.final
@cython.no_gc
@cython.freelist(128)
cdef class TradeColumns:
    """The trades of one symbol, in their order: see `tickplant.columns.TradeColumns`, of which this is the twin."""

    cdef readonly str venue
    cdef readonly str symbol
    cdef _Block block
    cdef trade_row *rows
    cdef Py_ssize_t count
    cdef object _ids, _prices, _sizes, _sides, _event_times_us, _ingest_times_us

    def __init__(self):
        raise TypeError("made by functions only")

    def __len__(self):
        return self.count

    def __repr__(self):
        return f"<{self.count} trades of {self.venue}:{self.symbol}>"

    @property
    def ids(self):
        cdef Py_ssize_t i
        if self._ids is None:
            self._ids = [self.rows[i].id for i in range(self.count)]
        return self._ids

    @property
    def prices(self):
        cdef Py_ssize_t i
        if self._prices is None:
            self._prices = [_text(self.rows[i].price, self.rows[i].price_length) for i in range(self.count)]
        return self._prices

    @property
    def sizes(self):
        cdef Py_ssize_t i
        if self._sizes is None:
            self._sizes = [_text(self.rows[i].size, self.rows[i].size_length) for i in range(self.count)]
        return self._sizes

    @property
    def sides(self):
        cdef Py_ssize_t i
        cdef char *chars
        if self._sides is None:
            self._sides = PyUnicode_New(self.count, 127)
            chars = <char *>PyUnicode_1BYTE_DATA(self._sides)
            if self.count:
                for i in range(self.count):
                    chars[i] = self.rows[i].side
        return self._sides

    @property
    def event_times_us(self):
        cdef Py_ssize_t i
        if self._event_times_us is None:
            self._event_times_us = [self.rows[i].event_us for i in range(self.count)]
        return self._event_times_us

    @property
    def ingest_times_us(self):
        cdef Py_ssize_t i
        if self._ingest_times_us is None:
            self._ingest_times_us = [self.rows[i].ingest_us for i in range(self.count)]
        return self._ingest_times_us

    @property
    def lowest_id(self):
        cdef Py_ssize_t i
        if not self.count:
            raise ValueError("no trades")
        cdef int64_t least = self.rows[0].id
        for i in range(self.count):
            if self.rows[i].id < least:
                least = self.rows[i].id
        return least

    @property
    def highest_id(self):
        cdef Py_ssize_t i
        if not self.count:
            raise ValueError("no trades")
        cdef int64_t greatest = self.rows[0].id
        for i in range(self.count):
            if self.rows[i].id > greatest:
                greatest = self.rows[i].id
        return greatest

    @property
    def latest_time_us(self):
        cdef Py_ssize_t i
        if not self.count:
            raise ValueError("no trades")
        cdef int64_t latest = self.rows[0].event_us
        for i in range(self.count):
            if self.rows[i].event_us > latest:
                latest = self.rows[i].event_us
        return latest

    @property
    def consecutive(self):
        return _are_consecutive(self)

    @property
    def ascending(self):
        cdef Py_ssize_t i
        for i in range(1, self.count):
            if self.rows[i].id <= self.rows[i - 1].id:
                return False
        return True

    @property
    def has_zero(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            if row_has_zero(&self.rows[i]):
                return True
        return False

    def valid(self):
        """See `tickplant.columns`; names and decimals are valid already."""
        cdef Py_ssize_t i
        cdef trade_row *row
        for i in range(self.count):
            row = &self.rows[i]
            if not (
                0 <= row.id <= LATEST_TRADE_ID
                and EARLIEST_US <= row.event_us < LATEST_US
                and 0 <= row.ingest_us < LATEST_US
            ):
                return False
        return True

    def trade(self, Py_ssize_t index):
        """See `tickplant.columns`."""
        if index < 0:
            index += self.count
        if not 0 <= index < self.count:
            raise IndexError("list index out of range")
        cdef trade_row *row = &self.rows[index]
        return _Trade(
            self.venue,
            self.symbol,
            row.id,
            _text(row.price, row.price_length),
            _text(row.size, row.size_length),
            _side(row.side),
            row.event_us,
            row.ingest_us,
        )

    def trades(self):
        """See `tickplant.columns`."""
        cdef Py_ssize_t i
        return [self.trade(i) for i in range(self.count)]

    def slice(self, start, stop):
        """See `tickplant.columns`; it shares the rows."""
        cdef Py_ssize_t first, last
        first, last, _ = slice(start, stop).indices(self.count)
        return _view(self.venue, self.symbol, self.block, self.rows + first, max(0, last - first))

    def select(self, indices):
        """See `tickplant.columns`."""
        cdef Py_ssize_t i, index, count = len(indices)
        cdef _Block block = _Block(count, 0, self.block)
        for i in range(count):
            index = indices[i]
            if index < 0:
                index += self.count
            if not 0 <= index < self.count:
                raise IndexError("list index out of range")
            block.rows[i] = self.rows[index]
        return _view(self.venue, self.symbol, block, block.rows, count)

    def with_ids(self, ids):
        """See `tickplant.columns`."""
        cdef Py_ssize_t i
        if len(ids) != self.count:
            raise ValueError(f"{len(ids)} ids for {self.count} trades")
        cdef _Block block = _Block(self.count, 0, self.block)
        if self.count:
            memcpy(block.rows, self.rows, self.count * sizeof(trade_row))
        try:
            for i in range(self.count):
                block.rows[i].id = ids[i]
        except OverflowError:
            return to_python(self).with_ids(ids)
        return _view(self.venue, self.symbol, block, block.rows, self.count)

    def shift_ids(self, offset):
        """See `tickplant.columns`."""
        return self.with_ids([trade_id + offset for trade_id in self.ids])

    def fold(self):
        """See `tickplant.columns`."""
        cdef Py_ssize_t start = 0, i = 0
        cdef int64_t opened
        cdef list candles = []
        while i < self.count:
            start = i
            opened = minute_of(self.rows[start].event_us)
            while i < self.count and opened <= self.rows[i].event_us < opened + MINUTE_US:
                i += 1
            candles.append(_fold_minute(self, start, i, opened))
        return candles

    def copy_rows(self):
        """See `tickplant.columns`."""
        cdef bytes head = f"{self.venue}\t{self.symbol}\t".encode("ascii")
        cdef text head_text
        head_text.at = PyBytes_AS_STRING(head)
        head_text.length = PyBytes_GET_SIZE(head)
        made = PyBytes_FromStringAndSize(NULL, self.count * (MOST_ROW_CHARS + PyBytes_GET_SIZE(head)))
        cdef char *start = PyBytes_AS_STRING(made)
        cdef char *end = write_rows(start, self.rows, self.count, head_text)
        return _shortened(made, end - start)

    def copy_binary_rows(self):
        """See `tickplant.columns`."""
        cdef Py_ssize_t names = len(self.venue) + len(self.symbol)
        made = PyBytes_FromStringAndSize(NULL, self.count * (MOST_BINARY_ROW + names))
        cdef char *start = PyBytes_AS_STRING(made)
        cdef char *end = write_binary_rows(start, self.rows, self.count, _ascii(self.venue), _ascii(self.symbol))
        return _shortened(made, end - start)

    def json_rows(self):
        """See `tickplant.columns`."""
        if not self.count:
            return b"[]"
        made = PyBytes_FromStringAndSize(NULL, 1 + self.count * MOST_JSON_ROW)
        cdef char *start = PyBytes_AS_STRING(made)
        start[0] = c"["
        cdef char *end = write_json_rows(start + 1, self.rows, self.count)
        end[-1] = c"]"
        return _shortened(made, end - start)


cdef inline text _ascii(str name):
    cdef text found
    found.at = <const char *>PyUnicode_1BYTE_DATA(name)
    found.length = len(name)
    return found


cdef object _shortened(bytes made, Py_ssize_t length):
    return made[:length]


cdef inline object _side(char letter):
    return "buy" if letter == c"b" else "sell" if letter == c"s" else None


cdef TradeColumns _view(str venue, str symbol, _Block block, trade_row *rows, Py_ssize_t count):
    cdef TradeColumns made = TradeColumns.__new__(TradeColumns)
    made.venue = venue
    made.symbol = symbol
    made.block = block
    made.rows = rows
    made.count = count
    return made


cdef bint _are_consecutive(TradeColumns columns) noexcept:
    cdef Py_ssize_t i
    for i in range(1, columns.count):
        # The difference as unsigned: it can't overflow.
        if <uint64_t>columns.rows[i].id - <uint64_t>columns.rows[i - 1].id != 1 or columns.rows[i].id < columns.rows[i - 1].id:
            return False
    return True


def to_python(columns):
    """Return columns of either kind as those of Python."""
    return _pure.TradeColumns(
        columns.venue,
        columns.symbol,
        columns.ids,
        columns.prices,
        columns.sizes,
        columns.sides,
        columns.event_times_us,
        columns.ingest_times_us,
    )


def concat(parts):
    """See `tickplant.columns.concat`."""
    if len(parts) == 1:
        return parts[0]
    for it in parts:
        if type(it) is not TradeColumns:
            return _pure.concat([to_python(other) for other in parts])
    if not parts:
        return _pure.concat(parts)
    cdef TradeColumns first = parts[0], part
    cdef Py_ssize_t count = 0
    for part in parts:
        if part.symbol != first.symbol or part.venue != first.venue:
            raise ValueError("columns of several symbols in one")
        count += part.count
    cdef _Block block = _Block(count, 0, tuple([(<TradeColumns>it).block for it in parts]))
    count = 0
    for part in parts:
        if part.count:
            memcpy(block.rows + count, part.rows, part.count * sizeof(trade_row))
        count += part.count
    return _view(first.venue, first.symbol, block, block.rows, count)
