-- API keys, the owners of alerts, and the answers to requests with an idempotency key.

create table api_keys (
    key_id text collate "C" primary key,
    name text not null,
    digest bytea not null,
    scopes text[] not null,
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz
);
comment on table api_keys is 'Keys of the API. Written by `tickplant keys`, read by the API.';
comment on column api_keys.key_id is 'The part of the key that is shown.';
comment on column api_keys.name is 'What it is for; unique among keys that are not revoked.';
comment on column api_keys.digest is 'SHA-256 of the whole key.';
comment on column api_keys.scopes is 'read, alerts, admin.';
comment on column api_keys.created_at is 'When it was made, by the database''s clock.';
comment on column api_keys.revoked_at is 'When it was revoked; null if it is valid.';
create unique index api_keys_name on api_keys (name) where revoked_at is null;

alter table alerts add column key_id text collate "C";
comment on column alerts.key_id is 'The API key that made it; null if it was made without one.';
create index alerts_key on alerts (key_id, created_at, alert_id) where key_id is not null;

create table alert_requests (
    key_id text collate "C" not null,
    idempotency_key text collate "C" not null,
    digest bytea not null,
    alert_id text collate "C" not null,
    answer bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (key_id, idempotency_key)
);
comment on table alert_requests is 'Answers to requests that create alerts, for requests that are repeated within a day.';
comment on column alert_requests.key_id is 'The API key; empty if there was none.';
comment on column alert_requests.idempotency_key is 'The header Idempotency-Key.';
comment on column alert_requests.digest is 'SHA-256 of the request: another one with the same key is refused.';
comment on column alert_requests.alert_id is 'The alert that was created.';
comment on column alert_requests.answer is 'The body of the answer.';
comment on column alert_requests.created_at is 'When it was answered, by the database''s clock.';
create index alert_requests_created on alert_requests (created_at);
