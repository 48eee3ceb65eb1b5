-- What takers bought, in candles; filled wherever the trades are still stored. A worker of a former version would
-- merge trades without these sums, so its commits are refused from here on.

alter table closed_candles add column taker_buy_volume numeric, add column taker_buy_quote_volume numeric;
alter table open_candle_rows add column taker_buy_volume numeric, add column taker_buy_quote_volume numeric;

create or replace view open_candles as
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
    coalesce(c.revision, 0) as revision, false as closed, false as complete,
    case when c.venue is null then m.taker_buy_volume when m.venue is null then c.taker_buy_volume
        else c.taker_buy_volume + m.taker_buy_volume end as taker_buy_volume,
    case when c.venue is null then m.taker_buy_quote_volume when m.venue is null then c.taker_buy_quote_volume
        else c.taker_buy_quote_volume + m.taker_buy_quote_volume end as taker_buy_quote_volume
from ledger l
cross join (values
    ('1m' collate "C", interval '1 minute'), ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'),
    ('4h', '4 hours'), ('1d', '1 day'), ('1w', '7 days')
) as i (name, length)
left join open_candle_rows c on c.venue = l.venue and c.symbol = l.symbol and c."interval" = i.name
left join open_candle_rows m on m.venue = l.venue and m.symbol = l.symbol and m."interval" = '1m' and i.name <> '1m'
where c.venue is not null or m.venue is not null;

create or replace view candles as
select venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
    first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete,
    taker_buy_volume, taker_buy_quote_volume
from closed_candles
union all
select * from open_candles;

do $$
declare
    relation text;
begin
    foreach relation in array array['candles', 'open_candles', 'closed_candles', 'open_candle_rows'] loop
        execute format(
            'comment on column %I.taker_buy_volume is %L', relation,
            'Sum of sizes of the trades whose aggressor bought; null unless the side of every trade is known.'
        );
        execute format(
            'comment on column %I.taker_buy_quote_volume is %L', relation,
            'Sum of price times size of the same trades; null likewise.'
        );
    end loop;
end
$$;

-- The integer quotient is exact, and so is its rounding: the same digits as `tickplant.market.vwap`.
create function vwap(quote_volume numeric, volume numeric) returns numeric language sql immutable parallel safe as $$
    select trim_scale(div(quote_volume * 2e18 + volume, nullif(volume, 0) * 2) * 1e-18)
$$;
comment on function vwap is 'Mean price weighted by size, rounded half up to 18 decimal places; null if the volume is 0.';

create table unfilled_candles (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    filled_until timestamptz not null,
    primary key (venue, symbol)
);
comment on table unfilled_candles is 'Symbols whose candles of a former version still lack sums by side; empty when fill_taker_buy has finished.';
comment on column unfilled_candles.venue is 'The venue, such as binance.';
comment on column unfilled_candles.symbol is 'The symbol as the venue writes it.';
comment on column unfilled_candles.filled_until is 'Candles of earlier trades have been filled.';
insert into unfilled_candles select venue, symbol, '-infinity' from ledger;

-- A procedure, since it commits after each day: locks are short, and what is done stays done. The lock on the ledger
-- makes the symbol's commits wait. A candle of which trades were removed, or of a trade without a side, stays null.
create procedure fill_taker_buy() language plpgsql as $$
declare
    monday constant timestamptz := '0001-01-01 00:00+00';
    part unfilled_candles;
    day timestamptz;
    week timestamptz;
    open_minute timestamptz;
