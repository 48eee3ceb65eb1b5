"""Fills the partition streams as ingest does, before what reads them is measured."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.frames import read_frames
from ingest.publisher import Publisher
from ingest.venues.binance import BinanceAdapter
from tickplant.clock import now_us
from tickplant.market import Trade

_PUBLISHED: Final = 2_500
"""Trades published at a time: some 300 an entry, as ingest writes them at full speed."""


async def publish_frames(publisher: Publisher, path: Path) -> None:
    """Write the trades of a file into the partition streams."""
    await publish(publisher, list(parse_frames(read_frames(path))))


async def publish(publisher: Publisher, trades: Sequence[Trade]) -> None:
    """Write trades into the partition streams."""
    for start in range(0, len(trades), _PUBLISHED):
        await publisher.publish(trades[start : start + _PUBLISHED])


def parse_frames(frames: Sequence[bytes]) -> Iterator[Trade]:
    """Yield the trades in frames."""
    time_us = now_us()
    for frame in frames:
        parsed = BinanceAdapter.parse_frame(frame, time_us)
        assert isinstance(parsed, tuple)
        yield from parsed
