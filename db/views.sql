-- Views for people and dashboards, replaced after every run of the migrations, all or none.

create or replace view latest_price as
select l.venue, l.symbol, c.close as price, c.last_event_time as event_time, c.last_trade_id as trade_id
from ledger l cross join lateral (
    select * from candles
    where venue = l.venue and symbol = l.symbol and "interval" = '1m'
    order by open_time desc limit 1
) c;
comment on view latest_price is 'The last price of each symbol: the close of its newest minute.';
comment on column latest_price.venue is 'The venue, such as binance.';
comment on column latest_price.symbol is 'The symbol as the venue writes it.';
comment on column latest_price.price is 'The price of the newest trade, in quote currency.';
comment on column latest_price.event_time is 'The time of that trade, by the venue''s clock.';
comment on column latest_price.trade_id is 'The id of that trade.';

create or replace view overview_24h as
select venue, symbol, open, high, low, last, change, percent, volume, quote_volume,
    quote_volume / nullif(volume, 0) as mean_price, trade_count, start, until
from change_24h();
comment on view overview_24h is 'The last 24 hours of each symbol, to the minute, up to the venue''s present time.';
comment on column overview_24h.venue is 'The venue, such as binance.';
comment on column overview_24h.symbol is 'The symbol as the venue writes it.';
comment on column overview_24h.open is 'The first price; null where there was no trade.';
comment on column overview_24h.high is 'The greatest price.';
comment on column overview_24h.low is 'The least price.';
comment on column overview_24h.last is 'The last price.';
comment on column overview_24h.change is 'The last price minus the first.';
comment on column overview_24h.percent is 'The change in percent of the first price, rounded.';
comment on column overview_24h.volume is 'Sum of sizes, in base currency.';
comment on column overview_24h.quote_volume is 'Sum of price times size, in quote currency.';
comment on column overview_24h.mean_price is 'Mean price weighted by size, rounded.';
comment on column overview_24h.trade_count is 'Number of trades.';
comment on column overview_24h.start is 'The start of the first minute, inclusive.';
comment on column overview_24h.until is 'The venue''s present time, up to which trades have been received.';

create or replace view completeness as
select d.venue, d.symbol, (d.open_time at time zone 'UTC')::date as day, d.trade_count, d.complete, m.minutes,
    m.incomplete, round(100.0 * (m.minutes - m.incomplete) / m.minutes, 3) as complete_percent, m.late
from candles d cross join lateral (
    select count(*) as minutes, count(*) filter (where complete is not true) as incomplete, sum(revision)::bigint as late
    from candles
    where venue = d.venue and symbol = d.symbol and "interval" = '1m'
        and open_time >= d.open_time and open_time < d.open_time + interval '1 day'
) m
where d."interval" = '1d' and m.minutes > 0;
comment on view completeness is 'How much of each symbol''s day is proven to be complete.';
comment on column completeness.venue is 'The venue, such as binance.';
comment on column completeness.symbol is 'The symbol as the venue writes it.';
comment on column completeness.day is 'The day, UTC; one without trades has no row.';
comment on column completeness.trade_count is 'Number of trades.';
comment on column completeness.complete is 'Whether the whole day is proven; null where the venue has no trade ids.';
comment on column completeness.minutes is 'Minutes that have trades.';
comment on column completeness.incomplete is 'Minutes that are not proven to be complete, or not yet closed.';
comment on column completeness.complete_percent is 'The share of complete minutes, rounded.';
comment on column completeness.late is 'Trades that arrived after their minute had closed.';

create or replace view freshness as
select l.venue, l.symbol, l.watermark, p.event_time as last_trade_at, round(extract(epoch from now() - l.watermark), 3) as behind_s,
    (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(l.missing) r) as missing, l.partition,
    case when o.expires_at > now() then o.owner end as owner
from ledger l
left join latest_price p on p.venue = l.venue and p.symbol = l.symbol
left join lease o on o.role = 'candles' and o.partition = l.partition;
comment on view freshness is 'Up to when each symbol is stored, and which worker owns its partition.';
comment on column freshness.venue is 'The venue, such as binance.';
comment on column freshness.symbol is 'The symbol as the venue writes it.';
comment on column freshness.watermark is 'The venue''s time up to which trades have been stored.';
comment on column freshness.last_trade_at is 'The time of the newest trade, by the venue''s clock.';
comment on column freshness.behind_s is 'How far the watermark is behind this database''s clock, in seconds.';
comment on column freshness.missing is 'Trade ids that are missing.';
comment on column freshness.partition is 'The partition stream that carries the symbol.';
comment on column freshness.owner is 'The worker that owns the partition; null if none does.';

