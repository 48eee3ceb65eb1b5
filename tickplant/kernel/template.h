/* Rows of values, separated by tabs, as objects of JSON: see tickplant/json_template.py. */
#ifndef TICKPLANT_TEMPLATE_H
#define TICKPLANT_TEMPLATE_H

#include "scan.h"

/* Return how many rows there are; 0 unless each has as many tabs as it should. */
static inline size_t count_rows(text rows, size_t tabs) {
    size_t lines = 1, found = 0;
    for (size_t i = 0; i < rows.length; i++) {
        if (rows.at[i] == '\t') {
            found++;
        } else if (rows.at[i] == '\n') {
            if (found != tabs) return 0;
            lines++, found = 0;
        }
    }
    return found == tabs ? lines : 0;
}

/* Write one row, which ends before `end`, and return where it ends. */
static inline char *fill_row(char *out, const char *at, const char *end, const text *literals) {
    memcpy(out, literals->at, literals->length);
    out += literals->length;
    while (at < end) {
        if (*at == '\t') {
            literals++;
            memcpy(out, literals->at, literals->length);
            out += literals->length, at++;
        } else {
            *out++ = *at++;
        }
    }
    literals++;
    memcpy(out, literals->at, literals->length);
    return out + literals->length;
}

/* Write all rows, which `count_rows` has counted, and return where they end. */
static inline char *fill_rows(char *out, text rows, const text *literals, int backwards) {
    const char *start = rows.at, *stop = rows.at + rows.length;
    *out++ = '[';
    for (int more = 1; more;) {
        const char *at = start, *end = stop;
        if (backwards) {
            at = stop;
            while (at > start && at[-1] != '\n') at--;
            more = at > start;
            stop = at - more;
        } else {
            end = memchr(start, '\n', (size_t)(stop - start));
            more = end != NULL;
            if (!more) end = stop;
            start = end + more;
        }
        out = fill_row(out, at, end, literals);
        *out++ = more ? ',' : ']';
    }
    return out;
}

#endif
