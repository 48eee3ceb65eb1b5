/* Trades in memory: folding, COPY text. */

#ifndef TICKPLANT_TRADES_H
#define TICKPLANT_TRADES_H

#include "scan.h"

typedef __int128 int128;
typedef unsigned __int128 uint128;

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

/* --- Folding */

typedef struct {
    size_t first, last, high, low; /* indices of trades */
    uint128 volume, quote_volume;  /* as integers of the least place */
    int volume_places, quote_places;
} folded;

#define MOST_POWER 38

static inline int scale(uint128 value, int places, uint128 *out) {
    static const uint64_t small[] = {1ULL,
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
                                     1000000000000000000ULL};
    while (places > 18) {
        if (__builtin_mul_overflow(value, (uint128)small[18], &value)) return 0;
        places -= 18;
    }
    return !__builtin_mul_overflow(value, (uint128)small[places], out);
}

/* Fold trades of one minute; at least one. Returns 0 where a number doesn't fit into 128 bits. */
static int fold_trades(const trade_row *rows, size_t count, folded *out) {
    int price_places = rows[0].price_places, size_places = rows[0].size_places;
    int quote_places = price_places + size_places, alike = 1;
    out->first = out->last = 0;
    for (size_t i = 0; i < count; i++) {
        const trade_row *row = &rows[i], *first = &rows[out->first], *last = &rows[out->last];
        if (row->wide) return 0;
        if (row->price_places != price_places || row->size_places != size_places) {
            alike = 0;
            if (row->price_places > price_places) price_places = row->price_places;
            if (row->size_places > size_places) size_places = row->size_places;
        }
        if (row->price_places + row->size_places > quote_places) quote_places = row->price_places + row->size_places;
        if (row->event_us > last->event_us || (row->event_us == last->event_us && row->id >= last->id))
            out->last = i;
        else if (row->event_us < first->event_us || (row->event_us == first->event_us && row->id < first->id))
            out->first = i;
    }
    out->high = out->low = 0;
    out->volume_places = size_places;
    out->quote_places = quote_places;
    uint128 volume = 0, quote = 0;
    if (alike) {
        int64_t high = rows[0].price_value, low = high;
        for (size_t i = 0; i < count; i++) {
            int64_t price = rows[i].price_value, size = rows[i].size_value;
            if (price > high) {
                high = price;
                out->high = i;
            } else if (price < low) {
                low = price;
                out->low = i;
            }
            volume += (uint64_t)size; /* of at most 18 digits each: no sum of a column overflows */
            if (__builtin_add_overflow(quote, (uint128)(uint64_t)price * (uint64_t)size, &quote)) return 0;
        }
    } else {
        uint128 high = 0, low = 0;
        for (size_t i = 0; i < count; i++) {
            const trade_row *row = &rows[i];
            uint128 price, size, product;
            if (!scale((uint64_t)row->price_value, price_places - row->price_places, &price)) return 0;
            if (!scale((uint64_t)row->size_value, size_places - row->size_places, &size)) return 0;
            product = (uint128)(uint64_t)row->price_value * (uint64_t)row->size_value;
            /* Fewer places than both columns together: those that some trade has. */
            int missing = quote_places - row->price_places - row->size_places;
            if (!scale(product, missing, &product)) return 0;
            if (i == 0) {
                high = low = price;
            } else if (price > high) {
                high = price;
                out->high = i;
            } else if (price < low) {
                low = price;
                out->low = i;
            }
            if (__builtin_add_overflow(volume, size, &volume)) return 0;
            if (__builtin_add_overflow(quote, product, &quote)) return 0;
        }
    }
    out->volume = volume;
    out->quote_volume = quote;
    return 1;
}

/* --- Candles of a minute that grow */

typedef struct {
    char chars[MOST_DECIMAL_CHARS];
    uint8_t length, places;
    int64_t value;
} amount;

typedef struct {
    int64_t opened_us, count, first_us, first_id, last_us, last_id;
    amount open, high, low, close;
    uint128 volume, quote_volume;
    int volume_places, quote_places;
} minute_candle;

static inline void set_amount(amount *out, const trade_row *row) {
    memcpy(out->chars, row->price, row->price_length);
    out->length = row->price_length;
    out->places = row->price_places;
    out->value = row->price_value;
}

static inline void start_minute(minute_candle *out, const trade_row *rows, size_t count, const folded *run,
                                int64_t opened_us) {
    out->opened_us = opened_us;
    out->count = (int64_t)count;
    out->first_us = rows[run->first].event_us;
    out->first_id = rows[run->first].id;
    out->last_us = rows[run->last].event_us;
    out->last_id = rows[run->last].id;
    set_amount(&out->open, &rows[run->first]);
    set_amount(&out->high, &rows[run->high]);
    set_amount(&out->low, &rows[run->low]);
    set_amount(&out->close, &rows[run->last]);
    out->volume = run->volume;
    out->volume_places = run->volume_places;
    out->quote_volume = run->quote_volume;
    out->quote_places = run->quote_places;
}

/* Compare a price with another; returns 0 where they don't fit. */
static inline int compare_price(const trade_row *row, const amount *known, int *sign) {
    uint128 a = (uint64_t)row->price_value, b = (uint64_t)known->value;
    int more = (int)row->price_places - (int)known->places;
    if (more > 0 ? !scale(b, more, &b) : !scale(a, -more, &a)) return 0;
    *sign = a > b ? 1 : a < b ? -1 : 0;
    return 1;
}

static inline int add_scaled(uint128 a, int a_places, uint128 b, int b_places, uint128 *sum) {
    if (a_places < b_places ? !scale(a, b_places - a_places, &a) : !scale(b, a_places - b_places, &b)) return 0;
    return !__builtin_add_overflow(a, b, sum);
}

