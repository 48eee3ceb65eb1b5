/* MessagePack, as much of it as the entries of streams have; see tickplant/wire_columns.py.
 *
 * Readers return 0 for whatever isn't that kind of value in its bounds; the Python code decides what it is. */

#ifndef TICKPLANT_PACK_H
#define TICKPLANT_PACK_H

#include "scan.h"

static inline int read_bytes(cursor *c, size_t count, uint64_t *out) {
    if ((size_t)(c->end - c->at) < count) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value = value << 8 | (unsigned char)c->at[i];
    c->at += count;
    *out = value;
    return 1;
}

/* An integer of 64 bits with its sign. */
static inline int unpack_integer(cursor *c, int64_t *out) {
    if (c->at >= c->end) return 0;
    unsigned char head = (unsigned char)*c->at++;
    uint64_t value;
    if (head < 0x80 || head >= 0xe0) {
        *out = (int8_t)head;
        return 1;
    }
    switch (head) {
        case 0xcc: if (!read_bytes(c, 1, &value)) return 0; break;
        case 0xcd: if (!read_bytes(c, 2, &value)) return 0; break;
        case 0xce: if (!read_bytes(c, 4, &value)) return 0; break;
        case 0xcf: if (!read_bytes(c, 8, &value) || value > INT64_MAX) return 0; break;
        case 0xd0:
            if (!read_bytes(c, 1, &value)) return 0;
            *out = (int8_t)value;
            return 1;
        case 0xd1:
            if (!read_bytes(c, 2, &value)) return 0;
            *out = (int16_t)value;
            return 1;
        case 0xd2:
            if (!read_bytes(c, 4, &value)) return 0;
            *out = (int32_t)value;
            return 1;
        case 0xd3:
            if (!read_bytes(c, 8, &value)) return 0;
            *out = (int64_t)value;
            return 1;
        default: return 0;
    }
    *out = (int64_t)value;
    return 1;
}

/* An integer of which the sum of two fits into 64 bits. */
static inline int unpack_part(cursor *c, int64_t *out) {
    return unpack_integer(c, out) && *out >= -(1LL << 62) && *out < (1LL << 62);
}

static inline int unpack_text(cursor *c, text *out) {
    if (c->at >= c->end) return 0;
    unsigned char head = (unsigned char)*c->at++;
    uint64_t length;
    if ((head & 0xe0) == 0xa0) {
        length = head & 0x1f;
    } else {
        size_t bytes = head == 0xd9 ? 1 : head == 0xda ? 2 : head == 0xdb ? 4 : 0;
        if (!bytes || !read_bytes(c, bytes, &length)) return 0;
    }
    if (length > (uint64_t)(c->end - c->at)) return 0;
    out->at = c->at;
    out->length = (size_t)length;
    c->at += length;
    return 1;
}

static inline int unpack_decimal(cursor *c, decimal *out) {
    text chars;
    return unpack_text(c, &chars) && read_decimal(chars, out);
}

/* The head of a list; each of its elements takes a byte at least, so that a count is bounded by what is there. */
static inline int unpack_list(cursor *c, size_t *out) {
    if (c->at >= c->end) return 0;
    unsigned char head = (unsigned char)*c->at++;
    uint64_t count;
    if ((head & 0xf0) == 0x90) {
        count = head & 0x0f;
    } else {
        size_t bytes = head == 0xdc ? 2 : head == 0xdd ? 4 : 0;
        if (!bytes || !read_bytes(c, bytes, &count)) return 0;
    }
    if (count > (uint64_t)(c->end - c->at)) return 0;
    *out = (size_t)count;
    return 1;
}

/* Whether a name is one as `trade_rules.is_name` says, of ASCII. */
static inline int is_name(text name) {
    if (name.length == 0 || name.length > MOST_NAME_CHARS) return 0;
    for (size_t i = 0; i < name.length; i++)
        if (!is_plain(name.at[i]) && name.at[i] != '"') return 0;
    return 1;
}

#define MOST_PACKED_INTEGER 9
#define MOST_PACKED_HEAD 5

static inline char *pack_bytes(char *out, uint64_t value, int count) {
    for (int i = count - 1; i >= 0; i--, value >>= 8) out[i] = (char)(value & 0xff);
    return out + count;
}

static inline char *pack_head(char *out, unsigned char head, uint64_t value, int count) {
    *out++ = (char)head;
    return pack_bytes(out, value, count);
}

static inline char *pack_integer(char *out, int64_t value) {
    uint64_t bits = (uint64_t)value;
    if (value >= 0) {
        if (value < 0x80) return pack_bytes(out, bits, 1);
        if (value <= 0xff) return pack_head(out, 0xcc, bits, 1);
        if (value <= 0xffff) return pack_head(out, 0xcd, bits, 2);
        if (value <= 0xffffffffLL) return pack_head(out, 0xce, bits, 4);
        return pack_head(out, 0xcf, bits, 8);
    }
    if (value >= -32) return pack_bytes(out, bits, 1);
    if (value >= INT8_MIN) return pack_head(out, 0xd0, bits, 1);
    if (value >= INT16_MIN) return pack_head(out, 0xd1, bits, 2);
    if (value >= INT32_MIN) return pack_head(out, 0xd2, bits, 4);
    return pack_head(out, 0xd3, bits, 8);
}

static inline char *pack_text_head(char *out, size_t length) {
    if (length < 32) return pack_bytes(out, 0xa0 | length, 1);
    if (length <= 0xff) return pack_head(out, 0xd9, length, 1);
    if (length <= 0xffff) return pack_head(out, 0xda, length, 2);
    return pack_head(out, 0xdb, length, 4);
}

static inline char *pack_text(char *out, const char *at, size_t length) {
    out = pack_text_head(out, length);
    memcpy(out, at, length);
    return out + length;
}

static inline char *pack_list_head(char *out, size_t count) {
    if (count < 16) return pack_bytes(out, 0x90 | count, 1);
    if (count <= 0xffff) return pack_head(out, 0xdc, count, 2);
    return pack_head(out, 0xdd, count, 4);
}

#endif
