"""The queries of the audit."""

from typing import Final

# One index step per symbol instead of a scan of the table.
SYMBOLS: Final = """
    with recursive traded as (
        (select venue, symbol from trades order by venue, symbol limit 1)
        union all
        select next.venue, next.symbol from traded, lateral (
            select venue, symbol from trades
            where (venue, symbol) > (traded.venue, traded.symbol) order by venue, symbol limit 1
        ) as next
    ), charted as (
        (select venue, symbol from candles order by venue, symbol limit 1)
        union all
        select next.venue, next.symbol from charted, lateral (
            select venue, symbol from candles
            where (venue, symbol) > (charted.venue, charted.symbol) order by venue, symbol limit 1
        ) as next
    )
    select venue, symbol from traded
    union select venue, symbol from charted
    union select venue, symbol from ledger
    order by venue, symbol
"""

# The horizon is null where no trade was removed by age.
SPAN: Final = """
    with horizon as (
        select max(before) as horizon, max(last_trade_id) as last_removed_id
        from expired where venue = $1 and symbol = $2
    ), traded as (
        select min(event_time) as first, max(event_time) as last from trades, horizon
        where venue = $1 and symbol = $2 and event_time >= coalesce(horizon, '-infinity')
    ), charted as (
        select min(open_time) filter (where open_time >= coalesce(horizon, '-infinity')) as first,
            max(open_time) as last,
            count(*) filter (where open_time >= coalesce(horizon, '-infinity')) as checkable,
            count(*) filter (where open_time < horizon) as not_checkable
        from candles, horizon where venue = $1 and symbol = $2
    )
    select horizon, last_removed_id, least(traded.first, charted.first) as first,
        greatest(traded.last, charted.last) as last, checkable, not_checkable
    from traded, charted, horizon
"""

# Arrays compare element by element: the least (time, id, price) contains the price of the first trade,
# without a sort. 0001-01-01 was a Monday, so that one origin fits every interval.
# The trades are a table or a query in parentheses.
RECOMPUTED: Final = """
    minute as materialized (
        select date_bin('1 minute', event_time, timestamptz '0001-01-01 00:00+00') as open_time,
            min(array[extract(epoch from event_time), trade_id, price]) as head,
            max(array[extract(epoch from event_time), trade_id, price]) as tail,
            max(price) as high, min(price) as low,
            sum(size) as volume, sum(price * size) as quote_volume, count(*) as trade_count,
            bool_and(side is not null) as sided, coalesce(sum(size) filter (where side = 'buy'), 0) as bought,
            coalesce(sum(price * size) filter (where side = 'buy'), 0) as quote_bought,
            min(event_time) as first_event_time, max(event_time) as last_event_time
        from {trades}
        where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
        group by 1
    ), recomputed as (
        select "interval", length, date_bin(length, open_time, timestamptz '0001-01-01 00:00+00')
                as open_time,
            (min(head))[3] as open, max(high) as high, min(low) as low, (max(tail))[3] as close,
            sum(volume) as volume, sum(quote_volume) as quote_volume, sum(trade_count) as trade_count,
            case when bool_and(sided) then sum(bought) end as taker_buy_volume,
            case when bool_and(sided) then sum(quote_bought) end as taker_buy_quote_volume,
            min(first_event_time) as first_event_time, (min(head))[2]::bigint as first_trade_id,
            max(last_event_time) as last_event_time, (max(tail))[2]::bigint as last_trade_id
        from minute cross join (values
            ('1m', interval '1 minute'), ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'),
            ('4h', '4 hours'), ('1d', '1 day'), ('1w', '7 days')
        ) as intervals ("interval", length)
        group by "interval", length, 3
    ), flagged as (
        select r.*, r.open_time + length <= l.watermark as closed,
            r.open_time + length <= l.watermark
                and is_complete(l, r.first_trade_id, r.last_trade_id) as complete
        from recomputed r left join ledger l on l.venue = $1 and l.symbol = $2
    )
"""

