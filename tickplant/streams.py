"""Names of Redis keys, the partition of a symbol, and the order of stream entry ids.

Every key of a partition carries the partition's number in braces: what Redis Cluster hashes, so that all of
them are in one slot, and a script may touch them together. All other keys are used one at a time, or share a
part in braces likewise.
"""

from typing import Final
from zlib import crc32

DEAD_LETTERS: Final = "dead_letters"
"""Stream of inputs that could not be parsed, each with its source and reason; capped."""

CONNECTIONS: Final = "connections"
"""Hash of connection name to its state, encoded as in `wire`; written by ingest, read by the API."""

OWN_IDS: Final = "own_ids"
"""Hash of a venue without trade ids to the greatest id of our own assigned to its trades."""

PARTITIONS: Final = "partition_count"
"""Number of partitions, set by the first process that connected."""

SERVERS: Final = "partition_servers"
"""Hash of partition to the server that has it, where several servers are named; on the first of them."""

SOURCE: Final = "source"
"""Source of the trades in the streams (`provenance.DataSource`), set by the first ingest process."""

START: Final = "0-0"
"""The entry id before every entry."""

CANDLES_ROLE: Final = "candles"
"""The role that stores a partition's trades, candles and all that is derived from them."""

MIRROR_TRADES: Final = "mirror-trades"
"""The role that mirrors a partition's input to Kafka."""

MIRROR_RESULTS: Final = "mirror-results"
"""The role that mirrors a partition's results to Kafka."""

MIRROR_ROLES: Final = (MIRROR_TRADES, MIRROR_RESULTS)
"""Only trimming waits for these roles, up to their budget."""

HELD_ENTRIES: Final = "held_entries"
"""Field of the owner hash of `MIRROR_TRADES`: how many committed entries are retained only for the mirror."""


def trades_stream(partition: int) -> str:
    """Name the stream that carries a partition's trades and clock entries."""
    return f"trades:{{{partition}}}"


def live_stream(partition: int) -> str:
    """Name the stream that carries a partition's live updates; capped, not durable."""
    return f"live:{{{partition}}}"


def results_stream(partition: int) -> str:
    """Name the stream of results, retained until Kafka has confirmed them; empty without a mirror."""
    return f"results:{{{partition}}}"


def signals_stream(partition: int) -> str:
    """Name the stream of a partition's signals, for consumers outside tickplant; capped."""
    return f"signals:{{{partition}}}"


def unified_stream(partition: int) -> str:
    """Name the stream of prices joined with averages and signals; capped."""
    return f"unified:{{{partition}}}"


def prices_key(partition: int) -> str:
    """Name the hash of `venue:symbol` to its last trade, encoded as in `wire`."""
    return f"prices:{{{partition}}}"


def gaps_key(partition: int) -> str:
    """Name the hash of `venue:symbol` to its open gaps, as in `wire`; a symbol without gaps has no field."""
    return f"gaps:{{{partition}}}"


def unified_key(partition: int) -> str:
    """Name the hash of `venue:symbol` to its last price with its latest averages and signals, as JSON."""
    return f"unified_states:{{{partition}}}"


def owner_key(role: str, partition: int) -> str:
    """Name the hash with the epoch that may publish for a partition, and with its progress."""
    return f"owner:{role}:{{{partition}}}"


def partition_streams(partition: int) -> list[str]:
    """Name all streams of a partition, that of trades first."""
    streams = (trades_stream, live_stream, results_stream, signals_stream, unified_stream)
    return [name(partition) for name in streams]


def owner_keys(partition: int) -> list[str]:
    """Name the owner hashes of all roles of a partition."""
    return [owner_key(role, partition) for role in (CANDLES_ROLE, *MIRROR_ROLES)]


def partition_hashes(partition: int) -> list[str]:
    """Name all hashes of a partition; these and its streams are all of its keys."""
    return [name(partition) for name in (prices_key, gaps_key, unified_key)] + owner_keys(partition)


def group_name(role: str, epoch: int) -> str:
    """Name the consumer group of one ownership; a former owner's group no longer exists."""
    return f"{role}:e{epoch}"


def partition_of(venue: str, symbol: str, partitions: int) -> int:
    """Return the partition of a symbol: stable across processes, machines and versions."""
    return partition_of_field(f"{venue}:{symbol}".encode(), partitions)


def partition_of_field(field: bytes, partitions: int) -> int:
    """Return the partition of a `venue:symbol`."""
    return crc32(field) % partitions


def entry_order(entry_id: str) -> tuple[int, int]:
    """Return a key that orders entry ids `milliseconds-sequence` as Redis does."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)
