-- Which days are in an archive of files, so that rows are removed by age only after they are there.

create table archive (
    one boolean primary key default true check (one),
    archive_id text not null,
    url text not null
);
comment on table archive is 'The archive that this database''s days are in; no row before the first one is.';
comment on column archive.one is 'True: the table has one row.';
comment on column archive.archive_id is 'Its id, as in its file archive.json.';
comment on column archive.url is 'Its address when it was last written to.';

create table archived_days (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    day date not null,
    revision integer not null,
    manifest_sha256 text not null,
    state text not null,
    complete boolean,
    archived_at timestamptz not null default now(),
    primary key (venue, symbol, day)
);
comment on table archived_days is 'The days whose trades and candles are in the archive.';
comment on column archived_days.venue is 'The venue, such as binance.';
comment on column archived_days.symbol is 'The symbol as the venue writes it.';
comment on column archived_days.day is 'The day, UTC.';
comment on column archived_days.revision is 'The revision of its files: 1, and one more each time that its trades have changed since.';
comment on column archived_days.manifest_sha256 is 'SHA-256 of the manifest of that revision, hexadecimal.';
comment on column archived_days.state is 'What day_state() gave of the archived trades: a late trade makes it differ.';
comment on column archived_days.complete is 'Whether the archived day was proven to be complete; null where the venue has no trade ids.';
comment on column archived_days.archived_at is 'When it was archived.';

alter table retention add column awaits_archive boolean not null default false;
comment on column retention.awaits_archive is 'Whether rows are removed only after their day is in the archive.';

create function day_state(of_venue text, of_symbol text, of_day timestamptz) returns text language sql stable as $$
    select concat_ws(' ', trade_count, first_trade_id, last_trade_id, open, high, low, close, volume, quote_volume)
    from candles where venue = of_venue and symbol = of_symbol and "interval" = '1d' and open_time = of_day
$$;
comment on function day_state is 'What a symbol''s candle of a day says of its trades, as text: it changes with every trade that is added. Null without a candle.';

create function is_archived(of_venue text, of_symbol text, of_day timestamptz) returns boolean language sql stable as $$
    select exists (
        select from archived_days
        where venue = of_venue and symbol = of_symbol and day = (of_day at time zone 'UTC')::date
            and state = coalesce(day_state(of_venue, of_symbol, of_day), '')
    )
$$;
comment on function is_archived is 'Whether a symbol''s day is in the archive, with all trades that are in its candle.';

create function has_unarchived(from_time timestamptz, before timestamptz) returns boolean language plpgsql stable as $$
declare
    l record;
    of_day timestamptz := date_trunc('day', from_time, 'UTC');
begin
    while of_day < before loop
        for l in select venue, symbol from ledger where not is_archived(venue, symbol, of_day) loop
            if exists (
                select from trades
                where venue = l.venue and symbol = l.symbol
                    and event_time >= of_day and event_time < of_day + interval '1 day'
            ) then
                return true;
            end if;
        end loop;
        of_day := of_day + interval '1 day';
    end loop;
    return false;
end
$$;
comment on function has_unarchived is 'Whether any symbol has trades in a span of days that are not in the archive.';

-- As before; of tables that wait for the archive, only what is there.
create or replace function remove_some(p_relation text, p_time_column text, p_before timestamptz, p_most integer)
returns bigint language plpgsql as $$
declare
    chunk record;
    removed bigint;
    before timestamptz := p_before;
    settled text;
    hypertable boolean := false;
    waits boolean;
