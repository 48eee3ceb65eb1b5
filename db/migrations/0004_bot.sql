-- The paper bot: accounts that nothing but the workers' own transaction changes, and its switch.

create table bot_accounts (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    version bigint not null,
    "time" timestamptz not null,
    enabled boolean not null,
    switch_version bigint not null,
    halted boolean not null,
    initial_cash numeric not null,
    cash numeric not null,
    "position" numeric not null,
    cost numeric not null,
    profit numeric not null,
    fees numeric not null,
    orders bigint not null,
    price numeric,
    equity numeric not null,
    day timestamptz not null,
    day_equity numeric not null,
    partition integer not null,
    primary key (venue, symbol)
);
comment on table bot_accounts is 'The paper bot''s account of each symbol. On paper: nothing was ever sent to a venue.';
comment on column bot_accounts.venue is 'The venue, such as binance.';
comment on column bot_accounts.symbol is 'The symbol as the venue writes it.';
comment on column bot_accounts.version is 'Rises with every change.';
comment on column bot_accounts."time" is 'Venue time of the last change.';
comment on column bot_accounts.enabled is 'The bot''s switch, as it has arrived here.';
comment on column bot_accounts.switch_version is 'Which switching that was; 0 if there was none.';
comment on column bot_accounts.halted is 'The largest loss a day was reached: no orders until the next UTC day.';
comment on column bot_accounts.initial_cash is 'What the account began with, in quote currency.';
comment on column bot_accounts.cash is 'In quote currency.';
comment on column bot_accounts."position" is 'In base currency.';
comment on column bot_accounts.cost is 'What the position cost, fees included.';
comment on column bot_accounts.profit is 'Of all sells.';
comment on column bot_accounts.fees is 'Of all fills.';
comment on column bot_accounts.orders is 'How many there were.';
comment on column bot_accounts.price is 'The last one that the account was valued at.';
comment on column bot_accounts.equity is 'Cash, and the position at that price.';
comment on column bot_accounts.day is 'Begin of the UTC day of the last change, by the venue''s time.';
comment on column bot_accounts.day_equity is 'The equity when it began.';
comment on column bot_accounts.partition is 'The partition stream that carries the symbol.';
create index bot_accounts_partition on bot_accounts (partition);

create table bot_orders (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    number bigint not null,
    strategy text collate "C" not null,
    signal_number bigint not null,
    side text not null check (side in ('buy', 'sell')),
    trade_id bigint not null,
    "time" timestamptz not null,
    state text not null check (state in ('open', 'filled', 'refused')),
    reason text not null,
    primary key (venue, symbol, number)
);
comment on table bot_orders is 'The paper bot''s market orders, each caused by a signal.';
comment on column bot_orders.venue is 'The venue, such as binance.';
comment on column bot_orders.symbol is 'The symbol as the venue writes it.';
comment on column bot_orders.number is 'Counts the account''s orders from 1.';
comment on column bot_orders.strategy is 'Whose signal it follows.';
comment on column bot_orders.signal_number is 'Which of its signals.';
comment on column bot_orders.side is 'buy or sell.';
comment on column bot_orders.trade_id is 'The newest trade when it was placed: the one after it fills it.';
comment on column bot_orders."time" is 'Venue time at which it was placed.';
comment on column bot_orders.state is 'open, filled or refused.';
comment on column bot_orders.reason is 'Why it was refused; else empty.';
create index bot_orders_time on bot_orders ("time");
create index bot_orders_open on bot_orders (venue, symbol) where state = 'open';

create table bot_fills (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    number bigint not null,
    side text not null check (side in ('buy', 'sell')),
    trade_id bigint not null,
    "time" timestamptz not null,
    price numeric not null,
    size numeric not null,
    quote numeric not null,
    fee numeric not null,
    profit numeric not null,
    primary key (venue, symbol, number)
);
comment on table bot_fills is 'How the paper bot''s orders were filled: each at once and whole.';
comment on column bot_fills.venue is 'The venue, such as binance.';
comment on column bot_fills.symbol is 'The symbol as the venue writes it.';
comment on column bot_fills.number is 'Of the order.';
comment on column bot_fills.side is 'buy or sell.';
comment on column bot_fills.trade_id is 'The trade at whose price it was filled.';
comment on column bot_fills."time" is 'Venue time of that trade.';
comment on column bot_fills.price is 'Of that trade, made worse by the slippage.';
comment on column bot_fills.size is 'In base currency.';
comment on column bot_fills.quote is 'Price times size, rounded to 8 decimals against the account; without the fee.';
comment on column bot_fills.fee is 'In quote currency.';
comment on column bot_fills.profit is 'Of a sell: what it brought less what the position had cost. Of a buy: 0.';

create table bot_equity (
    venue text collate "C" not null,
    symbol text collate "C" not null,
    "time" timestamptz not null,
    cash numeric not null,
    "position" numeric not null,
    price numeric not null,
    equity numeric not null,
    primary key (venue, symbol, "time")
);
comment on table bot_equity is 'What each paper account was worth when a candle closed: once a minute with trades.';
comment on column bot_equity.venue is 'The venue, such as binance.';
comment on column bot_equity.symbol is 'The symbol as the venue writes it.';
comment on column bot_equity."time" is 'The candle''s close time.';
comment on column bot_equity.cash is 'In quote currency.';
comment on column bot_equity."position" is 'In base currency.';
comment on column bot_equity.price is 'Of the newest trade.';
comment on column bot_equity.equity is 'Cash, and the position at that price.';

create table bot_switchings (
    version bigint primary key,
    enabled boolean not null,
    reason text not null,
    switched_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz
);
comment on table bot_switchings is 'Every switching of the paper bot; the last one holds. Written by the API.';
comment on column bot_switchings.version is 'Counts them from 1.';
comment on column bot_switchings.enabled is 'On or off from then.';
comment on column bot_switchings.reason is 'What was said.';
comment on column bot_switchings.switched_at is 'When, by the database''s clock.';
comment on column bot_switchings.sent_at is 'When it was last sent to the workers; it is sent again if it does not arrive.';

create table bot_switched (
    partition integer primary key,
    version bigint not null,
    enabled boolean not null
);
comment on table bot_switched is 'Up to which switching each partition has come. Written by the workers.';
comment on column bot_switched.partition is 'The partition.';
comment on column bot_switched.version is 'Of the last row of bot_switchings that has come down its stream.';
comment on column bot_switched.enabled is 'What it said: holds for accounts that are opened from then on, too.';

do $$
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        perform create_hypertable('bot_equity', by_range('time', interval '90 days'),
            create_default_indexes => false);
    end if;
end
$$;
