"""Shows that all missing trades come back: `python tests/soak.py --help`.

A sandbox of all venues injects faults for some minutes, and then none; `tickplant up` receives its trades.
Prints the gaps every ten seconds; ends with code 0 when all are healed.
"""

import asyncio
import csv
import io
import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from sandbox.faults import FaultPlan
from sandbox.live import LiveSource
from sandbox.server import RunningSandbox, SandboxOptions, serve
from sandbox.venues import VENUES
from tickplant.cli import sandbox_faults
from tickplant.clock import now_us
from tickplant.event_loop import run as run_event_loop
from tickplant.local.folder import free_port

SYMBOLS: Final = {
    "binance": ["BTCUSDT", "ETHUSDT"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "kraken": ["BTC/USD", "ETH/USD"],
    "finnhub": ["AAPL"],
}


def environment(venue: RunningSandbox) -> dict[str, str]:
    """Return settings that point a plant at the sandbox."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("TICKPLANT_")}
    for name, address in venue.addresses.items():
        found[f"TICKPLANT_{name.upper()}_WS_URL"] = address.ws_url
        if name != "finnhub":
            found[f"TICKPLANT_{name.upper()}_REST_URL"] = address.rest_url
    symbols = [f"{name}:{symbol}" for name, group in SYMBOLS.items() for symbol in group]
    return found | {
        "TICKPLANT_FINNHUB_API_KEY": "sandbox",
        "TICKPLANT_SYMBOLS": " ".join(symbols),
        "TICKPLANT_API_PORT": str(free_port()),
    }


def read_gaps(url: str) -> Counter[str]:
    """Return how many gaps of each venue are in each state."""
    with urlopen(f"{url}/api/v1/gaps?format=csv", timeout=30) as answer:
        rows = csv.DictReader(io.TextIOWrapper(answer, "utf-8"))
        return Counter(f"{row['symbol'].partition(':')[0]} {row['state']}" for row in rows)


async def soak(faulty_s: float, healing_s: float, rate: float, plan: FaultPlan) -> int:
    """Run the plant with faults, then without, and return the exit code."""
    chances = dict(plan.chances)
    sources = [
        LiveSource(VENUES[name], symbols, rate=rate / len(SYMBOLS), seed=plan.seed, clock_us=now_us)
        for name, symbols in SYMBOLS.items()
    ]
    folder = Path(tempfile.mkdtemp(prefix="tickplant-soak-"))
    async with serve(sources, options=SandboxOptions(plan=FaultPlan(plan.seed, chances))) as venue:
        variables = environment(venue)
        url = f"http://127.0.0.1:{variables['TICKPLANT_API_PORT']}"
        with (folder / "up.log").open("wb") as log:
            plant = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tickplant", "up", "--data", str(folder / "data")),
                env=variables,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        print(f"log: {folder}/up.log", flush=True)
        try:
            await asyncio.sleep(faulty_s)
            print(f"after {faulty_s:.0f} s with faults: {await look(url)}; {faults_of(venue)}", flush=True)
            chances.clear()
            end_connections(venue)
            for waited_s in range(10, int(healing_s) + 10, 10):
                await asyncio.sleep(10)
                gaps = await look(url)
                print(f"{waited_s} s without faults: {gaps}", flush=True)
                if gaps and not any(gaps[key] for key in gaps if not key.endswith(" healed")):
                    return 0
            return 1
        finally:
            if plant.returncode is None:
                plant.terminate()
            await plant.wait()


def faults_of(venue: RunningSandbox) -> dict[str, Any]:
    """Return how often each fault was injected, by venue."""
    return {name: sum(status.faults.values()) for name, status in venue.status().venues.items()}


def end_connections(venue: RunningSandbox) -> None:
    """End the connections that have faults; the next ones have none."""
    for opened in venue._venues.values():
        for connection in tuple(opened._connections):
            connection.abort()


async def look(url: str) -> Counter[str] | None:
    """Return the gaps; None while the API doesn't answer."""
    try:
        return await asyncio.to_thread(read_gaps, url)
    except OSError as error:
        print(error, flush=True)
        return None


def parse_arguments() -> tuple[Namespace, FaultPlan]:
    """Return the arguments, and the faults among them."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--faulty-s", type=float, default=300.0, help="how long faults are injected")
    parser.add_argument(
        "--healing-s", type=float, default=900.0, help="the longest time until no gap is left"
    )
    parser.add_argument("--rate", type=float, default=500.0, help="trades a second, all venues together")
    sandbox_faults.add_arguments(parser)
    parser.set_defaults(faults=1)
    args = parser.parse_args()
    plan = sandbox_faults.read_plan(args)
    assert plan is not None
    return args, plan


if __name__ == "__main__":
    args, plan = parse_arguments()
    sys.exit(run_event_loop(soak(args.faulty_s, args.healing_s, args.rate, plan)))
