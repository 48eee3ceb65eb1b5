# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=False
"""The compiled kernel: columns in C arrays. See tickplant/kernel/__init__.py; the Python modules are the reference.

A `TradeColumns` here has only what C is sure about: numbers within 64 bits, names of plain ASCII, decimals that
are valid. Whatever else comes up is left to the Python code, by calling it or by raising `_Unsure`.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from tickplant import columns as _pure
from tickplant import wire_columns as _wire
from tickplant.intervals import BASE as _BASE
from tickplant.market import Candle as _Candle
from tickplant.market import Trade as _Trade

from decimal import Decimal as _Decimal

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_1BYTE_DATA(object)
    int PyUnicode_IS_COMPACT_ASCII(object)

cdef extern from "scan.h":
    const int MOST_NAME_CHARS
    const int64_t LATEST_TRADE_ID, EARLIEST_US, LATEST_US, MINUTE_US
    ctypedef struct cursor:
        const char *at
        const char *end
    ctypedef struct text:
        const char *at
        size_t length
    ctypedef struct decimal:
        text chars

cdef extern from "frames.h":
    ctypedef struct parsed_trade:
        text symbol
        decimal price, size
        int64_t id, event_us
        char side
    ctypedef int (*take_trade)(void *, const parsed_trade *) noexcept
    ctypedef int (*frame_parser)(cursor *, take_trade, void *) noexcept
    int parse_binance(cursor *, take_trade, void *) noexcept
    int parse_coinbase(cursor *, take_trade, void *) noexcept
    int parse_kraken(cursor *, take_trade, void *) noexcept
    int parse_finnhub(cursor *, take_trade, void *) noexcept

cdef extern from "trades.h":
    ctypedef unsigned long long uint128 "uint128"
    ctypedef struct trade_row:
        int64_t id, event_us, ingest_us
        const char *price
        const char *size
        uint8_t price_length, size_length
        char side
    ctypedef struct folded:
        size_t first, last, high, low
        uint128 volume, quote_volume
        int volume_places, quote_places
    const int MOST_WRITTEN, MOST_ROW_CHARS
    void set_price(trade_row *, const decimal *, const decimal *) noexcept
    int row_has_zero "has_zero"(const trade_row *) noexcept
    int64_t minute_of(int64_t) noexcept
    int fold_trades(const trade_row *, size_t, folded *) noexcept
    size_t write_scaled(uint128, int, char *) noexcept
    char *write_rows(char *, const trade_row *, size_t, text) noexcept

cdef extern from "pack.h":
    const int MOST_PACKED_INTEGER, MOST_PACKED_HEAD
    int unpack_integer(cursor *, int64_t *) noexcept
    int unpack_part(cursor *, int64_t *) noexcept
    int unpack_text(cursor *, text *) noexcept
    int unpack_decimal(cursor *, decimal *) noexcept
    int unpack_list(cursor *, size_t *) noexcept
    int is_name(text) noexcept
    char *pack_integer(char *, int64_t) noexcept
    char *pack_text(char *, const char *, size_t) noexcept
    char *pack_text_head(char *, size_t) noexcept
    char *pack_list_head(char *, size_t) noexcept
    int pass_char "pass"(cursor *, char) noexcept


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


cdef inline object _price(TradeColumns columns, size_t index):
    return _Decimal(_text(columns.rows[index].price, columns.rows[index].price_length))


cdef object _fold_minute(TradeColumns columns, Py_ssize_t start, Py_ssize_t stop, int64_t opened):
    cdef folded found
    cdef trade_row *rows = columns.rows + start
    cdef char chars[256]
    cdef size_t length
    if not fold_trades(rows, stop - start, &found):
        (candle,) = to_python(columns.slice(start, stop)).fold()
        return candle
    length = write_scaled(found.volume, found.volume_places, chars)
    volume = _Decimal(_text(chars, length))
    length = write_scaled(found.quote_volume, found.quote_places, chars)
    quote_volume = _Decimal(_text(chars, length))
    open_ = _price(columns, start + found.first)
    high = open_ if found.high == found.first else _price(columns, start + found.high)
    low = open_ if found.low == found.first else _price(columns, start + found.low)
    close = (
        high if found.last == found.high else low if found.last == found.low else _price(columns, start + found.last)
    )
    return _Candle(
        columns.venue,
        columns.symbol,
        _BASE,
        opened,
        open_,
        high,
        low,
        close,
        volume,
        quote_volume,
        stop - start,
        rows[found.first].event_us,
        rows[found.first].id,
        rows[found.last].event_us,
        rows[found.last].id,
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


# --- Frames

cdef enum:
    _SLOTS = 2048
    _MOST_SYMBOLS = 1024

ctypedef struct _symbol:
    text name
    uint64_t hash
    Py_ssize_t count, start

ctypedef struct _parsed:
    parsed_trade trade
    int symbol

ctypedef struct _batch:
    _parsed *trades
    Py_ssize_t count, room
    _symbol symbols[_MOST_SYMBOLS]
    int symbol_count
    int last
    short slots[_SLOTS]


cdef int _find_symbol(_batch *batch, text name) noexcept:
    """Return the number of a symbol; -1 where there are too many."""
    cdef _symbol *known
    cdef uint64_t hashed = 14695981039346656037ULL
    cdef size_t i
    cdef int slot
    if batch.symbol_count:
        known = &batch.symbols[batch.last]
        if known.name.length == name.length and memcmp(known.name.at, name.at, name.length) == 0:
            return batch.last
    for i in range(name.length):
        hashed = (hashed ^ <unsigned char>name.at[i]) * 1099511628211ULL
    slot = (hashed ^ (hashed >> 32)) & (_SLOTS - 1)
    while batch.slots[slot]:
        known = &batch.symbols[batch.slots[slot] - 1]
        if known.hash == hashed and known.name.length == name.length:
            if memcmp(known.name.at, name.at, name.length) == 0:
                batch.last = batch.slots[slot] - 1
                return batch.last
        slot = (slot + 1) & (_SLOTS - 1)
    if batch.symbol_count == _MOST_SYMBOLS:
        return -1
    known = &batch.symbols[batch.symbol_count]
    known.name = name
    known.hash = hashed
    known.count = 0
    batch.last = batch.symbol_count
    batch.symbol_count += 1
    batch.slots[slot] = batch.symbol_count
    return batch.last


cdef int _take(void *taker, const parsed_trade *trade) noexcept:
    cdef _batch *batch = <_batch *>taker
    cdef _parsed *grown
    cdef int symbol
    if batch.count == batch.room:
        grown = <_parsed *>PyMem_Realloc(batch.trades, 2 * batch.room * sizeof(_parsed))
        if grown == NULL:
            return 0
        batch.trades = grown
        batch.room *= 2
    symbol = _find_symbol(batch, trade.symbol)
    if symbol < 0:
        return 0
    batch.trades[batch.count].trade = trade[0]
    batch.trades[batch.count].symbol = symbol
    batch.count += 1
    return 1


cdef object _parse(object frames, object ingest_time_us, str venue, frame_parser parse):
    cdef list given = frames if type(frames) is list else list(frames)
    cdef Py_ssize_t i, consumed = 0, count = len(given), before
    cdef cursor c
    cdef object frame
    cdef list found
    cdef _batch batch
    if not 0 <= ingest_time_us < LATEST_US or not count:
        return [], 0
    cdef int64_t ingest_us = ingest_time_us
    memset(batch.slots, 0, sizeof(batch.slots))
    batch.count = batch.symbol_count = batch.last = 0
    batch.room = count
    batch.trades = <_parsed *>PyMem_Malloc(count * sizeof(_parsed))
    if batch.trades == NULL:
        raise MemoryError
    try:
        for i in range(count):
            frame = given[i]
            if type(frame) is not bytes:
                break
            c.at = PyBytes_AS_STRING(frame)
            c.end = c.at + PyBytes_GET_SIZE(frame)
            before = batch.count
            if not parse(&c, _take, &batch):
                batch.count = before
                break
            consumed += 1
        found = _grouped(&batch, venue, ingest_us)
    finally:
        PyMem_Free(batch.trades)
    return found, consumed


cdef list _grouped(_batch *batch, str venue, int64_t ingest_us):
    """Return the trades of a batch by symbol."""
    cdef Py_ssize_t i, start = 0, chars = 0
    cdef _parsed *it
    cdef _symbol *symbol
    cdef trade_row *row
    cdef list found = []
    for i in range(batch.count):
        it = &batch.trades[i]
        batch.symbols[it.symbol].count += 1
        chars += it.trade.price.chars.length + it.trade.size.chars.length
    cdef _Block block = _Block(batch.count, chars, None)
    cdef char *at = block.chars
    for i in range(batch.symbol_count):
        batch.symbols[i].start = start
        start += batch.symbols[i].count
    for i in range(batch.count):
        it = &batch.trades[i]
        symbol = &batch.symbols[it.symbol]
        row = block.rows + symbol.start
        symbol.start += 1
        row.id = it.trade.id
        row.event_us = it.trade.event_us
        row.ingest_us = ingest_us
        row.side = it.trade.side
        memcpy(at, it.trade.price.chars.at, it.trade.price.chars.length)
        it.trade.price.chars.at = at
        at += it.trade.price.chars.length
        memcpy(at, it.trade.size.chars.at, it.trade.size.chars.length)
        it.trade.size.chars.at = at
        at += it.trade.size.chars.length
        set_price(row, &it.trade.price, &it.trade.size)
    for i in range(batch.symbol_count):
        symbol = &batch.symbols[i]
        if symbol.count:
            name = _text(symbol.name.at, symbol.name.length)
            found.append(_view(venue, name, block, block.rows + symbol.start - symbol.count, symbol.count))
    return found


def parse_binance_frames(frames, ingest_time_us):
    """Parse frames of Binance: see `VenueAdapter.parse_frames`."""
    return _parse(frames, ingest_time_us, "binance", parse_binance)


def parse_coinbase_frames(frames, ingest_time_us):
    """Parse frames of Coinbase: see `VenueAdapter.parse_frames`."""
    return _parse(frames, ingest_time_us, "coinbase", parse_coinbase)


def parse_kraken_frames(frames, ingest_time_us):
    """Parse frames of Kraken: see `VenueAdapter.parse_frames`."""
    return _parse(frames, ingest_time_us, "kraken", parse_kraken)


def parse_finnhub_frames(frames, ingest_time_us):
    """Parse frames of Finnhub: see `VenueAdapter.parse_frames`."""
    return _parse(frames, ingest_time_us, "finnhub", parse_finnhub)


# --- Entries of streams


def encode_columns(columns):
    """See `tickplant.wire_columns`."""
    cdef list runs = []
    cdef Py_ssize_t room = 16, i
    cdef TradeColumns it
    for each in columns:
        if not len(each):
            continue
        if type(each) is TradeColumns:
            room += _room_of(<TradeColumns>each)
            runs.append(each)
        else:
            encoded = _wire.encode_run(each)
            room += len(encoded)
            runs.append(encoded)
    made = PyBytes_FromStringAndSize(NULL, room)
    cdef char *start = PyBytes_AS_STRING(made)
    cdef char *at = start
    at = pack_list_head(at, 2)
    at = pack_integer(at, _wire.VERSION)
    at = pack_list_head(at, len(runs))
    for each in runs:
        if type(each) is TradeColumns:
            at = _pack_run(at, <TradeColumns>each)
        else:
            memcpy(at, PyBytes_AS_STRING(each), PyBytes_GET_SIZE(each))
            at += PyBytes_GET_SIZE(each)
    return _shortened(made, at - start)


cdef Py_ssize_t _room_of(TradeColumns columns):
    """Return how many bytes a run can take."""
    cdef Py_ssize_t i, chars = 0
    for i in range(columns.count):
        chars += columns.rows[i].price_length + columns.rows[i].size_length
    # Names and heads; then for each trade an id, two times, two heads of texts below 256 characters, and a side.
    return 2 * (MOST_NAME_CHARS + 2) + 8 * MOST_PACKED_INTEGER + chars + columns.count * (3 * MOST_PACKED_INTEGER + 2 * 2 + 1)


cdef char *_pack_run(char *at, TradeColumns columns):
    cdef Py_ssize_t i, count = columns.count
    cdef trade_row *rows = columns.rows
    cdef int64_t event_us = rows[0].event_us, ingest_us = rows[0].ingest_us
    cdef bint alike = True
    at = pack_list_head(at, 10)
    at = pack_text(at, <const char *>PyUnicode_1BYTE_DATA(columns.venue), len(columns.venue))
    at = pack_text(at, <const char *>PyUnicode_1BYTE_DATA(columns.symbol), len(columns.symbol))
    if _are_consecutive(columns) and -_LAST_TIME_US < rows[0].id < _LAST_TIME_US:
        at = pack_integer(at, rows[0].id)
    else:
        at = pack_list_head(at, count)
        for i in range(count):
            at = pack_integer(at, rows[i].id)
    at = pack_list_head(at, count)
    for i in range(count):
        at = pack_text(at, rows[i].price, rows[i].price_length)
    at = pack_list_head(at, count)
    for i in range(count):
        at = pack_text(at, rows[i].size, rows[i].size_length)
    at = pack_text_head(at, count)
    for i in range(count):
        at[i] = rows[i].side
        if rows[i].ingest_us != ingest_us:
            alike = False
    at += count
    at = pack_integer(at, event_us)
    at = pack_list_head(at, count)
    for i in range(count):
        at = pack_integer(at, rows[i].event_us - event_us)
    at = pack_integer(at, ingest_us)
    if alike:
        at[0] = <char>0xC0
        return at + 1
    at = pack_list_head(at, count)
    for i in range(count):
        at = pack_integer(at, rows[i].ingest_us - ingest_us)
    return at


def decode_columns(payload):
    """See `tickplant.wire_columns`."""
    cdef cursor c
    cdef int64_t version
    cdef size_t count, i
    cdef list found = []
    cdef TradeColumns columns
    if type(payload) is not bytes:
        return _wire.decode_columns(payload)
    c.at = PyBytes_AS_STRING(payload)
    c.end = c.at + PyBytes_GET_SIZE(payload)
    if not (pass_char(&c, <char>0x92) and unpack_integer(&c, &version) and version == _wire.VERSION and unpack_list(&c, &count)):
        return _wire.decode_columns(payload)
    for i in range(count):
        columns = _unpack_run(&c, payload)
        if columns is None:
            return _wire.decode_columns(payload)
        found.append(columns)
    if c.at != c.end:
        return _wire.decode_columns(payload)
    return found if count < 2 else _wire.by_symbol(found, concat)


cdef str _venue = ""


cdef TradeColumns _unpack_run(cursor *c, bytes payload):
    """Return the next run; None where C isn't sure what it is."""
    global _venue
    cdef text venue, symbol, letters
    cdef size_t fields, i, count, others
    cdef int64_t first_id = 0, event_us, ingest_us, number
    cdef bint counted
    cdef cursor prices, sizes
    cdef decimal price, size
    cdef trade_row *rows
    cdef _Block block
    if not (unpack_list(c, &fields) and fields == 10 and unpack_text(c, &venue) and unpack_text(c, &symbol)):
        return None
    if not (is_name(venue) and is_name(symbol)) or c.at >= c.end:
        return None
    cdef cursor ids = c[0]
    counted = unpack_part(c, &first_id)
    if not counted:
        c[0] = ids
        if not unpack_list(c, &others):
            return None
        ids = c[0]
        for i in range(others):
            if not unpack_integer(c, &number):
                return None
    prices = c[0]
    if not unpack_list(&prices, &count) or count == 0 or (not counted and others != count):
        return None
    block = _Block(count, 0, payload)
    rows = block.rows
    for i in range(count):
        if counted:
            rows[i].id = first_id + <int64_t>i
        else:
            unpack_integer(&ids, &rows[i].id)
    # Prices and sizes are read side by side, so that a row is written once.
    sizes = prices
    for i in range(count):
        if not unpack_text(&sizes, &letters):
            return None
    if not unpack_list(&sizes, &others) or others != count:
        return None
    for i in range(count):
        if not (unpack_decimal(&prices, &price) and unpack_decimal(&sizes, &size)):
            return None
        set_price(&rows[i], &price, &size)
    c[0] = sizes
    if not unpack_text(c, &letters) or letters.length != count:
        return None
    for i in range(count):
        if letters.at[i] != c"b" and letters.at[i] != c"s" and letters.at[i] != c"-":
            return None
        rows[i].side = letters.at[i]
    if not (unpack_part(c, &event_us) and unpack_list(c, &others) and others == count):
        return None
    for i in range(count):
        if not unpack_part(c, &number) or not -_LAST_TIME_US < event_us + number < _LAST_TIME_US:
            return None
        rows[i].event_us = event_us + number
    if not unpack_part(c, &ingest_us):
        return None
    if pass_char(c, <char>0xC0):
        for i in range(count):
            rows[i].ingest_us = ingest_us
    else:
        if not unpack_list(c, &others) or others != count:
            return None
        for i in range(count):
            if not unpack_part(c, &number) or not -_LAST_TIME_US < ingest_us + number < _LAST_TIME_US:
                return None
            rows[i].ingest_us = ingest_us + number
    if len(_venue) != <Py_ssize_t>venue.length or memcmp(PyUnicode_1BYTE_DATA(_venue), venue.at, venue.length) != 0:
        _venue = _text(venue.at, venue.length)
    return _view(_venue, _text(symbol.at, symbol.length), block, block.rows, count)
