"""The catalogue of metrics: every one that any process exposes is defined here.

Names are `tickplant_<service>_<what>_<unit>`. Labels are bounded: `venue` and `symbol` by settings,
`connection` by the symbols that one can carry, `partition` by the number of partitions, and all others by the
code. docs/metrics.md lists them, with what bounds their series.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# An extra series with the creation time of each would double the number of series, and is of no use.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation

LATENCY_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Buckets for what takes a millisecond on a good day, and a minute behind an outage."""
DURATION_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
COUNT: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)
MAX_SYMBOLS: Final = 1_000
"""Symbols of one process that have series of their own; those that come after them have none."""

# every process
KERNEL_INFO = Gauge("tickplant_kernel_info", "1 for the kernel in use: compiled or python", ["kernel"])

# ingest
INGEST_FRAMES = Counter("tickplant_ingest_frames", "Messages received from venues", ["venue"])
INGEST_TRADES = Counter(
    "tickplant_ingest_trades",
    "Trades received, by class: crypto, forex or stock",
    ["venue", "class"],
)
INGEST_MALFORMED = Counter(
    "tickplant_ingest_malformed_frames",
    "Frames, and rows of frames, that could not be parsed",
    ["venue"],
)
INGEST_DOUBTED_TIMES = Counter(
    "tickplant_ingest_doubted_times",
    "Trades and heartbeats with implausible times",
    ["venue"],
)
INGEST_CONNECTS = Counter(
    "tickplant_ingest_connects", "Connection attempts by outcome: live, lost or refused", ["venue", "outcome"]
)
INGEST_REFUSED_SYMBOLS = Gauge(
    "tickplant_ingest_refused_symbols", "Symbols that the venue refuses", ["venue", "connection"]
)
INGEST_SOCKET_AGE_S = Gauge(
    "tickplant_ingest_socket_age_seconds",
    "Age of the connection; 0 while there is none",
    ["venue", "connection"],
)
INGEST_SILENCE_S = Gauge(
    "tickplant_ingest_silence_seconds",
    "Time since the connection's last message; 0 while its socket is paused",
    ["venue", "connection"],
)
INGEST_VENUE_DELAY_S = Histogram(
    "tickplant_ingest_venue_delay_seconds",
    "Delay from venue to ingest: from a trade's event time, by the venue's clock, to receipt; one per batch",
    ["venue"],
    buckets=LATENCY_S,
)
INGEST_PUBLISH_DELAY_S = Histogram(
    "tickplant_ingest_publish_delay_seconds",
    "Delay from ingest to stream: from a trade's receipt until Redis acknowledges it; one per batch",
    buckets=LATENCY_S,
)
INGEST_WRITE_S = Histogram(
    "tickplant_ingest_write_seconds",
    "Duration of one write of entries to Redis, retries included",
    buckets=LATENCY_S,
)
INGEST_WRITE_ENTRIES = Histogram(
    "tickplant_ingest_write_entries", "Entries written in one round trip to Redis", buckets=COUNT
)
INGEST_ENTRIES = Counter("tickplant_ingest_entries", "Stream entries written", ["partition"])
INGEST_ENTRY_TRADES = Histogram(
    "tickplant_ingest_entry_trades", "Trades per entry, of entries that hold trades", buckets=COUNT
)
INGEST_ENTRY_BYTES = Histogram(
    "tickplant_ingest_entry_bytes",
    "Bytes per entry, clocks and verdicts included",
    buckets=(64, 128, 256, 512, 1_024, 4_096, 16_384, 65_536, 262_144),
)
INGEST_STREAM_ENTRIES = Gauge(
    "tickplant_ingest_stream_entries", "Length of a partition's stream", ["partition"]
)
INGEST_BACKFILLED = Counter("tickplant_ingest_backfilled_trades", "Trades fetched from history", ["venue"])
INGEST_BUFFERED_BYTES = Gauge(
    "tickplant_ingest_buffered_bytes", "Bytes of received frames that are not published yet"
)
INGEST_TASK_FAILURES = Counter(
    "tickplant_ingest_task_failures",
    "Unexpected errors of a task of ingest, after which it was restarted",
    ["venue", "task"],
)
REDIS_INVALID_VALUES = Counter(
    "tickplant_redis_invalid_values",
    "Values in Redis that were ignored because another program has written them, by key",
    ["key"],
)
INGEST_REFUSED_ROWS = Counter(
    "tickplant_ingest_refused_history_rows",
    "Rows of history that were refused, by reason: broken or implausible",
    ["venue", "reason"],
)
INGEST_BANS = Counter(
    "tickplant_ingest_history_bans",
    "Answers in which a venue banned further requests for some time",
    ["venue"],
)
INGEST_WAITS = Counter("tickplant_ingest_backpressure_seconds", "Time for which sockets were paused")

