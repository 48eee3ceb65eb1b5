/* Rows of venues' files of trades, as ingest/venues/binance_files.py defines them. */

#ifndef TICKPLANT_CSV_H
#define TICKPLANT_CSV_H

#include "frames.h"

/* The lines of a text, the last one perhaps without its end. */
static inline size_t count_lines(text chars) {
    const char *at = chars.at, *end = at + chars.length;
    size_t count = 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        count++;
        if (newline == NULL) break;
        at = newline + 1;
    }
    return count;
}

static inline int read_csv_decimal(cursor *c, decimal *out) {
    const char *end = scan_decimal(c->at, c->end, out);
    if (end == NULL || end == c->end || *end != ',') return 0;
    c->at = end + 1;
    return 1;
}

/* True or False, with a capital or without; 1 and 0, or -1 where it is neither. */
static inline int read_csv_flag(cursor *c) {
    if (PASS(c, "True") || PASS(c, "true")) return 1;
    if (PASS(c, "False") || PASS(c, "false")) return 0;
    return -1;
}

/* A row of Binance's trades: id, price, size, quote size, time, whether the buyer was the maker, and a flag. */
static inline int parse_binance_row(cursor *c, parsed_trade *t) {
    int64_t time;
    decimal quote;
    if (!(read_integer(c, &t->id) && pass(c, ','))) return 0;
    if (!(read_csv_decimal(c, &t->price) && read_csv_decimal(c, &t->size) && read_csv_decimal(c, &quote))) return 0;
    if (!(read_integer(c, &time) && pass(c, ','))) return 0;
    int maker = read_csv_flag(c);
    if (maker < 0 || !pass(c, ',') || read_csv_flag(c) < 0) return 0;
    t->side = maker ? 's' : 'b';
    pass(c, '\r');
    return (c->at == c->end || pass(c, '\n')) && set_binance_time(t, time);
}

#endif