/* Merge trades of the same minute, as `market.merge` does; returns 0, and changes nothing, where they don't fit. */
static int merge_minute(minute_candle *out, const trade_row *rows, size_t count, const folded *run) {
    const trade_row *first = &rows[run->first], *last = &rows[run->last];
    uint128 volume, quote_volume;
    int high, low;
    if (!add_scaled(out->volume, out->volume_places, run->volume, run->volume_places, &volume)) return 0;
    if (!add_scaled(out->quote_volume, out->quote_places, run->quote_volume, run->quote_places, &quote_volume)) return 0;
    if (!compare_price(&rows[run->high], &out->high, &high) || !compare_price(&rows[run->low], &out->low, &low)) return 0;
    out->volume = volume;
    out->quote_volume = quote_volume;
    if (run->volume_places > out->volume_places) out->volume_places = run->volume_places;
    if (run->quote_places > out->quote_places) out->quote_places = run->quote_places;
    out->count += (int64_t)count;
    if (high > 0) set_amount(&out->high, &rows[run->high]);
    if (low < 0) set_amount(&out->low, &rows[run->low]);
    if (first->event_us < out->first_us || (first->event_us == out->first_us && first->id < out->first_id)) {
        out->first_us = first->event_us;
        out->first_id = first->id;
        set_amount(&out->open, first);
    }
    if (last->event_us > out->last_us || (last->event_us == out->last_us && last->id >= out->last_id)) {
        out->last_us = last->event_us;
        out->last_id = last->id;
        set_amount(&out->close, last);
    }
    return 1;
}

#define MOST_WRITTEN 128 /* characters of an integer of 128 bits and its point and zeros */

/* Write an integer of the least place as decimal text; returns the number of characters. */
static size_t write_scaled(uint128 value, int places, char *out) {
    char reversed[MOST_WRITTEN];
    int digits = 0;
    while (value > UINT64_MAX) {
        uint64_t low = (uint64_t)(value % 10000000000000000000ULL);
        value /= 10000000000000000000ULL;
        for (int i = 0; i < 19; i++, low /= 10) reversed[digits++] = (char)('0' + low % 10);
    }
    for (uint64_t rest = (uint64_t)value; rest; rest /= 10) reversed[digits++] = (char)('0' + rest % 10);
    while (digits <= places) reversed[digits++] = '0';
    char *p = out;
    while (digits > places) *p++ = reversed[--digits];
    if (places) *p++ = '.';
    while (digits) *p++ = reversed[--digits];
    return (size_t)(p - out);
}

/* --- COPY text */

#define MOST_ROW_CHARS 200 /* of a line but for the names */

typedef struct {
    int64_t second;
    char chars[20]; /* 2023-11-14 22:13:20. */
} second_text;

static inline char *write_digits(char *out, int64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value /= 10) out[i] = (char)('0' + value % 10);
    return out + digits;
}

static inline char *write_integer(char *out, int64_t value) {
    char reversed[24];
    int digits = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do reversed[digits++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *out++ = '-';
    while (digits) *out++ = reversed[--digits];
    return out;
}

/* Write a time of the years 1970 to 2099 as PostgreSQL reads it. */
static inline char *write_time(char *out, int64_t time_us, second_text *cache) {
    int64_t second = time_us / 1000000;
    if (second != cache->second) {
        cache->second = second;
        int64_t days = second / 86400, rest = second % 86400;
        /* The civil date of a day, counted from March of the year 0. */
        int64_t since = days + 719468, era = since / 146097, of_era = since % 146097;
        int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
        int64_t shifted = (5 * of_year + 2) / 153, day = of_year - (153 * shifted + 2) / 5 + 1;
        int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
        year += era * 400 + (month <= 2);
        char *p = write_digits(cache->chars, year, 4);
        *p++ = '-';
        p = write_digits(p, month, 2);
        *p++ = '-';
        p = write_digits(p, day, 2);
        *p++ = ' ';
        p = write_digits(p, rest / 3600, 2);
        *p++ = ':';
        p = write_digits(p, rest / 60 % 60, 2);
        *p++ = ':';
        p = write_digits(p, rest % 60, 2);
        *p++ = '.';
    }
    memcpy(out, cache->chars, 20);
    out = write_digits(out + 20, time_us % 1000000, 6);
    memcpy(out, "+00", 3);
    return out + 3;
}

static inline char *write_text(char *out, const char *at, size_t length) {
    memcpy(out, at, length);
    return out + length;
}

/* Write a line a trade; `head` is venue and symbol, each with a tab after it. Returns the end. */
static char *write_rows(char *out, const trade_row *rows, size_t count, text head) {
    second_text event = {-1, {0}}, received = {-1, {0}};
    char received_chars[32];
    int64_t received_us = -1;
    size_t received_length = 0;
    for (size_t i = 0; i < count; i++) {
        const trade_row *row = &rows[i];
        out = write_text(out, head.at, head.length);
        out = write_integer(out, row->id);
        *out++ = '\t';
        out = write_text(out, row->price, row->price_length);
        *out++ = '\t';
        out = write_text(out, row->size, row->size_length);
        *out++ = '\t';
        out = row->side == 'b' ? write_text(out, "buy", 3)
              : row->side == 's' ? write_text(out, "sell", 4)
                                 : write_text(out, "\\N", 2);
        *out++ = '\t';
        out = write_time(out, row->event_us, &event);
        *out++ = '\t';
        if (row->ingest_us != received_us) {
            received_us = row->ingest_us;
            received_length = (size_t)(write_time(received_chars, received_us, &received) - received_chars);
        }
        out = write_text(out, received_chars, received_length);
        *out++ = '\n';
    }
    return out;
}

#endif