DIFFERENCES: Final = f"""
    with {RECOMPUTED.format(trades="trades")}, stored as (
        select * from candles
        where venue = $1 and symbol = $2 and open_time >= $3 and open_time < $4
    )
    select "interval", open_time, kind, name, stored_value, recomputed_value
    from stored s full join flagged r using ("interval", open_time)
    cross join lateral (
        select case when r.open is null then 'extra' when s.open is null then 'missing'
            else 'differs' end as kind
    ) as kinds
    cross join lateral (values
        ('open', s.open is distinct from r.open, s.open::text, r.open::text),
        ('high', s.high is distinct from r.high, s.high::text, r.high::text),
        ('low', s.low is distinct from r.low, s.low::text, r.low::text),
        ('close', s.close is distinct from r.close, s.close::text, r.close::text),
        ('volume', s.volume is distinct from r.volume, s.volume::text, r.volume::text),
        ('quote_volume', s.quote_volume is distinct from r.quote_volume,
            s.quote_volume::text, r.quote_volume::text),
        ('taker_buy_volume', s.taker_buy_volume is distinct from r.taker_buy_volume,
            s.taker_buy_volume::text, r.taker_buy_volume::text),
        ('taker_buy_quote_volume', s.taker_buy_quote_volume is distinct from r.taker_buy_quote_volume,
            s.taker_buy_quote_volume::text, r.taker_buy_quote_volume::text),
        ('trade_count', s.trade_count is distinct from r.trade_count,
            s.trade_count::text, r.trade_count::text),
        ('first_event_time', s.first_event_time is distinct from r.first_event_time,
            s.first_event_time::text, r.first_event_time::text),
        ('first_trade_id', s.first_trade_id is distinct from r.first_trade_id,
            s.first_trade_id::text, r.first_trade_id::text),
        ('last_event_time', s.last_event_time is distinct from r.last_event_time,
            s.last_event_time::text, r.last_event_time::text),
        ('last_trade_id', s.last_trade_id is distinct from r.last_trade_id,
            s.last_trade_id::text, r.last_trade_id::text),
        ('closed', s.closed is distinct from r.closed, s.closed::text, r.closed::text),
        ('complete', s.complete is distinct from r.complete, s.complete::text, r.complete::text)
    ) as columns (name, differs, stored_value, recomputed_value)
    where case when kind = 'differs' then differs else name = 'trade_count' end
        and ($5::timestamptz is null or open_time >= $5)
    order by array_position(array['1m', '5m', '15m', '1h', '4h', '1d', '1w'], "interval"), open_time
"""  # noqa: S608 - constants only

# Id minus rank is the same for all ids of a consecutive run.
IDS: Final = """
    with numbered as (
        select trade_id, trade_id - dense_rank() over (order by trade_id) as run
        from trades where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    ), runs as (
        select int8range(min(trade_id), max(trade_id), '[]') as ids, count(*) as trades
        from numbered group by run
    ), day as (
        select coalesce(range_agg(ids), '{}') as ids, coalesce(sum(trades), 0)::bigint as trades,
            coalesce(sum(upper(ids) - lower(ids)), 0)::bigint as distinct_ids
        from runs
    )
    select trades, distinct_ids, $5::int8multirange * ids as again, $5::int8multirange + ids as seen from day
"""

CANDLES_OF_DAY: Final = """
    select count(*) from candles
    where venue = $1 and symbol = $2 and open_time >= $3 and open_time < $4 and "interval" <> '1w'
"""

MINUTES: Final = """
    select open_time, open, high, low, close, volume, trade_count, complete,
        taker_buy_volume, taker_buy_quote_volume
    from candles where venue = $1 and symbol = $2 and "interval" = '1m' and open_time = any($3)
"""

LOST_MINUTES: Final = """
    with stored as (
        select minute, count(*) as trades from (
            select date_trunc('minute', event_time) as minute from trades
            where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
        ) as times group by 1
    )
    select c.open_time from candles c left join stored s on s.minute = c.open_time
    where c.venue = $1 and c.symbol = $2 and c."interval" = '1m' and c.open_time >= $3 and c.open_time < $4
        and c.open_time >= coalesce((select before from expired where venue = $1 and symbol = $2), $3)
        and coalesce(s.trades, 0) < c.trade_count
    order by 1
"""

DUPLICATES: Final = """
    select trade_id from trades
    where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    group by trade_id having count(*) > 1 order by trade_id
"""

LEDGER: Final = """
    with checkable as (
        select case when $4::bigint is null then '{(,)}'::int8multirange
            else int8multirange(int8range($4, null, '()')) end as ids
    ), seen as (
        select $3::int8multirange * checkable.ids as ids from checkable
    ), expected as (
        -- Gaps between ids that ingest assigned have no meaning.
        select case when numbered
            then int8multirange(int8range(first_trade_id, last_trade_id, '[]')) * checkable.ids
                - missing - void
            when not numbered then seen.ids end as ids
        from seen cross join checkable left join ledger on venue = $1 and symbol = $2
    ), problem as (
        select 'no ledger' as kind, unnest(seen.ids) as ids from seen, expected where expected.ids is null
        union all
        select 'not stored', unnest(expected.ids - seen.ids) from seen, expected
        union all
        select 'not in the ledger', unnest(seen.ids - expected.ids) from seen, expected
    )
    select kind, lower(ids) as first_trade_id, upper(ids) - 1 as last_trade_id from problem order by 2, 1
"""
