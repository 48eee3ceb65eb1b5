"""Webhook delivery: a loop that any number of processes can run at once.

Delivery is at least once: an attempt with an unknown outcome is repeated. Receivers recognise repetitions by
the idempotency key.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from db.pool import OUTAGE, Pool, outage_reason
from db.webhooks import WebhookAttempt, close_webhook, retry_webhook, take_webhooks
from tickplant import metrics
from tickplant.backoff import Backoff, bound_s
from tickplant.name_resolution import threaded_resolver
from tickplant.outage import OutageLog
from tickplant.webhooks import (
    AddressGuard,
    RefusedAddressError,
    Resolve,
    WebhookSettings,
    body_of,
    headers_of,
    parse_url,
)
from workers.webhooks.sender import FailedError, GoneError, Sender

_log = logging.getLogger(__name__)

_MAX_ATTEMPTS: Final = 32
"""Concurrent attempts."""
_MAX_ATTEMPTS_PER_HOST: Final = 4
"""The same to one host, so that one that hangs does not block the others."""
_LOST_AFTER_TIMEOUTS: Final = 2
_STOP_S: Final = 2.0


async def deliver(
    pool: Pool, settings: WebhookSettings, stop: asyncio.Event, *, resolve: Resolve | None = None
) -> None:
    """Deliver webhooks until `stop` is set.

    Args:
        pool: connections.
        settings: how.
        stop: ends it; attempts in progress get some time to end; another process repeats the rest.
        resolve: resolves host names; None: the system's resolver.
    """
    if settings.secret is None:
        _log.info("webhooks are not delivered: TICKPLANT_WEBHOOK_SECRET is not set")
        return
    threads = ThreadPoolExecutor(_MAX_ATTEMPTS, thread_name_prefix="webhook dns")
    sender = Sender(
        AddressGuard(settings.allowed, resolve or threaded_resolver(threads)), timeout_s=settings.timeout_s
    )
    try:
        await _Loop(pool, settings, settings.secret, sender).run(stop)
    finally:
        await sender.close()
        threads.shutdown(wait=False, cancel_futures=True)


class _Loop:
    """The attempts in progress."""

    def __init__(self, pool: Pool, settings: WebhookSettings, secret: str, sender: Sender) -> None:
        self._pool = pool
        self._settings = settings
        self._secret = secret
        self._sender = sender
        self._hosts: dict[asyncio.Task[None], str] = {}
        self._outage = OutageLog(_log, "webhooks: the database is unavailable")

    async def run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        backoff = Backoff(first_s=self._settings.poll_s, cap_s=5.0)
        try:
            while not stop.is_set():
                wait_s = self._settings.poll_s
                try:
                    if await self._start_due():
                        wait_s = 0.0
                    backoff.reset()
                except OUTAGE as error:
                    wait_s = backoff.next_s()
                    self._outage.note_failure(outage_reason(error))
                else:
                    self._outage.note_success()
                await self._until({stopping}, wait_s)
            if self._hosts:
                await asyncio.wait(self._hosts, timeout=_STOP_S)
        finally:
            stopping.cancel()
            for task in self._hosts:
                task.cancel()
            await asyncio.gather(*self._hosts, return_exceptions=True)

    async def _start_due(self) -> bool:
        """Start attempts that are due, up to the maximum; return whether there may be more."""
        room = _MAX_ATTEMPTS - len(self._hosts)
        if room <= 0:
            return False
        of_host = Counter(self._hosts.values())
        busy = [host for host, count in of_host.items() if count >= _MAX_ATTEMPTS_PER_HOST]
        taken = await take_webhooks(
            self._pool,
            limit=room,
            limit_per_host=_MAX_ATTEMPTS_PER_HOST,
            busy=busy,
            lost_after_s=_LOST_AFTER_TIMEOUTS * self._settings.timeout_s,
        )
        for delivery in taken:
            self._hosts[asyncio.create_task(self._attempt(delivery))] = delivery.host
        return bool(taken)

    async def _until(self, others: set[asyncio.Task[bool]], wait_s: float) -> None:
        """Wait until an attempt has ended, for `wait_s` at most; raise the error of a failed one."""
        done, _ = await asyncio.wait(
            {*others, *self._hosts}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done - others:
            del self._hosts[task]  # type: ignore[arg-type]
            task.result()

    async def _attempt(self, delivery: WebhookAttempt) -> None:
        """Make one attempt and store its outcome; if storing fails, the attempt later counts as lost."""
        try:
            state, reason = await self._send(delivery)
            if state == "waiting":
                await retry_webhook(self._pool, delivery, reason or "", self._wait_s(delivery))
            else:
                await close_webhook(self._pool, delivery, state, reason)
        except OUTAGE as error:
            self._outage.note_failure(outage_reason(error))
        else:
            metrics.WORKER_WEBHOOKS.labels({"waiting": "failed"}.get(state, state)).inc()

    async def _send(self, delivery: WebhookAttempt) -> tuple[str, str | None]:
        """Make the attempt; return the next state, and the error if there was one."""
        firing = delivery.firing
        if delivery.attempt > self._settings.attempts:
            return self._failed(delivery, "the last attempt's outcome is unknown")
        body = body_of(firing)
        headers = headers_of(firing, body, secret=self._secret, now_s=int(time.time()))
        try:
            parse_url(delivery.url)
            await self._sender.send(delivery.url, body, headers)
        except GoneError as error:
            return self._dead(delivery, str(error))
        except (FailedError, RefusedAddressError) as error:
            return self._failed(delivery, str(error))
        except Exception as error:  # noqa: BLE001 - the attempt's boundary
            _log.exception("webhook %s-%d to %s failed", firing.alert_id, firing.number, delivery.host)
            return self._failed(delivery, type(error).__name__)
        return "delivered", None

    def _failed(self, delivery: WebhookAttempt, reason: str) -> tuple[str, str]:
        if delivery.attempt >= self._settings.attempts:
            return self._dead(delivery, f"{reason}; given up after {delivery.attempt} attempts")
        if delivery.age_s >= self._settings.max_age_s:
            return self._dead(delivery, f"{reason}; given up after {delivery.age_s:.0f} s")
        return "waiting", reason

    def _dead(self, delivery: WebhookAttempt, reason: str) -> tuple[str, str]:
        firing = delivery.firing
        # The host alone: paths and queries of webhooks often hold a key.
        _log.warning(
            "webhook %s-%d to %s given up: %s", firing.alert_id, firing.number, delivery.host, reason
        )
        return "dead", reason

    def _wait_s(self, delivery: WebhookAttempt) -> float:
        first_s, max_s = self._settings.first_wait_s, self._settings.most_wait_s
        bound = bound_s(delivery.attempt - 1, first_s=first_s, cap_s=max_s)
        return random.uniform(0, bound)  # noqa: S311 - spreads load, guards no secret
