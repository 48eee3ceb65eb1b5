/* Reading of JSON, decimals and times from bytes that may be anything.
 *
 * A cursor never goes beyond its end. Functions return 1 where they are sure, and 0 where the text is anything but
 * the plain form described: then it is left to the Python code, which decides what it is. */

#ifndef TICKPLANT_SCAN_H
#define TICKPLANT_SCAN_H

#include <stdint.h>
#include <string.h>

#define MOST_DECIMAL_CHARS 40
#define MOST_DIGITS 18 /* of an integer that certainly fits into 64 bits */
#define MOST_NAME_CHARS 64
#define LATEST_TRADE_ID (INT64_MAX - 1)
#define EARLIEST_US 31536000000000LL
#define LATEST_US 4102444800000000LL
#define MINUTE_US 60000000LL

typedef struct {
    const char *at, *end;
} cursor;

typedef struct {
    const char *at;
    size_t length;
} text;

typedef struct {
    text chars;
    int64_t value; /* all digits as one integer; 0 where they are more than MOST_DIGITS */
    uint8_t places;
    uint8_t wide; /* more than MOST_DIGITS digits */
} decimal;

static inline int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static inline int same(text a, const char *b, size_t length) {
    return a.length == length && memcmp(a.at, b, length) == 0;
}
#define SAME(a, literal) same(a, literal, sizeof(literal) - 1)

/* Pass a character; no white space before it. */
static inline int pass(cursor *c, char expected) {
    if (c->at < c->end && *c->at == expected) {
        c->at++;
        return 1;
    }
    return 0;
}

static inline int pass_text(cursor *c, const char *expected, size_t length) {
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, expected, length) != 0) return 0;
    c->at += length;
    return 1;
}
#define PASS(c, literal) pass_text(c, literal, sizeof(literal) - 1)