-- The stored candle of a merged interval's last part may begin up to a month after the last open time, which bounds
-- what TimescaleDB reads. Lengths are added in UTC, whatever the session's time zone.
create or replace function merged_candles(
    of_venue text, of_symbol text, of_interval text,
    first_open timestamptz default '-infinity', before timestamptz default 'infinity'
) returns table (
    venue text, symbol text, "interval" text, open_time timestamptz, open numeric, high numeric, low numeric,
    close numeric, volume numeric, quote_volume numeric, trade_count bigint, first_event_time timestamptz,
    first_trade_id bigint, last_event_time timestamptz, last_trade_id bigint, revision bigint, closed boolean,
    complete boolean, taker_buy_volume numeric, taker_buy_quote_volume numeric
) language sql stable
begin atomic
    select m.venue, m.symbol, m.name, m.open_time, m.open, m.high, m.low, m.close, m.volume, m.quote_volume,
        m.trade_count, m.first_event_time, m.first_trade_id, m.last_event_time, m.last_trade_id, m.revision, e.closed,
        e.closed and is_complete(l, m.first_trade_id, m.last_trade_id), m.taker_buy_volume, m.taker_buy_quote_volume
    from (
        select c.venue, c.symbol, i.name, i.length, b.open_time,
            (array_agg(c.open order by c.first_event_time, c.first_trade_id))[1] as open,
            max(c.high) as high, min(c.low) as low,
            (array_agg(c.close order by c.last_event_time desc, c.last_trade_id desc))[1] as close,
            sum(c.volume) as volume, sum(c.quote_volume) as quote_volume, sum(c.trade_count)::bigint as trade_count,
            min(c.first_event_time) as first_event_time,
            (array_agg(c.first_trade_id order by c.first_event_time, c.first_trade_id))[1] as first_trade_id,
            max(c.last_event_time) as last_event_time,
            (array_agg(c.last_trade_id order by c.last_event_time desc, c.last_trade_id desc))[1] as last_trade_id,
            sum(c.revision)::bigint as revision,
            case when count(c.taker_buy_volume) = count(*) then sum(c.taker_buy_volume) end as taker_buy_volume,
            case when count(c.taker_buy_quote_volume) = count(*) then sum(c.taker_buy_quote_volume) end
                as taker_buy_quote_volume
        from (values
            ('3m' collate "C", '1m' collate "C", interval '3 minutes'), ('30m', '15m', '30 minutes'),
            ('2h', '1h', '2 hours'), ('6h', '1h', '6 hours'), ('8h', '4h', '8 hours'), ('12h', '4h', '12 hours'),
            ('3d', '1d', '72 hours'), ('1M', '1d', '1 month')
        ) as i (name, part, length)
        join candles c on c."interval" = i.part
        cross join lateral (
            select case i.name when '1M' then date_trunc('month', c.open_time, 'UTC')
                else date_bin(i.length, c.open_time, 'epoch') end as open_time
        ) b
        where i.name = of_interval and c.venue = of_venue and c.symbol = of_symbol
            and c.open_time >= first_open and c.open_time < before + interval '744 hours'
            and b.open_time >= first_open and b.open_time < before
        group by c.venue, c.symbol, i.name, i.length, b.open_time
    ) m
    join ledger l on l.venue = m.venue and l.symbol = m.symbol
    cross join lateral (
        select ((m.open_time at time zone 'UTC') + m.length) at time zone 'UTC' <= l.watermark as closed
    ) e;
end;
comment on function merged_candles is 'Candles of an interval that is not stored (3m, 30m, 2h, 6h, 8h, 12h, 3d counted from 1970-01-01, 1M), merged exactly from stored ones: those of a symbol whose open time is in a range.';

