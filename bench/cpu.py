"""CPU time and memory of this process and those that it has started, by kind; known on Linux only."""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from bench.results import CpuCost

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_SERVERS: Final = {"redis-server": "redis", "valkey-server": "redis"}
_OWN: Final = {
    "bench.latency_client": "client",
    "bench.fanout_client": "client",
    "bench.feeder": "sandbox",
    "bench.bare_api": "bare api",
    "bench.bare_fanout": "bare api",
}
"""The benchmark's own processes; `sandbox` is whatever plays the venue."""


class CpuMeter:
    """Measures the CPU time that processes use from now on."""

    def __init__(self) -> None:
        self._used_s = _used_by_kind()
        self._all_s = _used_by_all()
        self._started_s = time.perf_counter()

    def read(self) -> CpuCost:
        """Return the cost since the start, in all: divide it by the trades, requests or sends."""
        elapsed_s = time.perf_counter() - self._started_s
        spent_s = {kind: used_s - self._used_s[kind] for kind, used_s in _used_by_kind().items()}
        total_s = sum(spent_s.values())
        other_s = max(0.0, _used_by_all() - self._all_s - total_s)
        costs = {kind: 1e6 * seconds for kind, seconds in spent_s.items() if kind and seconds > 0}
        return CpuCost(costs, total_s / elapsed_s, other_s / elapsed_s)


def memory_mb() -> dict[str, float]:
    """Return the memory of each kind of process in MB; shared pages are divided among their users."""
    parents = {pid: int(fields[1]) for pid, fields in _stats().items()}
    used: defaultdict[str, float] = defaultdict(float)
    for pid in parents:
        if _descends(pid, parents):
            used[_kind(pid)] += _memory_kb(pid) / 1024
    return used


def _memory_kb(pid: int) -> int:
    for name, label in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (_PROC / str(pid) / name).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue  # it has ended, or belongs to another user
        for line in lines:
            if line.startswith(label):
                return int(line.split()[1])
    return 0


def _stats() -> dict[int, list[str]]:
    """Return the fields of /proc/PID/stat after the name, by process."""
    stats = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(encoding="utf-8")
        except OSError:
            continue  # it has ended
        stats[int(folder.name)] = text.rpartition(")")[2].split()
    return stats


def _used_by_kind() -> defaultdict[str, float]:
    """Return the CPU seconds used so far by each kind of process."""
    stats = _stats()
    parents = {pid: int(fields[1]) for pid, fields in stats.items()}
    total_s: defaultdict[str, float] = defaultdict(float)
    for pid, fields in stats.items():
        if pid == os.getpid():
            total_s["bench"] += sum(map(int, fields[11:13])) / _TICKS_PER_S
        elif _descends(pid, parents):
            # With its children that have ended, such as servers' processes of one connection.
            total_s[_kind(pid)] += sum(map(int, fields[11:15])) / _TICKS_PER_S
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
    """Return what a process is; nothing if it has ended."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    for word in words:
        if word in _OWN:
            return _OWN[word]
    if "tickplant" in words:
        return words[words.index("tickplant") + 1]
    name = Path(words[0].partition(":")[0].partition(" ")[0]).name
    return _SERVERS.get(name, name)
