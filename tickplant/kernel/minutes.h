/* Candles of a minute that grow; see tickplant/minute_candles.py. */

#ifndef TICKPLANT_MINUTES_H
#define TICKPLANT_MINUTES_H

#include "fold.h"

typedef struct {
    char chars[MOST_DECIMAL_CHARS];
    uint8_t length, places;
    int64_t value;
} amount;

typedef struct {
    int64_t opened_us, count, first_us, first_id, last_us, last_id;
    amount open, high, low, close;
    fold_sums sums;
} minute_candle;

static inline void set_amount(amount *out, const trade_row *row) {
    memcpy(out->chars, row->price, row->price_length);
    out->length = row->price_length;
    out->places = row->price_places;
    out->value = row->price_value;
}

static inline void set_first(minute_candle *out, const trade_row *row) {
    out->first_us = row->event_us;
    out->first_id = row->id;
    set_amount(&out->open, row);
}

static inline void set_last(minute_candle *out, const trade_row *row) {
    out->last_us = row->event_us;
    out->last_id = row->id;
    set_amount(&out->close, row);
}

static inline void start_minute(minute_candle *out, const trade_row *rows, size_t count, const folded *run,
                                int64_t opened_us) {
    out->opened_us = opened_us;
    out->count = (int64_t)count;
    out->sums = run->sums;
    set_first(out, &rows[run->first]);
    set_last(out, &rows[run->last]);
    set_amount(&out->high, &rows[run->high]);
    set_amount(&out->low, &rows[run->low]);
}

static inline int compare_price(const trade_row *row, const amount *known, int *sign) {
    return compare(row->price_value, row->price_places, known->value, known->places, sign);
}

/* Merge trades of the same minute, as `market.merge` does; returns 0, and changes nothing, where they don't fit. */
static int merge_minute(minute_candle *out, const trade_row *rows, size_t count, const folded *run) {
    const trade_row *first = &rows[run->first], *last = &rows[run->last];
    fold_sums sums = out->sums;
    int high, low;
    if (!add_sums(&sums, &run->sums)) return 0;
    if (!compare_price(&rows[run->high], &out->high, &high) || !compare_price(&rows[run->low], &out->low, &low)) return 0;
    out->sums = sums;
    out->count += (int64_t)count;
    if (high > 0) set_amount(&out->high, &rows[run->high]);
    if (low < 0) set_amount(&out->low, &rows[run->low]);
    if (first->event_us < out->first_us || (first->event_us == out->first_us && first->id < out->first_id))
        set_first(out, first);
    if (last->event_us > out->last_us || (last->event_us == out->last_us && last->id >= out->last_id))
        set_last(out, last);
    return 1;
}

#endif
