-- Notifications of alerts and signals by chat and mail.

alter table alerts add column notify text[] not null default '{}';
comment on column alerts.notify is 'Tags of the targets that firings go to.';

create table notifications (
    notification_id bigint generated always as identity primary key,
    target text collate "C" not null,
    text text not null,
    alert_id text collate "C",
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
    attempts integer not null default 0,
    due_at timestamptz not null default clock_timestamp() + interval '1 second',
    reason text,
    created_at timestamptz not null default clock_timestamp(),
    settled_at timestamptz
);
comment on table notifications is 'Texts to be delivered by chat or mail, and what became of them; those that are settled until they are removed by age.';
comment on column notifications.notification_id is 'Numbers the notifications in the order in which they were stored.';
comment on column notifications.target is 'The name of a target in TICKPLANT_NOTIFY.';
comment on column notifications.text is 'Made of the template when the alert fired or the signal was given.';
comment on column notifications.alert_id is 'The alert that fired; null for a signal.';
comment on column notifications.state is 'waiting, delivered, or dead: given up.';
comment on column notifications.attempts is 'Deliveries begun.';
comment on column notifications.due_at is 'When the next attempt may begin; during one, when it counts as lost. The first waits a second, so that a burst is one message.';
comment on column notifications.reason is 'What went wrong last.';
comment on column notifications.created_at is 'When it was stored, by the database''s clock.';
comment on column notifications.settled_at is 'When it was delivered or given up.';
create index notifications_due on notifications (target, due_at) where state = 'waiting';
create index notifications_created on notifications (created_at, notification_id);
create index notifications_alert on notifications (alert_id) where alert_id is not null;

create or replace function remove_some(p_relation text, p_time_column text, p_before timestamptz, p_most integer)
returns bigint language plpgsql as $$
declare
    chunk record;
    removed bigint;
    before timestamptz := p_before;
    settled text;
    hypertable boolean := false;
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        select count(*) > 0 into hypertable from timescaledb_information.hypertables
        where hypertable_schema = current_schema() and hypertable_name = p_relation;
    end if;
    if hypertable then
        select format('%I.%I', chunk_schema, chunk_name) as name, range_end into chunk
        from timescaledb_information.chunks
        where hypertable_schema = current_schema() and hypertable_name = p_relation and range_end <= before
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
                where venue = l.venue and symbol = l.symbol and event_time < before
                order by event_time limit p_most
            ) t
            limit p_most
        ), gone as (
            delete from trades where ctid = any(array(select ctid from doomed))
            returning venue, symbol, trade_id
        ), noted as (
            insert into expired as e
            select venue, symbol, before, max(trade_id) from gone group by venue, symbol
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
