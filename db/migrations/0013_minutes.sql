-- Open candles are in a small table of their own, and longer ones hold only minutes that have ended; a view adds the
-- minute that has not. So a trade changes one stored row, not seven, and none in a hypertable. A worker of a former
-- version would write all seven: its statements name the view now, and are refused.

alter table candles rename to closed_candles;
comment on table closed_candles is 'Candles that have closed. The view candles has the open ones, too.';

create table open_candle_rows (
    like closed_candles including comments,
    primary key (venue, symbol, "interval")
) with (fillfactor = 50);
comment on table open_candle_rows is 'Open candles as stored: those of 1m with all trades, longer ones with the minutes that have ended by the watermark. Read the view open_candles.';

-- The stored row of a longer candle has only earlier minutes than the open one, so that has the last trades. The
-- origin is a Monday, which fits all intervals.
create view open_candles as
select l.venue, l.symbol, i.name as "interval",
    coalesce(c.open_time, date_bin(i.length, m.open_time, timestamptz '0001-01-01 00:00+00')) as open_time,
    coalesce(c.open, m.open) as open, greatest(c.high, m.high) as high, least(c.low, m.low) as low,
    coalesce(m.close, c.close) as close, coalesce(c.volume + m.volume, c.volume, m.volume) as volume,
    coalesce(c.quote_volume + m.quote_volume, c.quote_volume, m.quote_volume) as quote_volume,
    coalesce(c.trade_count, 0) + coalesce(m.trade_count, 0) as trade_count,
    coalesce(c.first_event_time, m.first_event_time) as first_event_time,
    coalesce(c.first_trade_id, m.first_trade_id) as first_trade_id,
    coalesce(m.last_event_time, c.last_event_time) as last_event_time,
    coalesce(m.last_trade_id, c.last_trade_id) as last_trade_id,
    coalesce(c.revision, 0) as revision, false as closed, false as complete
from ledger l
cross join (values
    ('1m' collate "C", interval '1 minute'), ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'),
    ('4h', '4 hours'), ('1d', '1 day'), ('1w', '7 days')
) as i (name, length)
left join open_candle_rows c on c.venue = l.venue and c.symbol = l.symbol and c."interval" = i.name
left join open_candle_rows m on m.venue = l.venue and m.symbol = l.symbol and m."interval" = '1m' and i.name <> '1m'
where c.venue is not null or m.venue is not null;
comment on view open_candles is 'The open candles of each symbol, with all trades.';

-- No condition on the first part: so the planner reads it in the order of its key.
create view candles as
select venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
    first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete
from closed_candles
union all
select * from open_candles;
comment on view candles is 'Candles of 1m, 5m, 15m, 1h, 4h, 1d and 1w (from Monday), UTC; an interval without trades has no row.';

-- The views have the columns' comments, and the rights that were granted on the table.
do $$
declare
    statement text;
begin
    for statement in
        select format('comment on column %I.%I is %L', name, attname, col_description(attrelid, attnum))
        from pg_attribute, unnest(array['candles', 'open_candles']) name
        where attrelid = 'closed_candles'::regclass and attnum > 0 and not attisdropped
        union all
        select format('grant select on candles, open_candles to %s', case grantee when 0 then 'public' else grantee::regrole::text end)
        from pg_class, aclexplode(relacl)
        where pg_class.oid = 'closed_candles'::regclass and privilege_type = 'SELECT' and grantee <> relowner
    loop
        execute statement;
    end loop;
end
$$;

-- The longer open candles contained the trades of the watermark's minute. Each is merged again, without that minute,
-- from the closed candles of the next shorter interval in it and that interval's open one.
with opened as (delete from closed_candles where not closed returning *)
insert into open_candle_rows select * from opened where "interval" = '1m';
do $$
declare
    monday constant timestamptz := '0001-01-01 00:00+00';
    step record;
