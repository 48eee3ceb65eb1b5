/* Folding of trades, exactly, in integers of 128 bits; see tickplant/folding.py. */

#ifndef TICKPLANT_FOLD_H
#define TICKPLANT_FOLD_H

#include "trades.h"

typedef unsigned __int128 uint128;

/* A sum of decimals as an integer of its least place; it has as many places as the one that has most of them. */
typedef struct {
    uint128 value;
    int places;
} exact_sum;

typedef struct {
    exact_sum volume, quote_volume, bought, bought_quote;
    int sides_known; /* else nothing is known of what was bought */
} fold_sums;

typedef struct {
    size_t first, last, high, low; /* indices of trades */
    fold_sums sums;
} folded;

/* Multiply by a power of ten; returns 0 where that doesn't fit. */
static inline int scale(uint128 value, int places, uint128 *out) {
    static const uint64_t powers[] = {
        1ULL,
        10ULL,
        100ULL,
        1000ULL,
        10000ULL,
        100000ULL,
        1000000ULL,
        10000000ULL,
        100000000ULL,
        1000000000ULL,
        10000000000ULL,
        100000000000ULL,
        1000000000000ULL,
        10000000000000ULL,
        100000000000000ULL,
        1000000000000000ULL,
        10000000000000000ULL,
        100000000000000000ULL,
        1000000000000000000ULL,
    };
    for (; places > 18; places -= 18)
        if (__builtin_mul_overflow(value, (uint128)powers[18], &value)) return 0;
    return !__builtin_mul_overflow(value, (uint128)powers[places], out);
}

static inline int add_exact(exact_sum *sum, uint128 value, int places) {
    if (places > sum->places) {
        if (!scale(sum->value, places - sum->places, &sum->value)) return 0;
        sum->places = places;
    } else if (places < sum->places && !scale(value, sum->places - places, &value)) {
        return 0;
    }
    return !__builtin_add_overflow(sum->value, value, &sum->value);
}

static inline int add_sums(fold_sums *sums, const fold_sums *more) {
    sums->sides_known = sums->sides_known && more->sides_known;
    return add_exact(&sums->volume, more->volume.value, more->volume.places) &&
           add_exact(&sums->quote_volume, more->quote_volume.value, more->quote_volume.places) &&
           add_exact(&sums->bought, more->bought.value, more->bought.places) &&
           add_exact(&sums->bought_quote, more->bought_quote.value, more->bought_quote.places);
}

/* Compare two decimals; `sign` is that of their difference. Returns 0 where they don't fit. */
static inline int compare(int64_t a, int a_places, int64_t b, int b_places, int *sign) {
    uint128 left = (uint64_t)a, right = (uint64_t)b;
    if (a_places > b_places ? !scale(right, a_places - b_places, &right) : !scale(left, b_places - a_places, &left))
        return 0;
    *sign = (left > right) - (left < right);
    return 1;
}

static inline int is_later(const trade_row *a, const trade_row *b) {
    return a->event_us > b->event_us || (a->event_us == b->event_us && a->id >= b->id);
}

static inline int is_earlier(const trade_row *a, const trade_row *b) {
    return a->event_us < b->event_us || (a->event_us == b->event_us && a->id < b->id);
}

/* Fold trades of one minute; at least one. Returns 0 where a number doesn't fit. */
static int fold_trades(const trade_row *rows, size_t count, folded *out) {
    fold_sums sums = {.sides_known = 1};
    size_t first = 0, last = 0, high = 0, low = 0;
    for (size_t i = 0; i < count; i++) {
        const trade_row *row = &rows[i];
        int places = row->price_places, sign;
        if (row->wide) return 0;
        if (is_later(row, &rows[last]))
            last = i;
        else if (is_earlier(row, &rows[first]))
            first = i;
        if (!compare(row->price_value, places, rows[high].price_value, rows[high].price_places, &sign)) return 0;
        if (sign > 0) high = i;
        if (!compare(row->price_value, places, rows[low].price_value, rows[low].price_places, &sign)) return 0;
        if (sign < 0) low = i;
        uint128 size = (uint64_t)row->size_value, value = size * (uint64_t)row->price_value;
        places += row->size_places;
        if (!add_exact(&sums.volume, size, row->size_places)) return 0;
        if (!add_exact(&sums.quote_volume, value, places)) return 0;
        if (row->side == 'b') {
            if (!add_exact(&sums.bought, size, row->size_places)) return 0;
            if (!add_exact(&sums.bought_quote, value, places)) return 0;
        } else if (row->side == '-') {
            sums.sides_known = 0;
        }
    }
    *out = (folded){first, last, high, low, sums};
    return 1;
}

#define MOST_WRITTEN 128 /* characters of an integer of 128 bits with its point and zeros */

/* Write a sum as decimal text; returns the number of characters. */
static size_t write_sum(const exact_sum *sum, char *out) {
    char reversed[MOST_WRITTEN];
    int digits = 0;
    uint128 value = sum->value;
    for (; value > UINT64_MAX; value /= 10000000000000000000ULL) {
        uint64_t low = (uint64_t)(value % 10000000000000000000ULL);
        for (int i = 0; i < 19; i++, low /= 10) reversed[digits++] = (char)('0' + low % 10);
    }
    for (uint64_t rest = (uint64_t)value; rest; rest /= 10) reversed[digits++] = (char)('0' + rest % 10);
    while (digits <= sum->places) reversed[digits++] = '0';
    char *p = out;
    while (digits > sum->places) *p++ = reversed[--digits];
    if (sum->places) *p++ = '.';
    while (digits) *p++ = reversed[--digits];
    return (size_t)(p - out);
}

#endif
