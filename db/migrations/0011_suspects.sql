-- Trades that are not believed yet; venues that number anew; prices that are far from all others.

create table suspects (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    partition integer not null,
    state bytea not null,
    primary key (venue, symbol)
);
comment on table suspects is 'Trades kept aside because their id or time is implausible, until others confirm them, as of the committed entry.';
comment on column suspects.venue is 'The venue, such as binance.';
comment on column suspects.symbol is 'The symbol as the venue writes it.';
comment on column suspects.partition is 'The partition stream that carries the symbol.';
comment on column suspects.state is 'The trades, and what is added to the ids of a venue that has begun to number anew, MessagePack.';
create index suspects_partition on suspects (partition);

create table series (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    first_trade_id bigint not null,
    id_offset bigint not null,
    first_event_time timestamptz not null,
    detected_at timestamptz not null default clock_timestamp(),
    primary key (venue, symbol, first_trade_id)
);
comment on table series is 'Where a venue has begun to number a symbol''s trades anew: from there on, ids are the venue''s plus an offset.';
comment on column series.venue is 'The venue, such as binance.';
comment on column series.symbol is 'The symbol as the venue writes it.';
comment on column series.first_trade_id is 'First id of the series, as in trades.';
comment on column series.id_offset is 'The venue''s id is trade_id less this, up to the next series.';
comment on column series.first_event_time is 'Venue time of the first trade.';
comment on column series.detected_at is 'When it was committed.';
comment on column trades.trade_id is 'The venue''s number of the trade, rising within a symbol; plus an offset where the venue has begun to number anew: see series.';
comment on column ledger.void is 'Ids for which the venue has no trades; also beyond first and last, where a trade without a price or size came.';

create table outliers (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    trade_id bigint not null,
    event_time timestamptz not null,
    price numeric not null,
    last_price numeric not null,
    confirmed boolean not null,
    detected_at timestamptz not null default clock_timestamp(),
    primary key (venue, symbol, trade_id)
);
comment on table outliers is 'Stored trades whose price is a thousand times that of the trade before them, or a thousandth; strategies, alerts and the bot are told only of confirmed ones.';
comment on column outliers.venue is 'The venue, such as binance.';
comment on column outliers.symbol is 'The symbol as the venue writes it.';
comment on column outliers.trade_id is 'As in trades.';
comment on column outliers.event_time is 'When it happened, by the venue''s clock.';
comment on column outliers.price is 'Its price.';
comment on column outliers.last_price is 'The price before it.';
comment on column outliers.confirmed is 'Whether the next trade was near its price.';
comment on column outliers.detected_at is 'When it was committed.';
