-- Functions that others than tickplant's own sessions call find the tables wherever a search_path leads.

-- TimescaleDB's scheduler runs it as the tables' owner, with whatever search_path is configured for that user.
-- A procedure that commits can't have a setting of its own, so it sets the session's.
create or replace procedure remove_expired(job_id integer default 0, config jsonb default null) language plpgsql as $$
declare
    kept record;
begin
    if job_id > 0 and exists (select from pg_extension where extname = 'timescaledb') then
        perform set_config('search_path', format('%I, %I', j.proc_schema, n.nspname), false)
        from timescaledb_information.jobs j, pg_extension e join pg_namespace n on n.oid = e.extnamespace
        where j.job_id = remove_expired.job_id and j.proc_name = 'remove_expired' and e.extname = 'timescaledb';
    end if;
    if not pg_try_advisory_lock(hashtext('remove_expired')) then
        return;  -- another session is at it
    end if;
    for kept in select * from retention where scheduled = (job_id > 0) order by relation loop
        while remove_some(kept.relation, kept.time_column, retention_horizon(kept.keep_days), 10000) > 0 loop
            commit;
        end loop;
    end loop;
    perform pg_advisory_unlock(hashtext('remove_expired'));
end
$$;

-- Dashboards call it, and the view overview_24h does. A body of this kind is bound to its tables when it is made.
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
            select open_time, open, high, low, close, volume, quote_volume, trade_count from candles
            where venue = l.venue and symbol = l.symbol and "interval" = i.name
                and open_time >= date_bin(i.length, w.start + i.length - interval '1 microsecond', 'epoch')
                and open_time < coalesce(
                    date_bin(i.longer, w.start + i.longer - interval '1 microsecond', 'epoch'), 'infinity'
                )
                and open_time >= since - interval '1 day'  -- nothing new: TimescaleDB leaves old chunks alone
        ) d
    ) c
    where l.watermark >= since;
end;
