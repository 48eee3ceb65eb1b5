"""The catalogue of metrics: every one that any process exposes is defined here.

Names are `tickplant_<service>_<what>_<unit>`. Labels are bounded: `venue` and `symbol` by settings,
`partition` by the number of partitions, `role` and `reason` by the code.
"""

from prometheus_client import Counter, Gauge, Histogram

# ingest
INGEST_TRADES = Counter("tickplant_ingest_trades", "Trades received", ["venue"])
INGEST_MALFORMED = Counter(
    "tickplant_ingest_malformed_frames", "Frames that could not be understood", ["venue"]
)
INGEST_CONNECTS = Counter("tickplant_ingest_connects", "Connection attempts by outcome", ["venue", "outcome"])
INGEST_ENTRIES = Counter("tickplant_ingest_entries", "Stream entries written", ["partition"])
INGEST_BYTES = Counter("tickplant_ingest_entry_bytes", "Bytes of stream entries written", ["partition"])
INGEST_BACKFILLED = Counter("tickplant_ingest_backfilled_trades", "Trades fetched from history", ["venue"])
INGEST_WAITS = Counter("tickplant_ingest_backpressure_seconds", "Time that sockets were left unread")

# workers
WORKER_TRADES = Counter("tickplant_worker_trades", "New trades committed", ["role"])
WORKER_DUPLICATES = Counter("tickplant_worker_duplicate_trades", "Trades that were stored already", ["role"])
WORKER_POISON = Counter(
    "tickplant_worker_poison_entries", "Stream entries put aside as dead letters", ["role"]
)
WORKER_COMMITS = Counter("tickplant_worker_commits", "Transactions committed", ["role"])
WORKER_COMMIT_S = Histogram(
    "tickplant_worker_commit_seconds",
    "Duration of a commit",
    ["role"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
WORKER_MISSING = Gauge(
    "tickplant_worker_missing_trades",
    "Trade ids of this process's symbols that are not stored now, unrecoverable ones included",
    ["venue", "symbol"],
)
WORKER_HEALED = Counter(
    "tickplant_worker_healed_trades", "Trades of gaps that were healed, every one of them stored", ["venue"]
)
WORKER_HEAL_S = Histogram(
    "tickplant_worker_heal_seconds",
    "Time from a gap's detection until it was healed",
    ["venue"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600),
)
WORKER_LEASES = Gauge("tickplant_worker_leases", "Partitions owned by this process", ["role"])
WORKER_LEASE_CHANGES = Counter(
    "tickplant_worker_lease_changes", "Leases by what became of them", ["role", "what"]
)
WORKER_LAG = Gauge("tickplant_worker_lag_entries", "Entries not yet committed", ["role", "partition"])

# api
API_CLIENTS = Gauge("tickplant_api_clients", "Websocket clients connected")
API_SENDS = Counter("tickplant_api_sends", "Websocket messages sent")
API_CONFLATIONS = Counter(
    "tickplant_api_conflations", "Updates replaced by a newer one before a slow client got them"
)
API_DROPS = Counter("tickplant_api_dropped_clients", "Clients closed for being too slow", ["reason"])
API_RESETS = Counter(
    "tickplant_api_resets", "Channels whose clients were shown snapshots anew, updates having been lost"
)
API_POISON = Counter(
    "tickplant_api_poison_updates", "Live updates, and states of connections, that could not be understood"
)
API_REQUEST_S = Histogram(
    "tickplant_api_request_seconds",
    "Duration of a REST request",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
