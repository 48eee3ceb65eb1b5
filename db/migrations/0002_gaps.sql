-- Gaps as rows of their own, ids that the venue does not have, and venues that number nothing.

alter table ledger add column numbered boolean not null default true;
comment on column ledger.numbered is 'Whether the venue numbers trades by one; else ids are ours and prove nothing.';
alter table ledger add column void int8multirange not null default '{}';
comment on column ledger.void is 'Ids between first and last for which the venue says that it has no trades.';
comment on column ledger.missing is 'Ids between first and last that are not stored and not void.';

alter table candles alter column complete drop not null;
comment on column candles.complete is 'Closed, and the ids prove that no trade in it is missing: none from just before its first to just after its last. Null where the venue numbers nothing.';
drop index candles_incomplete;
create index candles_incomplete on candles (venue, symbol, open_time) where not coalesce(complete, closed);

create table gaps (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    first_id bigint not null,
    last_id bigint not null,
    after_time timestamptz not null,
    detected_at timestamptz not null default clock_timestamp(),
    state text not null default 'open' check (state in ('open', 'backfilling', 'healed', 'unrecoverable')),
    cause text not null default 'ours' check (cause in ('ours', 'venue')),
    reason text,
    settled_at timestamptz,
    primary key (venue, symbol, first_id, last_id)
);
comment on table gaps is 'Every gap in the trade ids that was ever committed, and what became of it.';
comment on column gaps.venue is 'The venue, such as binance.';
comment on column gaps.symbol is 'The symbol as the venue writes it.';
comment on column gaps.first_id is 'First id that was missing.';
comment on column gaps.last_id is 'Last id that was missing.';
comment on column gaps.after_time is 'Venue time of the symbol when the gap opened.';
comment on column gaps.detected_at is 'When it was committed.';
comment on column gaps.state is 'open, backfilling, healed (all its trades are stored, or void) or unrecoverable (the venue does not give them).';
comment on column gaps.cause is 'ours: trades we did not receive; venue: ids that the venue itself does not have.';
comment on column gaps.reason is 'What the venue said, where it does not give the trades.';
comment on column gaps.settled_at is 'When it became healed or unrecoverable.';
create index gaps_unsettled on gaps (venue, symbol) where state <> 'healed';

-- Whether a candle is complete, by the ledger of its symbol: null where ids prove nothing.
create function is_complete(l ledger, first_id bigint, last_id bigint) returns boolean language sql immutable as $$
    select case when l.numbered then
        low > l.first_trade_id and high < l.last_trade_id
        and not l.missing && int8range(
            coalesce((select lower(r) from unnest(l.void) r where r @> low - 1), low) - 1,
            coalesce((select upper(r) - 1 from unnest(l.void) r where r @> high + 1), high) + 1,
            '[]'
        )
    end
    from (select least(first_id, last_id), greatest(first_id, last_id)) as ids (low, high)
$$;
comment on function is_complete is 'Whether no id from just before a candle''s first to just after its last is missing.';
