"""The stages by name, in the order in which they run."""

from collections.abc import Mapping
from typing import Final

from bench.stage import Stage
from bench.stages.commit import measure_commit
from bench.stages.fanout import measure_fanout
from bench.stages.fold import measure_fold
from bench.stages.imports import measure_import
from bench.stages.latency import measure_latency
from bench.stages.page import measure_page
from bench.stages.peers import measure_peers
from bench.stages.publish import measure_publish
from bench.stages.rest import measure_rest
from bench.stages.roles import measure_roles
from bench.stages.storage import measure_storage
from bench.stages.symbols import measure_symbols
from bench.stages.whole import measure_memory, measure_startup, measure_whole
from bench.stages.workers import measure_worker_counts

STAGES: Final[Mapping[str, Stage]] = {
    "fold": Stage(
        "frames in memory to exact candles, each implementation, on one core", measure_fold, needs_plant=False
    ),
    "peers": Stage("the same by a Go aggregator and by cryptofeed", measure_peers, needs_plant=False),
    "publish": Stage("frames from a websocket into Redis, and encoding alone", measure_publish),
    "commit": Stage("a full stream to committed rows, beside COPY of the same rows", measure_commit),
    "import": Stage("a file of past trades to committed rows, beside COPY of the same rows", measure_import),
    "workers": Stage("the same by one worker process and by two", measure_worker_counts),
    "symbols": Stage("the worker's CPU a trade at 10, 100, 1,000 and 5,000 symbols", measure_symbols),
    "roles": Stage("the worker's CPU with all roles, and with 100,000 alerts", measure_roles),
    "whole": Stage("websocket to committed rows at full speed, all processes", measure_whole),
    "latency": Stage("a frame to a websocket client, at 100 to 20,000 trades/s", measure_latency),
    "fanout": Stage("one update to 3,000 websocket clients", measure_fanout),
    "rest": Stage("answers over REST, beside a bare route of the same bytes", measure_rest),
    "page": Stage("the page in Chromium: first candles, and frames while updates come", measure_page),
    "storage": Stage("bytes a trade and a candle, in rows and in columns", measure_storage),
    "startup": Stage("from the start of a process to its first work", measure_startup),
    "memory": Stage("memory of each process, idle and after all trades", measure_memory),
}
"""A new stage is a module here and a line in this table."""
