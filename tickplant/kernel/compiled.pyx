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
from tickplant import json_template as _template
from tickplant import wire_columns as _wire
from tickplant.folding import TAKER_BUY as _TAKER_BUY
from tickplant.intervals import BASE as _BASE
from tickplant.market import Candle as _Candle
from tickplant.market import Trade as _Trade
from tickplant.market import merge as _merge

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

cdef extern from "csv.h":
    size_t count_lines(text) noexcept
    int parse_binance_row(cursor *, parsed_trade *) noexcept

cdef extern from "trades.h":
    ctypedef struct trade_row:
        int64_t id, event_us, ingest_us
        const char *price
        const char *size
        uint8_t price_length, size_length
        char side
    void set_price(trade_row *, const decimal *, const decimal *) noexcept
    int row_has_zero "has_zero"(const trade_row *) noexcept
    int64_t minute_of(int64_t) noexcept

cdef extern from "fold.h":
    const int MOST_WRITTEN
    ctypedef struct exact_sum:
        pass
    ctypedef struct fold_sums:
        exact_sum volume, quote_volume, bought, bought_quote
        bint sides_known
    ctypedef struct folded:
        size_t first, last, high, low
        fold_sums sums
    int fold_trades(const trade_row *, size_t, folded *) noexcept
    size_t write_sum(const exact_sum *, char *) noexcept

cdef extern from "minutes.h":
    ctypedef struct amount:
        char chars[40]
        uint8_t length
    ctypedef struct minute_candle:
        int64_t opened_us, count, first_us, first_id, last_us, last_id
        amount open, high, low, close
        fold_sums sums
    void start_minute(minute_candle *, const trade_row *, size_t, const folded *, int64_t) noexcept
    int merge_minute(minute_candle *, const trade_row *, size_t, const folded *) noexcept

cdef extern from "rows.h":
    const int MOST_ROW_CHARS, MOST_JSON_ROW
    char *write_rows(char *, const trade_row *, size_t, text) noexcept
    char *write_json_rows(char *, const trade_row *, size_t) noexcept

cdef extern from "binary_rows.h":
    const int MOST_BINARY_ROW
    char *write_binary_rows(char *, const trade_row *, size_t, text, text) noexcept

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

cdef extern from "template.h":
    size_t count_rows(text, size_t) noexcept
    char *fill_rows(char *, text, const text *, bint) noexcept

include "columns.pxi"
include "fold.pxi"
include "minutes.pxi"
include "frames.pxi"
include "csv.pxi"
include "entries.pxi"
include "template.pxi"
