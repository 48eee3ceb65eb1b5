"""An entry to be written to a partition's stream."""

from typing import NamedTuple


class StreamEntry(NamedTuple):
    """An entry for the stream of a partition."""

    partition: int
    field: bytes
    """One of the fields of `tickplant.wire`."""
    payload: bytes