begin
    select awaits_archive into waits from retention where relation = p_relation;
    waits := coalesce(waits, false);
    if waits and p_relation <> 'trades' then
        -- Candles stay at least as long as the trades that are in them.
        select least(before, min(oldest.day)) into before
        from ledger l cross join lateral (
            select date_trunc('day', event_time, 'UTC') as day from trades
            where venue = l.venue and symbol = l.symbol and event_time < p_before
            order by event_time limit 1
        ) oldest;
    end if;
    if exists (select from pg_extension where extname = 'timescaledb') then
        select count(*) > 0 into hypertable from timescaledb_information.hypertables
        where hypertable_schema = current_schema() and hypertable_name = p_relation;
    end if;
    if hypertable then
        select format('%I.%I', chunk_schema, chunk_name) as name, range_start, range_end into chunk
        from timescaledb_information.chunks
        where hypertable_schema = current_schema() and hypertable_name = p_relation and range_end <= before
        order by range_end limit 1;
        if not found then
            return 0;
        end if;
        if waits and p_relation = 'trades' then
            if has_unarchived(chunk.range_start, chunk.range_end) then
                return 0;
            end if;
            -- A late trade may have come meanwhile: no other can from here on.
            execute format('lock table %s in access exclusive mode', chunk.name);
            if has_unarchived(chunk.range_start, chunk.range_end) then
                return 0;
            end if;
        end if;
        if p_relation = 'trades' then
            execute format(
                'insert into expired as e select venue, symbol, $1, max(trade_id) from %s group by venue, symbol'
                ' on conflict (venue, symbol) do update set before = greatest(e.before, excluded.before),'
                ' last_trade_id = greatest(e.last_trade_id, excluded.last_trade_id)',
                chunk.name
            ) using chunk.range_end;
        end if;
        perform drop_chunks(p_relation::regclass, older_than => chunk.range_end);
        return 1;
    end if;
    if p_relation = 'trades' then
        with doomed as (
            select t.ctid
            from ledger l cross join lateral (
                select date_trunc('day', event_time, 'UTC') as day from trades
                where venue = l.venue and symbol = l.symbol and event_time < before
                order by event_time limit 1
            ) oldest cross join lateral (
                select ctid from trades
                where venue = l.venue and symbol = l.symbol
                    and event_time < case when waits then oldest.day + interval '1 day' else before end
                order by event_time limit p_most
            ) t
            where not waits or is_archived(l.venue, l.symbol, oldest.day)
            limit p_most
        ), gone as (
            delete from trades where ctid = any(array(select ctid from doomed))
            returning venue, symbol, trade_id, event_time
        ), noted as (
            insert into expired as e
            select venue, symbol,
                case when waits then date_trunc('day', max(event_time), 'UTC') + interval '1 day' else before end,
                max(trade_id)
            from gone group by venue, symbol
            on conflict (venue, symbol) do update set before = greatest(e.before, excluded.before),
                last_trade_id = greatest(e.last_trade_id, excluded.last_trade_id)
        )
        select count(*) into removed from gone;
        return removed;
    end if;
    -- By our clock, for the column holds that: a replay of old trades must not keep them for ever.
    if p_relation in ('alerts', 'alert_state', 'bot_switchings', 'gaps', 'notifications', 'webhooks') then
        select date_trunc('day', now() - make_interval(days => keep_days), 'UTC') into before
        from retention where relation = p_relation;
    end if;
    -- Only what nothing will ever ask for: not what is on its way, nor what another row speaks of.
    settled := case p_relation
        when 'alerts' then 'not exists (select from alert_changes c where c.alert_id = r.alert_id)'
        when 'alert_state' then 'deleted'
        when 'bot_orders' then 'state <> ''open'''
        when 'bot_switchings' then 'version < (select max(version) from bot_switchings)'
        when 'firings' then
            'not exists (select from webhooks w where w.alert_id = r.alert_id and w.number = r.number)'
        when 'gaps' then 'state = ''healed'''
        when 'notifications' then 'state <> ''waiting'''
        when 'webhooks' then 'state <> ''waiting'''
        else 'true'
    end;
    execute format(
        'delete from %1$I where ctid = any(array(select ctid from %1$I r where %2$I < $1 and %3$s limit $2))',
        p_relation, p_time_column, settled
    ) using before, p_most;
    get diagnostics removed = row_count;
    return removed;
end
$$;
