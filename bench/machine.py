"""What the numbers were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

_LIBRARIES: Final = ("asyncpg", "hiredis", "litestar", "msgspec", "redis", "uvicorn", "websockets")


def describe_machine() -> list[str]:
    """Return lines about the machine, the interpreter and the libraries."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return [
        f"{cores} cores ({_processor()}), {memory_bytes / 2**30:.0f} GB, load before: {load}",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
    ]


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
