-- What is derived from candles and trades, in the transaction that stores them.

create table averages (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    "interval" text collate "C" not null,
    open_time timestamptz not null,
    name text collate "C" not null,
    value double precision not null,
    primary key (venue, symbol, "interval", name, open_time)
);
comment on table averages is 'Moving averages of the closes of closed candles; corrected with them.';
comment on column averages.venue is 'The venue, such as binance.';
comment on column averages.symbol is 'The symbol as the venue writes it.';
comment on column averages."interval" is 'Of the candles: 1m, 5m, 15m, 1h, 4h, 1d or 1w.';
comment on column averages.open_time is 'Open time of the newest candle in it.';
comment on column averages.name is 'Kind and length in candles: sma_7, ema_12, wma_20.';
comment on column averages.value is 'In quote currency. A quotient, which no decimal holds exactly.';

create table statistics (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    open_time timestamptz not null,
    points integer not null,
    return double precision not null,
    mean double precision,
    stddev double precision,
    zscore double precision,
    q1 double precision,
    q3 double precision,
    primary key (venue, symbol, open_time)
);
comment on table statistics is 'How the return of each closed minute lies among those before it.';
comment on column statistics.venue is 'The venue, such as binance.';
comment on column statistics.symbol is 'The symbol as the venue writes it.';
comment on column statistics.open_time is 'Open time of the minute.';
comment on column statistics.points is 'How many returns the rest is of; this minute''s is not among them.';
comment on column statistics.return is 'Close over the close before, less one.';
comment on column statistics.mean is 'Mean of the returns before; null where there is none.';
comment on column statistics.stddev is 'Their sample standard deviation; null where there are fewer than two.';
comment on column statistics.zscore is 'Distance of this return from the mean, in standard deviations.';
comment on column statistics.q1 is 'Their first quartile.';
comment on column statistics.q3 is 'Their third quartile; less q1, it is the interquartile range.';

create table signals (
    strategy text collate "C" not null,
    venue text collate "C" not null,
    symbol text collate "C" not null,
    number bigint not null,
    event_time timestamptz not null,
    trade_id bigint not null,
    price numeric not null,
    side text not null check (side in ('buy', 'sell')),
    strength double precision not null,
    "values" jsonb not null,
    entry_id text not null,
    primary key (venue, symbol, event_time, strategy, number)
);
comment on table signals is 'What strategies said, once each.';
comment on column signals.strategy is 'The strategy''s name.';
comment on column signals.venue is 'The venue, such as binance.';
comment on column signals.symbol is 'The symbol as the venue writes it.';
comment on column signals.number is 'Counts the strategy''s signals of the symbol from 1.';
comment on column signals.event_time is 'Venue time of the trade that caused it, or of the end of the candle that did.';
comment on column signals.trade_id is 'The newest trade when it was said.';
comment on column signals.price is 'Of that trade.';
comment on column signals.side is 'What the strategy would do, buy or sell.';
comment on column signals.strength is 'How clear it is: 0 to 1.';
comment on column signals."values" is 'The values that caused it, by name.';
comment on column signals.entry_id is 'The last stream entry of the transaction that stored it.';
create index signals_entry on signals (venue, symbol, entry_id);
create index signals_event_time on signals (event_time, venue, symbol, strategy, number);

create table strategy_state (
    strategy text collate "C" not null,
    venue text collate "C" not null,
    symbol text collate "C" not null,
    partition integer not null,
    number bigint not null,
    state bytea not null,
    primary key (strategy, venue, symbol)
);
comment on table strategy_state is 'What strategies keep in mind, as of the committed entry.';
comment on column strategy_state.strategy is 'The strategy''s name.';
comment on column strategy_state.venue is 'The venue, such as binance.';
comment on column strategy_state.symbol is 'The symbol as the venue writes it.';
comment on column strategy_state.partition is 'The partition stream that carries the symbol.';
comment on column strategy_state.number is 'How many signals it has said.';
comment on column strategy_state.state is 'Its last opinion, the times of its last signals, and its fields, MessagePack.';
create index strategy_state_partition on strategy_state (partition);

create table waiting (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    partition integer not null,
    state bytea not null,
    primary key (venue, symbol)
);
comment on table waiting is 'Symbols whose roles wait for a missing trade, as of the committed entry.';
comment on column waiting.venue is 'The venue, such as binance.';
comment on column waiting.symbol is 'The symbol as the venue writes it.';
comment on column waiting.partition is 'The partition stream that carries the symbol.';
comment on column waiting.state is 'Up to where the roles have come, MessagePack.';

do $$
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        -- Some five averages a candle, so that a chunk is about as large as one of candles.
        perform create_hypertable('averages', by_range('open_time', interval '30 days'),
            create_default_indexes => false);
        perform create_hypertable('statistics', by_range('open_time', interval '90 days'),
            create_default_indexes => false);
        perform create_hypertable('signals', by_range('event_time', interval '90 days'),
            create_default_indexes => false);
    end if;
end
$$;
