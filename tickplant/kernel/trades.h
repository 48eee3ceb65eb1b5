/* Trades in memory. */

#ifndef TICKPLANT_TRADES_H
#define TICKPLANT_TRADES_H

#include "scan.h"

typedef struct {
    int64_t id, event_us, ingest_us;
    const char *price, *size; /* the text, which whoever holds the rows keeps */
    int64_t price_value, size_value;
    uint8_t price_length, size_length, price_places, size_places;
    uint8_t wide; /* a value doesn't fit */
    char side;
} trade_row;

static inline void set_price(trade_row *row, const decimal *price, const decimal *size) {
    row->price = price->chars.at;
    row->price_length = (uint8_t)price->chars.length;
    row->price_value = price->value;
    row->price_places = price->places;
    row->size = size->chars.at;
    row->size_length = (uint8_t)size->chars.length;
    row->size_value = size->value;
    row->size_places = size->places;
    row->wide = price->wide || size->wide;
}

/* Whether a decimal is zero, in any spelling. */
static inline int is_zero_text(const char *at, uint8_t length) {
    for (uint8_t i = 0; i < length; i++)
        if (at[i] != '0' && at[i] != '.') return 0;
    return 1;
}

static inline int has_zero(const trade_row *row) {
    if (!row->wide) return row->price_value == 0 || row->size_value == 0;
    return is_zero_text(row->price, row->price_length) || is_zero_text(row->size, row->size_length);
}

static inline int64_t minute_of(int64_t time_us) {
    int64_t within = time_us % MINUTE_US;
    return time_us - (within < 0 ? within + MINUTE_US : within);
}

#endif
