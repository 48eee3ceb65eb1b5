-- Trades, candles, the ledger of trade ids, and the leases under which workers write them.

create table plant (
    one boolean primary key default true check (one),
    partitions integer not null check (partitions > 0)
);
comment on table plant is 'What was fixed when this database was created.';
comment on column plant.partitions is 'Number of partition streams; a symbol keeps its partition for good.';

create table trades (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    trade_id bigint not null,
    price numeric not null,
    size numeric not null,
    side text,
    event_time timestamptz not null,
    ingest_time timestamptz not null
);
comment on table trades is 'Every trade, once. The ledger and the fenced offset make rows unique, so no key does it again.';
comment on column trades.venue is 'The venue, such as binance.';
comment on column trades.symbol is 'The symbol as the venue writes it.';
comment on column trades.trade_id is 'The venue''s number of the trade, rising within a symbol.';
comment on column trades.price is 'In quote currency, as exact as the venue wrote it.';
comment on column trades.size is 'In base currency, as exact as the venue wrote it.';
comment on column trades.side is 'The aggressor''s side, buy or sell; null where the venue does not say.';
comment on column trades.event_time is 'When it happened, by the venue''s clock.';
comment on column trades.ingest_time is 'When tickplant received it.';
create index trades_symbol_event_time on trades (symbol, event_time, venue, trade_id);

create table candles (
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
    first_event_time timestamptz not null,
    first_trade_id bigint not null,
    last_event_time timestamptz not null,
    last_trade_id bigint not null,
    revision bigint not null,
    closed boolean not null,
    complete boolean not null,
    primary key (venue, symbol, "interval", open_time)
);
comment on table candles is 'Candles of 1m, 5m, 15m, 1h, 4h, 1d and 1w (from Monday), UTC; an interval without trades has no row.';
comment on column candles.venue is 'The venue, such as binance.';
comment on column candles.symbol is 'The symbol as the venue writes it.';
comment on column candles."interval" is '1m, 5m, 15m, 1h, 4h, 1d or 1w.';
comment on column candles.open_time is 'Inclusive begin of the interval.';
comment on column candles.open is 'Price of the first trade.';
comment on column candles.high is 'Greatest price.';
comment on column candles.low is 'Least price.';
comment on column candles.close is 'Price of the last trade.';
comment on column candles.volume is 'Sum of sizes, in base currency.';
comment on column candles.quote_volume is 'Sum of price times size, in quote currency.';
comment on column candles.trade_count is 'Number of trades.';
comment on column candles.first_event_time is 'Venue time of the first trade.';
comment on column candles.first_trade_id is 'Id of the first trade.';
comment on column candles.last_event_time is 'Venue time of the last trade.';
comment on column candles.last_trade_id is 'Id of the last trade.';
comment on column candles.revision is 'How many trades were added after the candle had closed; 0 for nearly all.';
comment on column candles.closed is 'The venue''s time has passed the end of the interval.';
comment on column candles.complete is 'Closed, and the ids prove that no trade in it is missing: its own are consecutive, and the trades just before and after it are stored.';
create index candles_incomplete on candles (venue, symbol, open_time) where not complete;

create table ledger (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    partition integer not null,
    first_trade_id bigint not null,
    last_trade_id bigint not null,
    missing int8multirange not null,
    watermark timestamptz not null,
    primary key (venue, symbol)
);
comment on table ledger is 'Which trade ids of each symbol are stored: all from first to last but the missing ones.';
comment on column ledger.venue is 'The venue, such as binance.';
comment on column ledger.symbol is 'The symbol as the venue writes it.';
comment on column ledger.partition is 'The partition stream that carries the symbol.';
comment on column ledger.first_trade_id is 'Smallest id stored.';
comment on column ledger.last_trade_id is 'Greatest id stored.';
comment on column ledger.missing is 'Ids between first and last that are not stored.';
comment on column ledger.watermark is 'The venue''s time up to which the symbol''s trades have been seen.';

create table lease (
    role text not null,
    partition integer not null,
    owner text,
    epoch bigint not null default 0,
    expires_at timestamptz not null default '-infinity',
    entry_id text not null default '0-0',
    primary key (role, partition)
);
comment on table lease is 'Who works on a partition in a role, and up to which stream entry its results are committed.';
comment on column lease.role is 'The worker role, such as candles.';
comment on column lease.partition is 'The partition stream.';
comment on column lease.owner is 'The worker that holds the lease; null when given back.';
comment on column lease.epoch is 'Rises with every taking; a former owner''s commits are refused by it.';
comment on column lease.expires_at is 'When others may take it, by this database''s clock.';
comment on column lease.entry_id is 'The last stream entry whose results are committed.';

create table worker (
    owner text not null,
    role text not null,
    expires_at timestamptz not null,
    primary key (owner, role)
);
comment on table worker is 'Workers alive, so that each can tell which partitions it should leave to others.';
comment on column worker.owner is 'The worker''s name.';
comment on column worker.role is 'The role it works in.';
comment on column worker.expires_at is 'When it counts as dead, by this database''s clock.';

-- The fence: the last statement of every worker transaction. Returning a count instead of raising would let
-- a paused former owner commit.
create function advance(
    p_role text, p_partition integer, p_owner text, p_epoch bigint, p_expected text, p_next text
) returns void language plpgsql as $$
begin
    update lease set entry_id = p_next
    where role = p_role and partition = p_partition and owner = p_owner and epoch = p_epoch
        and entry_id = p_expected;
    if not found then
        raise exception 'lease on % partition % lost by % (epoch %, at entry %)',
            p_role, p_partition, p_owner, p_epoch, p_expected
            using errcode = 'TP001';
    end if;
end
$$;
comment on function advance is 'Move a partition''s committed entry from the expected one, or raise TP001: the lease is another''s.';

do $$
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        -- A day of trades a chunk: the recent chunk and its index stay in memory at tens of millions of rows a day.
        perform create_hypertable('trades', by_range('event_time', interval '1 day'),
            create_default_indexes => false);
        -- Some 2,100 candles a symbol and day: a quarter keeps the chunks few.
        perform create_hypertable('candles', by_range('open_time', interval '90 days'),
            create_default_indexes => false);
    end if;
end
$$;