-- Both are read by their range and joined once: looking for each candle's other would open every chunk anew.
create or replace function all_candles(
    of_venue text, of_symbol text, of_interval text,
    first_open timestamptz default '-infinity', before timestamptz default 'infinity'
) returns table (
    venue text, symbol text, "interval" text, open_time timestamptz, open numeric, high numeric, low numeric,
    close numeric, volume numeric, quote_volume numeric, trade_count bigint, first_event_time timestamptz,
    first_trade_id bigint, last_event_time timestamptz, last_trade_id bigint, revision bigint, closed boolean,
    complete boolean, taker_buy_volume numeric, taker_buy_quote_volume numeric, origin text
) language sql stable
begin atomic
    select c.*
    from (
        select * from candles
        where venue = of_venue and symbol = of_symbol and "interval" = of_interval
            and open_time >= first_open and open_time < before
    ) o full join (
        select * from venue_candles
        where venue = of_venue and symbol = of_symbol and "interval" = of_interval
            and open_time >= first_open and open_time < before
    ) v on v.open_time = o.open_time
    cross join lateral (
        select o.venue, o.symbol, o."interval", o.open_time, o.open, o.high, o.low, o.close, o.volume, o.quote_volume,
            o.trade_count, o.first_event_time, o.first_trade_id, o.last_event_time, o.last_trade_id, o.revision,
            o.closed, o.complete, o.taker_buy_volume, o.taker_buy_quote_volume, 'trades'
        where o.trade_count >= coalesce(v.trade_count, 0)
        union all
        select v.venue, v.symbol, v."interval", v.open_time, v.open, v.high, v.low, v.close, v.volume, v.quote_volume,
            v.trade_count, null, null, null, null, 0, true, null, v.taker_buy_volume, v.taker_buy_quote_volume, 'venue'
        where v.trade_count > coalesce(o.trade_count, 0)
    ) c;
end;
comment on function all_candles is 'Candles of one of the stored intervals: those of trades, and the venue''s own (origin: venue) where there are none, or where they lack trades that the venue has counted.';

-- A join, not a lookup for each candle: the key of averages has the name before the time.
create or replace view candles_with_averages as
select c.venue, c.symbol, c."interval", c.open_time, c.open, c.high, c.low, c.close, c.volume, c.trade_count,
    c.closed, c.complete, jsonb_object_agg(a.name, a.value) filter (where a.name is not null) as averages,
    c.quote_volume, c.taker_buy_volume, c.taker_buy_quote_volume, vwap(c.quote_volume, c.volume) as vwap
from candles c left join averages a on a.venue = c.venue and a.symbol = c.symbol
    and a."interval" = c."interval" and a.open_time = c.open_time
group by c.venue, c.symbol, c."interval", c.open_time, c.open, c.high, c.low, c.close, c.volume, c.trade_count,
    c.closed, c.complete, c.quote_volume, c.taker_buy_volume, c.taker_buy_quote_volume;
comment on view candles_with_averages is 'Candles and, of closed ones, their moving averages.';
comment on column candles_with_averages.venue is 'The venue, such as binance.';
comment on column candles_with_averages.symbol is 'The symbol as the venue writes it.';
comment on column candles_with_averages."interval" is '1m, 5m, 15m, 1h, 4h, 1d or 1w.';
comment on column candles_with_averages.open_time is 'The start of the interval, inclusive.';
comment on column candles_with_averages.open is 'Price of the first trade.';
comment on column candles_with_averages.high is 'Greatest price.';
comment on column candles_with_averages.low is 'Least price.';
comment on column candles_with_averages.close is 'Price of the last trade.';
comment on column candles_with_averages.volume is 'Sum of sizes, in base currency.';
comment on column candles_with_averages.trade_count is 'Number of trades.';
comment on column candles_with_averages.closed is 'The venue''s time has passed the end of the interval.';
comment on column candles_with_averages.complete is 'Whether it is proven to hold all trades; null where the venue has no trade ids.';
comment on column candles_with_averages.averages is 'By name, such as averages ->> ''sma_7''; null where there are none.';
comment on column candles_with_averages.quote_volume is 'Sum of price times size, in quote currency.';
comment on column candles_with_averages.taker_buy_volume is 'Sum of sizes of the trades whose aggressor bought; null unless the side of every trade is known.';
comment on column candles_with_averages.taker_buy_quote_volume is 'Sum of price times size of the same trades; null likewise.';
comment on column candles_with_averages.vwap is 'Mean price weighted by size, rounded to 18 places; null if the volume is 0.';

-- Columns that migrations left without a comment.
comment on table migration is 'The migrations that have run.';
comment on column migration.number is 'The migration''s number.';
comment on column migration.name is 'The name of the file.';
comment on column migration.ran_at is 'When it ran.';
comment on column plant.one is 'True: the table has one row.';
