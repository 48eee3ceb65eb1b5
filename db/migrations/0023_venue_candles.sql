-- Candles that venues made themselves, for times whose trades are not wanted. A table of their own: nothing that is
-- made of trades may ever be merged with them.

create table venue_candles (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    "interval" text collate "C" not null,
    open_time timestamptz not null,
    open numeric not null,
    high numeric not null,
    low numeric not null,
    close numeric not null,
    volume numeric not null,
    quote_volume numeric not null,
    trade_count bigint not null,
    taker_buy_volume numeric not null,
    taker_buy_quote_volume numeric not null,
    primary key (venue, symbol, "interval", open_time)
);
comment on table venue_candles is 'Candles as their venue published them, imported from its files; an interval without trades has no row. The function all_candles() puts them where candles of trades are missing.';
comment on column venue_candles.venue is 'The venue, such as binance.';
comment on column venue_candles.symbol is 'The symbol as the venue writes it.';
comment on column venue_candles."interval" is '1m, 5m, 15m, 1h, 4h, 1d or 1w.';
comment on column venue_candles.open_time is 'The start of the interval, inclusive.';
comment on column venue_candles.open is 'Price of the first trade.';
comment on column venue_candles.high is 'Greatest price.';
comment on column venue_candles.low is 'Least price.';
comment on column venue_candles.close is 'Price of the last trade.';
comment on column venue_candles.volume is 'Sum of sizes, in base currency.';
comment on column venue_candles.quote_volume is 'Sum of price times size, in quote currency, as the venue rounds it.';
comment on column venue_candles.trade_count is 'Number of trades.';
comment on column venue_candles.taker_buy_volume is 'Sum of sizes of the trades whose aggressor bought.';
comment on column venue_candles.taker_buy_quote_volume is 'Sum of price times size of the same trades, as the venue rounds it.';

create table venue_candle_symbols (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    changed_at timestamptz not null,
    primary key (venue, symbol)
);
comment on table venue_candle_symbols is 'The symbols that venue_candles has rows of.';
comment on column venue_candle_symbols.venue is 'The venue, such as binance.';
comment on column venue_candle_symbols.symbol is 'The symbol as the venue writes it.';
comment on column venue_candle_symbols.changed_at is 'When rows were last stored.';

do $$
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        perform create_hypertable('venue_candles', by_range('open_time', interval '90 days'),
            create_default_indexes => false);
    end if;
end
$$;