# workers
WORKER_TRADES = Counter("tickplant_worker_trades", "New trades committed", ["role"])
WORKER_DUPLICATES = Counter("tickplant_worker_duplicate_trades", "Trades that were stored already", ["role"])
WORKER_REJECTED = Counter(
    "tickplant_worker_rejected_trades", "Trades that became dead letters instead of being stored", ["reason"]
)
WORKER_OUTLIERS = Counter(
    "tickplant_worker_outlier_trades", "Trades whose price is a thousand times the last one, or a thousandth"
)
WORKER_UNSTORABLE = Counter(
    "tickplant_worker_unstorable_trades",
    "Trades that the database refused for their content, which became dead letters",
    ["role"],
)
WORKER_POISON = Counter(
    "tickplant_worker_poison_entries", "Stream entries that became dead letters", ["role"]
)
WORKER_STREAM_DELAY_S = Histogram(
    "tickplant_worker_stream_delay_seconds",
    "Delay from stream to worker: from an entry's write, by Redis's clock, to its read; one per read",
    buckets=LATENCY_S,
)
WORKER_COMMIT_DELAY_S = Histogram(
    "tickplant_worker_commit_delay_seconds",
    "Delay from stream to commit: from the write of a batch's first entry until the batch is committed",
    buckets=LATENCY_S,
)
WORKER_COMMIT_S = Histogram(
    "tickplant_worker_commit_seconds", "Duration of a transaction", ["role"], buckets=DURATION_S
)
WORKER_COMMIT_TRADES = Histogram(
    "tickplant_worker_commit_trades",
    "New trades per transaction",
    ["role"],
    buckets=(0, 1, 10, 100, 1_000, 5_000, 10_000, 20_000, 40_000),
)
WORKER_COMMIT_FAILURES = Counter(
    "tickplant_worker_commit_failures", "Transactions that failed, other than by a lost lease", ["role"]
)
WORKER_ROWS = Counter("tickplant_worker_written_rows", "Rows inserted or merged", ["table"])
WORKER_BYTES = Counter("tickplant_worker_written_bytes", "Bytes of trades copied into the database")
WORKER_CLOSED = Counter(
    "tickplant_worker_closed_candles", "Candles that closed, or became complete after closing", ["interval"]
)
WORKER_REVISED = Counter(
    "tickplant_worker_revised_candles",
    "Changes of closed candles by late trades",
    ["interval"],
)
WORKER_UPDATES = Counter("tickplant_worker_live_updates", "Live updates published")
WORKER_SIGNALS = Counter("tickplant_worker_signals", "Signals of strategies", ["strategy"])
WORKER_STRATEGY_FAILURES = Counter(
    "tickplant_worker_strategy_failures", "Strategies disabled for a symbol after they failed", ["strategy"]
)
WORKER_FIRINGS = Counter("tickplant_worker_alert_firings", "Alerts that fired, by kind", ["kind"])
WORKER_PRICE = Gauge(
    "tickplant_worker_price",
    "Price of the last trade, rounded: the database has the exact value",
    ["venue", "symbol"],
)
WORKER_VOLUME_24H = Gauge(
    "tickplant_worker_volume_24h",
    "Volume, in base currency, of the 24 hours up to venue time; measured twice a minute",
    ["venue", "symbol"],
)
WORKER_WATERMARK_S = Gauge(
    "tickplant_worker_watermark_seconds",
    "Venue time up to which trades are committed, since the epoch; the present less this is the freshness",
    ["venue", "symbol"],
)
WORKER_MISSING = Gauge(
    "tickplant_worker_missing_trades",
    "Missing trade ids, unrecoverable ones included",
    ["venue", "symbol"],
)
WORKER_OPEN_GAPS = Gauge("tickplant_worker_open_gaps", "Gaps that may still heal", ["venue", "symbol"])
WORKER_UNRECOVERABLE_GAPS = Gauge(
    "tickplant_worker_unrecoverable_gaps",
    "Gaps whose trades can't be fetched",
    ["venue", "symbol"],
)
WORKER_HEALED = Counter("tickplant_worker_healed_trades", "Trades of gaps that were healed", ["venue"])
WORKER_HEAL_S = Histogram(
    "tickplant_worker_heal_seconds",
    "Time from a gap's detection until it was healed",
    ["venue"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600),
)
WORKER_WEBHOOKS = Counter(
    "tickplant_worker_webhook_attempts",
    "Attempts to deliver a webhook, by outcome: delivered, failed or dead (abandoned)",
    ["outcome"],
)
WORKER_NOTIFICATIONS = Counter(
    "tickplant_worker_notification_attempts",
    "Notifications in attempted messages, by outcome: delivered, failed or dead (abandoned)",
    ["outcome"],
)
WORKER_LEASES = Gauge("tickplant_worker_leases", "Partitions owned by this process", ["role"])
WORKER_BLOCKED = Gauge(
    "tickplant_worker_blocked_partitions",
    "Partitions not processed because another program has taken one of their keys in Redis",
    ["role"],
)
WORKER_LEASE_CHANGES = Counter(
    "tickplant_worker_lease_changes", "Leases taken, given back or lost", ["role", "what"]
)
WORKER_LOST_COMMITS = Counter(
    "tickplant_worker_lost_commits",
    "Times that a partition was taken whose last commits the database has lost",
)
WORKER_SKIPPED = Counter(
    "tickplant_worker_skipped_entries",
    "Entries trimmed before they were mirrored to Kafka, as the mirror lagged by more than its budget",
    ["partition"],
)
WORKER_LAG = Gauge("tickplant_worker_lag_entries", "Entries not yet committed", ["role", "partition"])
WORKER_LAG_S = Gauge(
    "tickplant_worker_lag_seconds",
    "Age of the oldest entry that has been read and not yet committed; 0 if there is none",
    ["role", "partition"],
)

