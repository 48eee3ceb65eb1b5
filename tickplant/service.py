"""Runs a service process: logs, signals, metrics and probes, and its exit."""

import asyncio
import decimal
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from signal import SIGINT, SIGTERM, Signals
from typing import Any

from tickplant import event_loop
from tickplant.background import background
from tickplant.errors import FatalError
from tickplant.interrupts import restored_sigint
from tickplant.logs import set_up_logs
from tickplant.network_errors import system_reason
from tickplant.open_files import prepare_open_files
from tickplant.probes import ServiceReadiness, serve_probes
from tickplant.settings import Settings

logger = logging.getLogger(__name__)

Main = Callable[[asyncio.Event], Awaitable[None]]


def run_service(
    name: str, main: Main, settings: Settings, *, readiness: ServiceReadiness | None = None
) -> int:
    """Run a service until a signal stops it; blocks.

    SIGTERM and SIGINT set the event that `main` is given; a second one ends the process at once.

    Args:
        name: the service's name, for its log lines.
        main: the service; returns soon after the event is set.
        settings: log level, and where to serve metrics and probes.
        readiness: of the service; None: it serves metrics and probes itself.

    Returns:
        The exit code: 0.

    Raises:
        FatalError: the service can't go on.
    """
    set_up_logs(settings.log_level, settings.log_format, settings.secrets)
    forbid_floats()
    prepare_open_files()
    with restored_sigint():
        event_loop.run(_run(name, main, settings, readiness))
    logger.info("%s has stopped", name)
    return 0


async def run_unless_stopped(work: Coroutine[Any, Any, Any], stop: asyncio.Event) -> bool:
    """Run a coroutine until it is done or `stop` is set; return whether it is done."""
    async with background(work, on_end=None) as doing, background(stop.wait()) as stopping:
        await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
    if doing.cancelled():
        return False
    doing.result()
    return True


def forbid_floats() -> None:
    """Make decimal arithmetic raise wherever a float would get into it, in all threads and tasks."""
    decimal.DefaultContext.traps[decimal.FloatOperation] = True
    decimal.setcontext(decimal.DefaultContext.copy())


async def _run(name: str, main: Main, settings: Settings, readiness: ServiceReadiness | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal in (SIGTERM, SIGINT):
        loop.add_signal_handler(signal, _on_signal, signal, name, stop)
    _note_kernel()
    if readiness is not None and settings.metrics_port:
        _serve_probes(settings, readiness)
    await main(stop)


def _on_signal(signal: Signals, name: str, stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(128 + signal)
    logger.info("%s is stopping (%s)", name, signal.name)
    stop.set()


def _note_kernel() -> None:
    from tickplant import kernel, metrics

    metrics.KERNEL_INFO.labels(kernel.NAME).set(1)


def _serve_probes(settings: Settings, readiness: ServiceReadiness) -> None:
    try:
        serve_probes(settings.metrics_host, settings.metrics_port, readiness)
    except OSError as error:
        raise FatalError(
            f"can't serve metrics on TICKPLANT_METRICS_HOST:TICKPLANT_METRICS_PORT"
            f" ({settings.metrics_host}:{settings.metrics_port}): {system_reason(error) or error.strerror};"
            " choose another port"
        ) from error
    logger.info("metrics at http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)
