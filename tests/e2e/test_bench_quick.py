"""The benchmark runs; its numbers are for a quiet machine to tell."""

import asyncio
import os
import subprocess
import sys

from conftest import REPOSITORY


async def test_a_quick_run_prints_every_stage() -> None:
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bench", "--quick"],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("TICKPLANT_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for stage in (
        "frame to exact candle, one symbol, one core",
        "frames into Redis",
        "stream to committed rows",
        "end to end, websocket to committed rows",
        "frame to websocket client, trades of 100 symbols",
        "frame to websocket client, price of 100 symbols",
    ):
        assert stage in ended.stdout
