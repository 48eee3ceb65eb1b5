/* The trades of venues' frames, as the adapters in ingest/venues define them.
 *
 * Each function returns the number of trades of a frame, or 0 where the frame is anything but trades in the form that
 * the venue documents: such a frame is left to the adapter. */

#ifndef TICKPLANT_FRAMES_H
#define TICKPLANT_FRAMES_H

#include "scan.h"

typedef struct {
    text symbol;
    decimal price, size;
    int64_t id, event_us;
    char side;
} parsed_trade;

/* Take a trade; returns 0 to refuse. */
typedef int (*take_trade)(void *taker, const parsed_trade *trade);

typedef int (*frame_parser)(cursor *c, take_trade take, void *taker);

static inline int can_be_stored(const parsed_trade *t) {
    return t->symbol.length > 0 && t->symbol.length <= MOST_NAME_CHARS && t->id >= 0 && t->id <= LATEST_TRADE_ID &&
           t->event_us >= EARLIEST_US && t->event_us < LATEST_US;
}

/* Note a field; 0 where it has come before, as decoders then take the last. */
static inline int note(unsigned *seen, unsigned field) {
    if (*seen & field) return 0;
    *seen |= field;
    return 1;
}

static inline int at_end(cursor *c) {
    skip_space(c);
    return c->at == c->end;
}

/* Take a time in milliseconds or, if it is that late, in microseconds. */
static inline int set_binance_time(parsed_trade *t, int64_t time) {
    if (time >= LATEST_US) return 0;
    t->event_us = time < 100000000000000LL ? time * 1000 : time;
    return can_be_stored(t);
}

static int parse_binance_payload(cursor *c, parsed_trade *t) {
    unsigned seen = 0;
    int64_t time = 0;
    text key, kind;
    if (!pass(c, '{')) return 0;
    for (int first = 1;; first = 0) {
        int found = next_key(c, first, &key);
        if (found < 0) return 0;
        if (found == 0) break;
        int fine;
        if (key.length != 1) {
            if (SAME(key, "data")) return 0;
            fine = skip_scalar(c);
        } else {
            switch (*key.at) {
                case 'e': fine = note(&seen, 1) && read_string(c, &kind) && SAME(kind, "trade"); break;
                case 's': fine = note(&seen, 2) && read_string(c, &t->symbol); break;
                case 't': fine = note(&seen, 4) && read_integer(c, &t->id); break;
                case 'p': fine = note(&seen, 8) && read_decimal_string(c, &t->price); break;
                case 'q': fine = note(&seen, 16) && read_decimal_string(c, &t->size); break;
                case 'T': fine = note(&seen, 32) && read_integer(c, &time); break;
                case 'm':
                    t->side = PASS(c, "true") ? 's' : PASS(c, "false") ? 'b' : 0;
                    fine = note(&seen, 64) && t->side;
                    break;
                default: fine = skip_scalar(c);
            }
        }
        if (!fine) return 0;
    }
    return seen == 127 && set_binance_time(t, time);
}

/* The same, of fields in the usual order alone. */
static int parse_usual_binance_payload(cursor *c, parsed_trade *t) {
    int64_t ignored, time = 0;
    if (!(PASS(c, "{\"e\":\"trade\",\"E\":") && read_integer(c, &ignored))) return 0;
    if (!(PASS(c, ",\"s\":") && read_string(c, &t->symbol))) return 0;
    if (!(PASS(c, ",\"t\":") && read_integer(c, &t->id))) return 0;
    if (!(PASS(c, ",\"p\":") && read_decimal_string(c, &t->price))) return 0;
    if (!(PASS(c, ",\"q\":") && read_decimal_string(c, &t->size))) return 0;
    if (!(PASS(c, ",\"T\":") && read_integer(c, &time))) return 0;
    if (PASS(c, ",\"m\":true"))
        t->side = 's';
    else if (PASS(c, ",\"m\":false"))
        t->side = 'b';
    else
        return 0;
    if (!(PASS(c, ",\"M\":true}") || PASS(c, ",\"M\":false}"))) return 0;
    return set_binance_time(t, time);
}

static int parse_binance(cursor *c, take_trade take, void *taker) {
    parsed_trade t;
    text stream;
    int combined = PASS(c, "{\"stream\":");
    if (combined && !(read_string(c, &stream) && PASS(c, ",\"data\":"))) return 0;
    const char *start = c->at;
    if (!parse_usual_binance_payload(c, &t)) {
        c->at = start;
        if (!parse_binance_payload(c, &t)) return 0;
    }
    if (combined && !pass(c, '}')) return 0;
    return at_end(c) && take(taker, &t);
}