# archive
ARCHIVE_WRITES = Counter("tickplant_archive_writes", "Days of symbols that were written to the archive")
ARCHIVE_FAILED_RUNS = Counter("tickplant_archive_failed_runs", "Runs that failed, as in an outage")
ARCHIVE_LAST_RUN_S = Gauge(
    "tickplant_archive_last_run_seconds", "When the last run succeeded, since 1970; 0 before the first"
)

# mirror
MIRROR_RECORDS = Counter("tickplant_mirror_records", "Records that Kafka has confirmed", ["topic"])
MIRROR_REFUSED = Counter(
    "tickplant_mirror_refused_entries", "Entries sent again because Kafka refused a record", ["role"]
)
MIRROR_UNCONFIRMED = Gauge("tickplant_mirror_unconfirmed_records", "Records sent and not yet confirmed")
MIRROR_LAG_S = Gauge(
    "tickplant_mirror_lag_seconds",
    "Age of the oldest entry read that Kafka has not confirmed; 0 if there is none",
    ["role", "partition"],
)
MIRROR_SKIPS = Counter(
    "tickplant_mirror_skips", "Times that entries were trimmed before they were mirrored", ["role"]
)

# api
API_CLIENTS = Gauge("tickplant_api_clients", "Clients of websockets, event streams and gRPC streams")
API_TURNED_AWAY = Counter(
    "tickplant_api_turned_away_clients",
    "Websockets and streams refused, by the problem's code",
    ["reason"],
)
API_SUBSCRIPTIONS = Gauge(
    "tickplant_api_subscriptions", "Channels that clients are subscribed to, by kind", ["kind"]
)
API_UPDATES = Counter("tickplant_api_updates", "Live updates read from the streams")
API_CLIENT_DELAY_S = Histogram(
    "tickplant_api_client_delay_seconds",
    "Delay from ingest to client: from a trade's receipt until its price is sent; one per round",
    buckets=LATENCY_S,
)
API_SENDS = Counter("tickplant_api_sends", "Messages sent over websockets and streams")
API_CONFLATIONS = Counter(
    "tickplant_api_conflations", "Updates replaced by a newer one before a slow client got them"
)
API_DROPS = Counter("tickplant_api_dropped_clients", "Websocket clients closed by the API", ["reason"])
API_RESETS = Counter(
    "tickplant_api_resets", "Channels whose clients got a new snapshot because updates were lost"
)
API_POISON = Counter(
    "tickplant_api_poison_updates",
    "Live updates, changes in them, prices and states of connections in Redis that are invalid",
)
API_RATE_REFUSALS = Counter(
    "tickplant_api_rate_refusals", "Requests refused because a key or an address has sent too many"
)
API_RATE_FALLBACKS = Counter(
    "tickplant_api_rate_fallbacks", "Requests counted by this process alone, while Redis was unavailable"
)
API_REPLICA_LAG_S = Gauge(
    "tickplant_api_replica_lag_seconds",
    "How far the database that history is read from is behind the primary",
)
API_REPLICA_LAG_BYTES = Gauge(
    "tickplant_api_replica_lag_bytes",
    "How much of the primary's write-ahead log that database has not applied yet",
)
API_REQUEST_S = Histogram(
    "tickplant_api_request_seconds",
    "Duration of a REST request",
    ["route", "status"],
    buckets=DURATION_S,
)

# gRPC, besides those of the API
GRPC_CALLS = Counter("tickplant_grpc_calls", "Calls that have ended, by method and code", ["method", "code"])
GRPC_CALL_S = Histogram(
    "tickplant_grpc_call_seconds", "Duration of a call that is no stream", ["method"], buckets=DURATION_S
)