static inline void skip_space(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

/* Whether a byte can be in a name: printable ASCII but for the space and the backslash; a quotation mark ends a
   string. */
static inline int is_plain(char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\'; }

/* A JSON string of plain characters. */
static inline int read_string(cursor *c, text *out) {
    if (!pass(c, '"')) return 0;
    const char *p = c->at;
    while (p < c->end && is_plain(*p)) p++;
    if (p >= c->end || *p != '"') return 0;
    out->at = c->at;
    out->length = (size_t)(p - c->at);
    c->at = p + 1;
    return 1;
}

/* A JSON integer that is not negative, of at most MOST_DIGITS digits. */
static inline int read_integer(cursor *c, int64_t *out) {
    const char *p = c->at;
    int64_t value = 0;
    while (p < c->end && is_digit(*p) && p - c->at < MOST_DIGITS) value = value * 10 + (*p++ - '0');
    size_t digits = (size_t)(p - c->at);
    if (digits == 0 || (digits > 1 && *c->at == '0')) return 0;
    if (p < c->end && (is_digit(*p) || *p == '.' || *p == 'e' || *p == 'E')) return 0;
    c->at = p;
    *out = value;
    return 1;
}

/* Decimal text as `market.is_decimal` accepts it; returns its end, or NULL. */
static inline const char *scan_decimal(const char *at, const char *end, decimal *out) {
    const char *p = at, *point = NULL;
    uint64_t value = 0; /* wraps around where it is too long, and isn't used then */
    for (; p < end; p++) {
        if (is_digit(*p))
            value = value * 10 + (uint64_t)(*p - '0');
        else if (*p == '.' && point == NULL)
            point = p;
        else
            break;
    }
    size_t length = (size_t)(p - at), digits = length - (point != NULL);
    if (digits == 0 || length > MOST_DECIMAL_CHARS) return NULL;
    out->chars.at = at;
    out->chars.length = length;
    out->wide = digits > MOST_DIGITS;
    out->value = out->wide ? 0 : (int64_t)value;
    out->places = (uint8_t)(point == NULL ? 0 : p - point - 1);
    return p;
}

/* A text that is a decimal, all of it. */
static inline int read_decimal(text chars, decimal *out) {
    return scan_decimal(chars.at, chars.at + chars.length, out) == chars.at + chars.length;
}

/* A JSON string that is a decimal. */
static inline int read_decimal_string(cursor *c, decimal *out) {
    if (!pass(c, '"')) return 0;
    const char *end = scan_decimal(c->at, c->end, out);
    if (end == NULL || end == c->end || *end != '"') return 0;
    c->at = end + 1;
    return 1;
}

/* A JSON number that is not negative and has no exponent, as decimal text. */
static inline int read_number(cursor *c, decimal *out) {
    const char *p = c->at;
    while (p < c->end && is_digit(*p)) p++;
    size_t whole = (size_t)(p - c->at);
    if (whole == 0 || (whole > 1 && *c->at == '0')) return 0;
    if (p < c->end && *p == '.') {
        const char *point = p++;
        while (p < c->end && is_digit(*p)) p++;
        if (p == point + 1) return 0;
    } else if (whole > MOST_DIGITS) {
        return 0;
    }
    if (p < c->end && (*p == 'e' || *p == 'E')) return 0;
    text chars = {c->at, (size_t)(p - c->at)};
    c->at = p;
    return read_decimal(chars, out);
}

/* A string, integer, true, false or null. */
static inline int skip_scalar(cursor *c) {
    text ignored;
    int64_t number;
    if (c->at >= c->end) return 0;
    switch (*c->at) {
        case '"': return read_string(c, &ignored);
        case 't': return PASS(c, "true");
        case 'f': return PASS(c, "false");
        case 'n': return PASS(c, "null");
        default: return read_integer(c, &number);
    }
}

/* A list of scalars, or a scalar. */
static inline int skip_simple(cursor *c) {
    if (!pass(c, '[')) return skip_scalar(c);
    skip_space(c);
    if (pass(c, ']')) return 1;
    for (;;) {
        skip_space(c);
        if (!skip_scalar(c)) return 0;
        skip_space(c);
        if (pass(c, ']')) return 1;
        if (!pass(c, ',')) return 0;
    }
}

/* The next key of an object, up to the value.
 * Returns 1 for a key, 0 for the end of the object, -1 where it isn't sure. */
static inline int next_key(cursor *c, int first, text *key) {
    skip_space(c);
    if (pass(c, '}')) return 0;
    if (!first) {
        if (!pass(c, ',')) return -1;
        skip_space(c);
    }
    if (!read_string(c, key)) return -1;
    skip_space(c);
    if (!pass(c, ':')) return -1;
    skip_space(c);
    return 1;
}

static inline int two_digits(const char *p) {
    return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

/* Days since the epoch of a date in the Gregorian calendar. */
static inline int64_t days_of(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* A time in UTC such as 2014-11-07T08:19:27.028459Z, with any or no fraction, in microseconds, finer digits cut. */
static inline int read_time(text chars, int64_t *out) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *p = chars.at;
    if (chars.length < 20 || chars.length > 40) return 0;
    int century = two_digits(p), of_century = two_digits(p + 2), month = two_digits(p + 5);
    int day = two_digits(p + 8), hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (century < 0 || of_century < 0 || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':')
        return 0;
    int year = century * 100 + of_century;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (month == 2 && leap)) return 0;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    const char *last = chars.at + chars.length - 1;
    if (*last != 'Z') return 0;
    int64_t fraction = 0;
    p += 19;
    if (p < last) {
        if (*p++ != '.' || p == last) return 0;
        int digits = 0;
        for (; p < last; p++) {
            if (!is_digit(*p)) return 0;
            if (digits++ < 6) fraction = fraction * 10 + (*p - '0');
        }
        for (; digits < 6; digits++) fraction *= 10;
    }
    int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *out = seconds * 1000000 + fraction;
    return 1;
}

#endif
