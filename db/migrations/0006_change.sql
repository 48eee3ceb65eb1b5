-- Each symbol's last 24 hours by the minute.

-- Up to the first full five minutes it is read by the minute, from there to the full quarter of an hour by five
-- minutes, and so on up to midnight; the rest is the day's own candle. So it is some ten rows a symbol. Each begins
-- in the window, and ends in it, too, or holds the newest trades.
create function change_24h(since timestamptz default 'epoch') returns table (
    venue text, symbol text, start timestamptz, until timestamptz, open numeric, last numeric, high numeric,
    low numeric, change numeric, percent numeric, volume numeric, quote_volume numeric, trade_count bigint
) language sql stable as $$
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
            select * from candles
            where venue = l.venue and symbol = l.symbol and "interval" = i.name
                and open_time >= date_bin(i.length, w.start + i.length - interval '1 microsecond', 'epoch')
                and open_time < coalesce(
                    date_bin(i.longer, w.start + i.longer - interval '1 microsecond', 'epoch'), 'infinity'
                )
                and open_time >= since - interval '1 day'  -- nothing new: TimescaleDB leaves old chunks alone
        ) d
    ) c
    where l.watermark >= since
$$;
comment on function change_24h is 'Open, last, high, low, change and sums of each symbol over the 24 hours by the minute up to its venue''s time, of those that have been heard of since a moment.';
