# Entries of streams; see tickplant/wire_columns.py, which this follows.

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