begin
    for step in select * from (values
        (1, '5m', interval '5 minutes', '1m'), (2, '15m', '15 minutes', '5m'), (3, '1h', '1 hour', '15m'),
        (4, '4h', '4 hours', '1h'), (5, '1d', '1 day', '4h'), (6, '1w', '7 days', '1d')
    ) as steps (number, name, length, shorter) order by number loop
        insert into open_candle_rows (
            venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
            first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete
        )
        select l.venue, l.symbol, step.name, b.open_time, s.*, 0, false, false
        from ledger l
        cross join lateral (select date_bin(step.length, l.watermark, monday) as open_time) b
        cross join lateral (
            select (array_agg(open order by first_event_time, first_trade_id))[1], max(high), min(low),
                (array_agg(close order by last_event_time desc, last_trade_id desc))[1],
                sum(volume), sum(quote_volume), sum(trade_count)::bigint,
                min(first_event_time), (array_agg(first_trade_id order by first_event_time, first_trade_id))[1],
                max(last_event_time),
                (array_agg(last_trade_id order by last_event_time desc, last_trade_id desc))[1]
            from (
                select * from closed_candles
                where venue = l.venue and symbol = l.symbol and "interval" = step.shorter
                    and open_time >= b.open_time
                union all
                select * from open_candle_rows
                where venue = l.venue and symbol = l.symbol and "interval" = step.shorter and step.shorter <> '1m'
                    and open_time >= b.open_time
            ) parts
            having count(*) > 0
        ) s;
    end loop;
end
$$;

-- Removal by age names the table.
delete from retention where relation = 'candles';

-- As before: of the candles that it reads, only the day's may be open.
create or replace function change_24h(since timestamptz default 'epoch') returns table (
    venue text, symbol text, start timestamptz, until timestamptz, open numeric, last numeric, high numeric,
    low numeric, change numeric, percent numeric, volume numeric, quote_volume numeric, trade_count bigint
) language sql stable
begin atomic
    select l.venue, l.symbol, w.start, l.watermark, c.open, c.last, c.high, c.low,
        c.last - c.open, round(100 * (c.last - c.open) / nullif(c.open, 0), 6),
        coalesce(c.volume, 0), coalesce(c.quote_volume, 0), coalesce(c.trade_count, 0)::bigint
    from ledger l
    cross join lateral (
        select date_trunc('minute', l.watermark, 'UTC') - interval '23 hours 59 minutes' as start
    ) w
    cross join lateral (
        select (array_agg(d.open order by d.open_time))[1] as open,
            (array_agg(d.close order by d.open_time desc))[1] as last,
            max(d.high) as high, min(d.low) as low,
            sum(d.volume) as volume, sum(d.quote_volume) as quote_volume, sum(d.trade_count) as trade_count
        from (values
            ('1m', interval '1 minute', interval '5 minutes'),
            ('5m', interval '5 minutes', interval '15 minutes'),
            ('15m', interval '15 minutes', interval '1 hour'),
            ('1h', interval '1 hour', interval '4 hours'),
            ('4h', interval '4 hours', interval '1 day'),
            ('1d', interval '1 day', null)
        ) as i (name, length, longer)
        cross join lateral (
            select open_time, open, high, low, close, volume, quote_volume, trade_count from closed_candles
            where venue = l.venue and symbol = l.symbol and "interval" = i.name
                and open_time >= date_bin(i.length, w.start + i.length - interval '1 microsecond', 'epoch')
                and open_time < coalesce(
                    date_bin(i.longer, w.start + i.longer - interval '1 microsecond', 'epoch'), 'infinity'
                )
                and open_time >= since - interval '1 day'  -- nothing new: TimescaleDB leaves old chunks alone
            union all
            select open_time, open, high, low, close, volume, quote_volume, trade_count from open_candles
            where i.name = '1d' and venue = l.venue and symbol = l.symbol and "interval" = '1d'
        ) d
    ) c
    where l.watermark >= since;
end;
