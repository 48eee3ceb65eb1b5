-- Alerts: what users want, written by the API alone, and what has become of it, written by workers alone.

create table alerts (
    alert_id text collate "C" primary key,
    version bigint not null,
    "user" text collate "C" not null,
    venue text collate "C" not null,
    symbol text collate "C" not null,
    partition integer not null,
    kind text not null check (kind in (
        'above', 'below', 'crosses_above', 'crosses_below', 'percent_change', 'silence', 'gap'
    )),
    price numeric,
    percent numeric,
    window_s integer,
    silence_s integer,
    repeat boolean not null,
    cooldown_s integer not null,
    hysteresis numeric not null,
    webhook_url text,
    note text not null,
    active boolean not null,
    begun bigint not null,
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    deleted_at timestamptz
);
comment on table alerts is 'What users want to be told. Written by the API alone.';
comment on column alerts.alert_id is 'Ours, made up when it was made.';
comment on column alerts.version is 'Rises with every change.';
comment on column alerts."user" is 'Whose; any name.';
comment on column alerts.venue is 'The venue, such as binance.';
comment on column alerts.symbol is 'The symbol as the venue writes it.';
comment on column alerts.partition is 'The partition stream that carries the symbol.';
comment on column alerts.kind is 'What is watched.';
comment on column alerts.price is 'Of above, below, crosses_above and crosses_below: the threshold.';
comment on column alerts.percent is 'Of percent_change: the threshold; positive for a rise, negative for a fall.';
comment on column alerts.window_s is 'Of percent_change: how far back the price is compared with.';
comment on column alerts.silence_s is 'Of silence: how long no trade has to come.';
comment on column alerts.repeat is 'Whether it fires more than once.';
comment on column alerts.cooldown_s is 'The least venue time between two firings.';
comment on column alerts.hysteresis is 'Share of the threshold by which a value must go back before it can fire again.';
comment on column alerts.webhook_url is 'Where firings are delivered to, besides the channel.';
comment on column alerts.note is 'The user''s own words.';
comment on column alerts.active is 'Whether the user wants it watched.';
comment on column alerts.begun is 'The version in which it last began anew.';
comment on column alerts.created_at is 'When it was made, by the database''s clock.';
comment on column alerts.changed_at is 'When the user changed it last, likewise.';
comment on column alerts.deleted_at is 'When the user deleted it; null if not. Its firings stay.';
create index alerts_user on alerts ("user", created_at, alert_id) where deleted_at is null;
create index alerts_created on alerts (created_at, alert_id) where deleted_at is null;

create table alert_changes (
    alert_id text collate "C" primary key,
    version bigint not null,
    made_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz
);
comment on table alert_changes is 'Changes of alerts on their way to the workers. The API adds, workers delete.';
comment on column alert_changes.alert_id is 'The alert.';
comment on column alert_changes.version is 'Its version that has not been applied yet.';
comment on column alert_changes.made_at is 'When the user made it.';
comment on column alert_changes.sent_at is 'When it was last sent; it is sent again if it does not arrive.';

create table alert_state (
    alert_id text collate "C" primary key,
    partition integer not null,
    version bigint not null,
    definition bytea not null,
    deleted boolean not null,
    armed boolean not null,
    done boolean not null,
    number bigint not null,
    fired_at timestamptz,
    stored_at timestamptz not null
);
comment on table alert_state is 'Alerts as workers have applied them, as of the committed entry. Written by workers alone.';
comment on column alert_state.alert_id is 'The alert.';
comment on column alert_state.partition is 'The partition stream that carries its symbol.';
comment on column alert_state.version is 'The version applied.';
comment on column alert_state.definition is 'That version, MessagePack.';
comment on column alert_state.deleted is 'Whether that version deleted it.';
comment on column alert_state.armed is 'Whether it waits for its condition; if not, for the value to go back first.';
comment on column alert_state.done is 'It fires once, and has fired.';
comment on column alert_state.number is 'How many times it has fired.';
comment on column alert_state.fired_at is 'Venue time of the last firing.';
comment on column alert_state.stored_at is 'When the row was written, by the database''s clock.';
create index alert_state_partition on alert_state (partition);

create table firings (
    alert_id text collate "C" not null,
    number bigint not null,
    partition integer not null,
    "user" text collate "C" not null,
    venue text collate "C" not null,
    symbol text collate "C" not null,
    kind text not null,
    event_time timestamptz not null,
    trade_id bigint,
    price numeric,
    value numeric,
    threshold numeric,
    note text not null,
    entry_id text not null,
    stored_at timestamptz not null default clock_timestamp(),
    primary key (alert_id, number)
);
comment on table firings is 'Alerts that fired, each firing once.';
comment on column firings.alert_id is 'The alert; it may have been changed or deleted since.';
comment on column firings.number is 'Counts the alert''s firings from 1.';
comment on column firings.partition is 'The partition stream that carries the symbol.';
comment on column firings."user" is 'Whose alert it is.';
comment on column firings.venue is 'The venue, such as binance.';
comment on column firings.symbol is 'The symbol as the venue writes it.';
comment on column firings.kind is 'What was watched.';
comment on column firings.event_time is 'Venue time at which the condition came true.';
comment on column firings.trade_id is 'The trade that made it so; null for silence and gaps.';
comment on column firings.price is 'Of that trade.';
comment on column firings.value is 'What was compared: a price, a percentage, seconds, or the first id of a gap.';
comment on column firings.threshold is 'What it was compared with.';
comment on column firings.note is 'The alert''s note, as it was then.';
comment on column firings.entry_id is 'The last stream entry of the transaction that stored it.';
comment on column firings.stored_at is 'When it was stored, by the database''s clock.';
create index firings_entry on firings (partition, entry_id);
create index firings_symbol on firings (venue, symbol, event_time);
create index firings_time on firings (event_time, alert_id, number);
create index firings_user on firings ("user", event_time, alert_id, number);

create table webhooks (
    alert_id text collate "C" not null,
    number bigint not null,
    url text not null,
    host text collate "C" not null,
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
    attempts integer not null default 0,
    due_at timestamptz not null default clock_timestamp(),
    reason text,
    created_at timestamptz not null default clock_timestamp(),
    settled_at timestamptz,
    primary key (alert_id, number)
);
comment on table webhooks is 'Firings to be delivered, and what became of it.';
comment on column webhooks.alert_id is 'With the number: the firing.';
comment on column webhooks.number is 'With the alert: the firing.';
comment on column webhooks.url is 'Where to, as the alert said when it fired.';
comment on column webhooks.host is 'The address''s host.';
comment on column webhooks.state is 'waiting, delivered, or dead: given up.';
comment on column webhooks.attempts is 'Deliveries begun.';
comment on column webhooks.due_at is 'When the next attempt may begin; during one, when it counts as lost.';
comment on column webhooks.reason is 'What went wrong last.';
comment on column webhooks.created_at is 'When it fired, by the database''s clock.';
comment on column webhooks.settled_at is 'When it was delivered or given up.';
create index webhooks_due on webhooks (host, due_at) where state = 'waiting';
create index webhooks_dead on webhooks (created_at, alert_id, number) where state = 'dead';
create index webhooks_created on webhooks (created_at, alert_id, number);
