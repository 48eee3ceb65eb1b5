-- How long rows are kept, and what of the trades is gone; candles found by flags also in the columnstore.

create table retention (
    relation text collate "C" primary key,
    time_column text not null,
    keep_days integer not null check (keep_days > 0),
    scheduled boolean not null
);
comment on table retention is 'The tables of which old rows are removed; written by each migration from the settings.';
comment on column retention.relation is 'The table.';
comment on column retention.time_column is 'Its column that a row''s age goes by.';
comment on column retention.keep_days is 'Rows older than that, by the venues'' time, are removed.';
comment on column retention.scheduled is 'Whether a job of TimescaleDB''s scheduler does it; else workers do.';

create table expired (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    before timestamptz not null,
    last_trade_id bigint not null,
    primary key (venue, symbol)
);
comment on table expired is 'Up to where trades were removed by age: candles that open before can no more be recomputed.';
comment on column expired.venue is 'The venue, such as binance.';
comment on column expired.symbol is 'The symbol as the venue writes it.';
comment on column expired.before is 'Trades before that event time are gone.';
comment on column expired.last_trade_id is 'Greatest id among them; the ledger still counts them as stored.';
comment on table ledger is 'Which trade ids of each symbol were stored: all from first to last but the missing ones. Those of old trades may have been removed since: see expired.';

create function retention_horizon(keep_days integer) returns timestamptz language sql stable as $$
    -- By the newest trade, so that a replay keeps what the day itself would have kept; and no venue's wrong
    -- clock removes more than ours would.
    select date_trunc('day', least(max(watermark), now()) - make_interval(days => keep_days), 'UTC') from ledger
$$;
comment on function retention_horizon is 'Before which event time rows are older than so many days.';

create function remove_some(p_relation text, p_time_column text, p_before timestamptz, p_most integer)
returns bigint language plpgsql as $$
declare
    chunk record;
    removed bigint;
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        select format('%I.%I', chunk_schema, chunk_name) as name, range_end into chunk
        from timescaledb_information.chunks
        where hypertable_schema = current_schema() and hypertable_name = p_relation and range_end <= p_before
        order by range_end limit 1;
        if not found then
            return 0;
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
                select ctid from trades
                where venue = l.venue and symbol = l.symbol and event_time < p_before
                order by event_time limit p_most
            ) t
            limit p_most
        ), gone as (
            delete from trades where ctid = any(array(select ctid from doomed))
            returning venue, symbol, trade_id
        ), noted as (
            insert into expired as e
            select venue, symbol, p_before, max(trade_id) from gone group by venue, symbol
            on conflict (venue, symbol) do update set before = greatest(e.before, excluded.before),
                last_trade_id = greatest(e.last_trade_id, excluded.last_trade_id)
        )
        select count(*) into removed from gone;
        return removed;
    end if;
    execute format(
        'delete from %1$I where ctid = any(array(select ctid from %1$I where %2$I < $1 limit $2))',
        p_relation, p_time_column
    ) using p_before, p_most;
    get diagnostics removed = row_count;
    return removed;
end
$$;
comment on function remove_some is 'Remove the oldest chunk, or some rows, that lie wholly before a time, noting trades in expired; return 0 when there is nothing left.';

-- A procedure, for it commits after every step: locks are short, and what is done stays done.
create procedure remove_expired(job_id integer default 0, config jsonb default null) language plpgsql as $$
declare
    kept retention;
begin
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
comment on procedure remove_expired is 'Remove all rows that are older than retention says; TimescaleDB calls it with the number of its job.';

-- The same rows as before (complete is null where nothing can be proven, and never true before closed), said in
-- the one way that the columnstore can answer without reading every candle.
drop index candles_incomplete;
create index candles_incomplete on candles (venue, symbol, open_time) where not closed or not complete;
