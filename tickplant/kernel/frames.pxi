# Frames of venues into columns; see `VenueAdapter.parse_frames`.

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
