"""CPU time of the processes that this one has started, by what they are; known on Linux only."""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


class CpuMeter:
    """What a stage costs, from now on."""

    def __init__(self) -> None:
        self._used_s = _used_by_kind()
        self._all_s = _used_by_all()
        self._started_s = time.perf_counter()

    def read(self, trades: int) -> str:
        """Return what a trade has cost each kind of process, and how busy the machine was."""
        elapsed_s = time.perf_counter() - self._started_s
        spent_s = self._spent_s()
        others_s = _used_by_all() - self._all_s - sum(spent_s.values())
        costs = sorted(((1e6 * seconds / trades, kind) for kind, seconds in spent_s.items()), reverse=True)
        shown = ", ".join(f"{kind} {cost:.2f}" for cost, kind in costs if cost >= 0.01)
        return (
            f"CPU us a trade: {shown}; cores busy: {sum(spent_s.values()) / elapsed_s:.2f},"
            f" and {others_s / elapsed_s:.2f} by what is not measured"
        )

    def spent_us(self, trades: int) -> dict[str, float]:
        """Return what a trade has cost each kind of process, in microseconds."""
        return {kind: 1e6 * seconds / trades for kind, seconds in self._spent_s().items()}

    def _spent_s(self) -> dict[str, float]:
        return {kind: used_s - self._used_s[kind] for kind, used_s in _used_by_kind().items()}


def _used_by_kind() -> dict[str, float]:
    """Return the CPU seconds used so far by each kind of descendant of this process."""
    parents: dict[int, int] = {}
    used_s: dict[int, float] = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        used_s[pid] = sum(map(int, fields[11:15])) / _TICKS_PER_S  # its own, and its ended children's
    total_s: defaultdict[str, float] = defaultdict(float)
    for pid in parents:
        if _descends(pid, parents):
            total_s[_kind(pid)] += used_s[pid]
    return total_s


def _used_by_all() -> float:
    """Return the seconds that all cores together have been busy."""
    try:
        fields = (_PROC / "stat").read_text(encoding="utf-8").partition("\n")[0].split()
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts = map(int, fields[1:8])
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS_PER_S


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == os.getpid():
            return True
    return False


def _kind(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended"
    if "tickplant" in words:
        return words[words.index("tickplant") + 1]
    if "bench.client" in words:
        return "client"
    return Path(words[0].partition(":")[0].partition(" ")[0]).name
