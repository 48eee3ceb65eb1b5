"""CPU time of the processes that this one has started, by what they are; known on Linux only."""

import os
from collections import Counter
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> Counter[str]:
    """Return the CPU seconds used so far by each kind of descendant of this process."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        used[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    total: Counter[str] = Counter()
    for pid in parents:
        if _descends(pid, parents):
            total[_kind(pid)] += used[pid]  # type: ignore[assignment]  # a Counter of floats
    return total


def per_trade_us(before: Counter[str], after: Counter[str], trades: int) -> str:
    """Return what a trade cost each kind of process between two readings, greatest first."""
    spent = {kind: after[kind] - before[kind] for kind in after}
    costs = sorted(((1e6 * seconds / trades, kind) for kind, seconds in spent.items()), reverse=True)
    return ", ".join(f"{kind} {cost:.2f}" for cost, kind in costs if cost >= 0.01)


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == os.getpid():
            return True
    return False


def _kind(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended"
    for name in ("tickplant", "bench.client"):
        if name in words:
            return words[words.index(name) + 1] if name == "tickplant" else "client"
    return Path(words[0].partition(":")[0].partition(" ")[0]).name
