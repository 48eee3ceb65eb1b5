/* Trades as COPY text and as JSON; see tickplant/copy_rows.py and tickplant/json_rows.py. */

#ifndef TICKPLANT_ROWS_H
#define TICKPLANT_ROWS_H

#include "trades.h"

#define MOST_ROW_CHARS 200 /* of a line but for the names */

typedef struct {
    int64_t second;
    char separator; /* between date and time */
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

/* Write a time of the years 1970 to 2099 without its zone. */
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
        *p++ = cache->separator;
        p = write_digits(p, rest / 3600, 2);
        *p++ = ':';
        p = write_digits(p, rest / 60 % 60, 2);
        *p++ = ':';
        p = write_digits(p, rest % 60, 2);
        *p++ = '.';
    }
    memcpy(out, cache->chars, 20);
    return write_digits(out + 20, time_us % 1000000, 6);
}

static inline char *write_text(char *out, const char *at, size_t length) {
    memcpy(out, at, length);
    return out + length;
}

/* Write a line a trade; `head` is venue and symbol, each with a tab after it. Returns the end. */
static char *write_rows(char *out, const trade_row *rows, size_t count, text head) {
    second_text event = {-1, ' ', {0}}, received = {-1, ' ', {0}};
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
        out = write_text(write_time(out, row->event_us, &event), "+00\t", 4);
        if (row->ingest_us != received_us) {
            received_us = row->ingest_us;
            received_length = (size_t)(write_time(received_chars, received_us, &received) - received_chars);
        }
        out = write_text(out, received_chars, received_length);
        out = write_text(out, "+00\n", 4);
    }
    return out;
}

#define MOST_JSON_ROW 300 /* with two decimals of MOST_DECIMAL_CHARS, and a comma */
#define WRITE_LITERAL(out, literal) write_text(out, literal, sizeof(literal) - 1)

/* Write a JSON object a trade, each with a comma after it. Returns the end. */
static char *write_json_rows(char *out, const trade_row *rows, size_t count) {
    second_text event = {-1, 'T', {0}}, received = {-1, 'T', {0}};
    for (size_t i = 0; i < count; i++) {
        const trade_row *row = &rows[i];
        out = write_integer(WRITE_LITERAL(out, "{\"trade_id\":"), row->id);
        out = write_text(WRITE_LITERAL(out, ",\"price\":\""), row->price, row->price_length);
        out = write_text(WRITE_LITERAL(out, "\",\"size\":\""), row->size, row->size_length);
        out = row->side == 'b' ? WRITE_LITERAL(out, "\",\"side\":\"buy\"")
              : row->side == 's' ? WRITE_LITERAL(out, "\",\"side\":\"sell\"")
                                 : WRITE_LITERAL(out, "\",\"side\":null");
        out = write_time(WRITE_LITERAL(out, ",\"event_time\":\""), row->event_us, &event);
        out = write_time(WRITE_LITERAL(out, "Z\",\"ingest_time\":\""), row->ingest_us, &received);
        out = WRITE_LITERAL(out, "Z\"},");
    }
    return out;
}

#endif