begin
    loop
        select * into part from unfilled_candles order by venue, symbol limit 1;
        exit when not found;
        select date_trunc('minute', watermark, 'UTC') into open_minute from ledger
        where venue = part.venue and symbol = part.symbol for update;
        select date_bin('1 day', min(event_time), monday) into day from trades
        where venue = part.venue and symbol = part.symbol and event_time >= part.filled_until;
        week := date_bin('7 days', day, monday);
        if day is null then
            delete from unfilled_candles where venue = part.venue and symbol = part.symbol;
            commit;
            continue;
        end if;
        with minute as (
            select date_bin('1 minute', event_time, monday) as open_time, count(*) as trade_count,
                case when count(side) = count(*) then sum(case side when 'buy' then size else 0 end) end as volume,
                sum(case side when 'buy' then price * size else 0 end) as quote_volume
            from trades
            where venue = part.venue and symbol = part.symbol
                and event_time >= day and event_time < day + interval '1 day'
            group by 1
            union all
            select open_time, trade_count, taker_buy_volume, taker_buy_quote_volume from closed_candles
            where venue = part.venue and symbol = part.symbol and "interval" = '1m'
                and open_time >= week and open_time < week + interval '7 days'
                and (open_time < day or open_time >= day + interval '1 day')
        ), sums as (
            select i.name, date_bin(i.length, m.open_time, monday) as open_time, sum(m.trade_count) as trade_count,
                sum(m.volume) as volume, sum(m.quote_volume) as quote_volume
            from minute m cross join (values
                ('1m', interval '1 minute'), ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'),
                ('4h', '4 hours'), ('1d', '1 day'), ('1w', '7 days')
            ) as i (name, length)
            where (i.name = '1w' or (m.open_time >= day and m.open_time < day + interval '1 day'))
                and (i.name = '1m' or m.open_time < open_minute)
            group by 1, 2 having count(m.volume) = count(*)
        ), opened as (
            update open_candle_rows o set taker_buy_volume = s.volume, taker_buy_quote_volume = s.quote_volume
            from sums s
            where o.venue = part.venue and o.symbol = part.symbol and o."interval" = s.name
                and o.open_time = s.open_time and o.trade_count = s.trade_count
        )
        -- Closed rows are inserted over themselves: an update by a join would unpack the whole columnstore.
        insert into closed_candles as c (
            venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
            first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete,
            taker_buy_volume, taker_buy_quote_volume
        )
        select c.venue, c.symbol, c."interval", c.open_time, c.open, c.high, c.low, c.close, c.volume,
            c.quote_volume, c.trade_count, c.first_event_time, c.first_trade_id, c.last_event_time,
            c.last_trade_id, c.revision, c.closed, c.complete, s.volume, s.quote_volume
        from sums s
        join closed_candles c on c."interval" = s.name and c.open_time = s.open_time and c.trade_count = s.trade_count
        where c.venue = part.venue and c.symbol = part.symbol
            and c.open_time >= week and c.open_time < day + interval '1 day'
        on conflict (venue, symbol, "interval", open_time) do update set
            taker_buy_volume = excluded.taker_buy_volume, taker_buy_quote_volume = excluded.taker_buy_quote_volume;
        update unfilled_candles set filled_until = day + interval '1 day'
        where venue = part.venue and symbol = part.symbol;
        commit;
    end loop;
end
$$;
comment on procedure fill_taker_buy is 'Fill the taker-buy sums of candles that a former version stored; it can be interrupted, and called again.';

-- The fence of a partition also tells versions apart: by the last migration that changed how candles are merged.
create function advance(
    p_role text, p_partition integer, p_owner text, p_epoch bigint, p_expected text, p_next text, p_version integer
) returns void language plpgsql as $$
begin
    if p_role = 'candles' and p_version < 14 then
        raise exception 'this worker is of a former version, and would merge candles without all their sums: update it'
            using errcode = 'TP001';
    end if;
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
comment on function advance(text, integer, text, bigint, text, text, integer) is 'Move a partition''s committed entry from the expected one, or raise TP001: the lease is another''s, or the version too old.';
create or replace function advance(
    p_role text, p_partition integer, p_owner text, p_epoch bigint, p_expected text, p_next text
) returns void language sql as $$
    select advance(p_role, p_partition, p_owner, p_epoch, p_expected, p_next, 0)
$$;
comment on function advance(text, integer, text, bigint, text, text) is 'Called by processes of a former version.';