static int parse_coinbase(cursor *c, take_trade take, void *taker) {
    parsed_trade t;
    unsigned seen = 0;
    text key, word;
    if (!pass(c, '{')) return 0;
    for (int first = 1;; first = 0) {
        int found = next_key(c, first, &key);
        if (found < 0) return 0;
        if (found == 0) break;
        int fine;
        if (SAME(key, "type")) {
            fine = note(&seen, 1) && read_string(c, &word) && (SAME(word, "match") || SAME(word, "last_match"));
        } else if (SAME(key, "product_id")) {
            fine = note(&seen, 2) && read_string(c, &t.symbol);
        } else if (SAME(key, "trade_id")) {
            fine = note(&seen, 4) && read_integer(c, &t.id);
        } else if (SAME(key, "price")) {
            fine = note(&seen, 8) && read_decimal_string(c, &t.price);
        } else if (SAME(key, "size")) {
            fine = note(&seen, 16) && read_decimal_string(c, &t.size);
        } else if (SAME(key, "time")) {
            fine = note(&seen, 32) && read_string(c, &word) && read_time(word, &t.event_us);
        } else if (SAME(key, "side")) { /* the maker's */
            fine = note(&seen, 64) && read_string(c, &word);
            t.side = fine && SAME(word, "sell") ? 'b' : fine && SAME(word, "buy") ? 's' : 0;
            fine = t.side != 0;
        } else {
            fine = !SAME(key, "last_trade_id") && skip_scalar(c);
        }
        if (!fine) return 0;
    }
    return seen == 127 && can_be_stored(&t) && at_end(c) && take(taker, &t);
}

static int parse_kraken_row(cursor *c, parsed_trade *t) {
    unsigned seen = 0;
    text key, word;
    if (!pass(c, '{')) return 0;
    for (int first = 1;; first = 0) {
        int found = next_key(c, first, &key);
        if (found < 0) return 0;
        if (found == 0) break;
        int fine;
        if (SAME(key, "symbol")) {
            fine = note(&seen, 1) && read_string(c, &t->symbol);
        } else if (SAME(key, "side")) {
            fine = note(&seen, 2) && read_string(c, &word);
            t->side = fine && SAME(word, "buy") ? 'b' : fine && SAME(word, "sell") ? 's' : 0;
            fine = t->side != 0;
        } else if (SAME(key, "price")) {
            fine = note(&seen, 4) && read_number(c, &t->price);
        } else if (SAME(key, "qty")) {
            fine = note(&seen, 8) && read_number(c, &t->size);
        } else if (SAME(key, "trade_id")) {
            fine = note(&seen, 16) && read_integer(c, &t->id);
        } else if (SAME(key, "timestamp")) {
            fine = note(&seen, 32) && read_string(c, &word) && read_time(word, &t->event_us);
        } else {
            fine = skip_scalar(c);
        }
        if (!fine) return 0;
    }
    return seen == 63 && can_be_stored(t);
}

static int parse_finnhub_row(cursor *c, parsed_trade *t) {
    unsigned seen = 0;
    int64_t time = 0;
    text key;
    if (!pass(c, '{')) return 0;
    for (int first = 1;; first = 0) {
        int found = next_key(c, first, &key);
        if (found < 0) return 0;
        if (found == 0) break;
        int fine;
        if (SAME(key, "s")) {
            fine = note(&seen, 1) && read_string(c, &t->symbol);
        } else if (SAME(key, "p")) {
            fine = note(&seen, 2) && read_number(c, &t->price);
        } else if (SAME(key, "v")) {
            fine = note(&seen, 4) && read_number(c, &t->size);
        } else if (SAME(key, "t")) {
            fine = note(&seen, 8) && read_integer(c, &time);
        } else {
            fine = skip_simple(c);
        }
        if (!fine) return 0;
    }
    if (seen != 15 || time >= LATEST_US / 1000) return 0;
    t->event_us = time * 1000;
    t->id = 0;
    t->side = '-';
    return can_be_stored(t);
}

static int parse_rows(cursor *c, int (*parse_row)(cursor *, parsed_trade *), take_trade take, void *taker) {
    int count = 0;
    parsed_trade t;
    if (!pass(c, '[')) return 0;
    do {
        skip_space(c);
        if (!parse_row(c, &t) || !take(taker, &t)) return 0;
        count++;
        skip_space(c);
    } while (pass(c, ','));
    return pass(c, ']') ? count : 0;
}

/* A message such as {"channel":"trade","data":[row, ...]}. */
static int parse_message(cursor *c, const char *kind_key, int (*parse_row)(cursor *, parsed_trade *), take_trade take,
                         void *taker) {
    unsigned seen = 0;
    int count = 0;
    text key, word;
    if (!pass(c, '{')) return 0;
    for (int first = 1;; first = 0) {
        int found = next_key(c, first, &key);
        if (found < 0) return 0;
        if (found == 0) break;
        int fine;
        if (same(key, kind_key, strlen(kind_key))) {
            fine = note(&seen, 1) && read_string(c, &word) && SAME(word, "trade");
        } else if (SAME(key, "data")) {
            fine = note(&seen, 2) && (count = parse_rows(c, parse_row, take, taker));
        } else {
            fine = skip_scalar(c);
        }
        if (!fine) return 0;
    }
    return seen == 3 && at_end(c) ? count : 0;
}

static int parse_kraken(cursor *c, take_trade take, void *taker) {
    return parse_message(c, "channel", parse_kraken_row, take, taker);
}

static int parse_finnhub(cursor *c, take_trade take, void *taker) {
    return parse_message(c, "type", parse_finnhub_row, take, taker);
}

#endif
