/* Trades as binary rows of COPY; see tickplant/copy_rows.py. */

#ifndef TICKPLANT_BINARY_ROWS_H
#define TICKPLANT_BINARY_ROWS_H

#include "trades.h"

#define POSTGRES_EPOCH_US 946684800000000LL
#define MOST_GROUPS 12 /* of four digits, of a decimal of MOST_DECIMAL_CHARS */
/* But for the names: the number of fields, eight lengths, three integers, two decimals, a side. */
#define MOST_BINARY_ROW (2 + 8 * 4 + 3 * 8 + 2 * (8 + 2 * MOST_GROUPS) + 4)

static inline char *write_big(char *out, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--, value >>= 8) out[i] = (char)(value & 0xff);
    return out + bytes;
}

static inline char *write_field(char *out, const char *at, size_t length) {
    out = write_big(out, length, 4);
    memcpy(out, at, length);
    return out + length;
}

static inline char *write_big_field(char *out, int64_t value) {
    return write_big(write_big(out, 8, 4), (uint64_t)value, 8);
}

/* Write a decimal as a NUMERIC: groups of four digits, aligned to the point, without outer zeros. */
static char *write_numeric(char *out, const char *at, int length, int places) {
    int groups[MOST_GROUPS], count = 0;
    int whole = places ? length - places - 1 : length;
    if (!places && whole && at[whole - 1] == '.') whole--;
    int weight = (whole + 3) / 4 - 1;
    for (int i = 0, missing = (4 - whole % 4) % 4; i < whole;) {
        int group = 0;
        for (int end = i + 4 - missing; i < end; i++) group = group * 10 + (at[i] - '0');
        missing = 0;
        groups[count++] = group;
    }
    const char *fraction = at + length - places;
    for (int i = 0; i < places; i += 4) {
        int group = 0;
        for (int k = i; k < i + 4; k++) group = group * 10 + (k < places ? fraction[k] - '0' : 0);
        groups[count++] = group;
    }
    int first = 0;
    for (; first < count && groups[first] == 0; first++) weight--;
    while (count > first && groups[count - 1] == 0) count--;
    count -= first;
    if (count == 0) weight = 0;
    out = write_big(out, (uint64_t)(8 + 2 * count), 4);
    out = write_big(out, (uint64_t)count, 2);
    out = write_big(out, (uint64_t)(int64_t)weight, 2);
    out = write_big(out, 0, 2);
    out = write_big(out, (uint64_t)places, 2);
    for (int i = 0; i < count; i++) out = write_big(out, (uint64_t)groups[first + i], 2);
    return out;
}

/* Write a row a trade; returns the end. */
static char *write_binary_rows(char *out, const trade_row *rows, size_t count, text venue, text symbol) {
    for (size_t i = 0; i < count; i++) {
        const trade_row *row = &rows[i];
        out = write_big(out, 8, 2);
        out = write_field(out, venue.at, venue.length);
        out = write_field(out, symbol.at, symbol.length);
        out = write_big_field(out, row->id);
        out = write_numeric(out, row->price, row->price_length, row->price_places);
        out = write_numeric(out, row->size, row->size_length, row->size_places);
        out = row->side == 'b'   ? write_field(out, "buy", 3)
              : row->side == 's' ? write_field(out, "sell", 4)
                                 : write_big(out, UINT32_MAX, 4);
        out = write_big_field(out, row->event_us - POSTGRES_EPOCH_US);
        out = write_big_field(out, row->ingest_us - POSTGRES_EPOCH_US);
    }
    return out;
}

#endif
