"""Webhook delivery. Receivers recognise repetitions by the idempotency key."""

import asyncio
import logging
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from db.pool import OUTAGE, REFUSED, Pool
from db.webhooks import WEBHOOKS, WebhookAttempt, take_webhooks, webhooks_are_overdue
from tickplant import metrics
from tickplant.name_resolution import threaded_resolver
from tickplant.webhooks import (
    AddressGuard,
    RefusedAddressError,
    Resolve,
    WebhookSettings,
    body_of,
    headers_of,
    parse_url,
)
from workers.outbox import DeliveryLoop, FailedError, RetryPolicy
from workers.webhooks.sender import Sender

_log = logging.getLogger(__name__)

_MAX_ATTEMPTS: Final = 32
"""Concurrent attempts."""
_MAX_ATTEMPTS_PER_HOST: Final = 4
_LOST_AFTER_TIMEOUTS: Final = 2
_OVERDUE_S: Final = 60.0
"""When a webhook that is due has no worker that delivers it; also the time between two checks."""


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
        await _warn_of_overdue(pool, stop)
        return
    threads = ThreadPoolExecutor(_MAX_ATTEMPTS, thread_name_prefix="webhook dns")
    sender = Sender(
        AddressGuard(settings.allowed, resolve or threaded_resolver(threads)), timeout_s=settings.timeout_s
    )
    policy = RetryPolicy(
        attempts=settings.attempts,
        max_age_s=settings.max_age_s,
        first_wait_s=settings.first_wait_s,
        most_wait_s=settings.most_wait_s,
        poll_s=settings.poll_s,
        most=_MAX_ATTEMPTS,
        most_per_receiver=_MAX_ATTEMPTS_PER_HOST,
    )
    try:
        await DeliveryLoop(pool, _Webhooks(settings, settings.secret, sender), policy).run(stop)
    finally:
        await sender.close()
        threads.shutdown(wait=False, cancel_futures=True)


async def _warn_of_overdue(pool: Pool, stop: asyncio.Event) -> None:
    """Say once that webhooks wait for a worker with a secret; return then, or when `stop` is set."""
    while True:
        with suppress(*OUTAGE, *REFUSED):
            if await webhooks_are_overdue(pool, by_s=_OVERDUE_S):
                _log.warning("webhooks wait and are not delivered: TICKPLANT_WEBHOOK_SECRET is not set")
                return
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _OVERDUE_S)
            return


class _Webhooks:
    """Implements `workers.outbox.OutboxTransport`."""

    name = "webhook"
    outbox = WEBHOOKS
    metric = metrics.WORKER_WEBHOOKS

    def __init__(self, settings: WebhookSettings, secret: str, sender: Sender) -> None:
        self._lost_after_s = _LOST_AFTER_TIMEOUTS * settings.timeout_s
        self._secret = secret
        self._sender = sender

    async def take(self, pool: Pool, *, most: int, busy: Collection[str]) -> list[WebhookAttempt]:
        """Take webhooks that are due."""
        return await take_webhooks(
            pool,
            limit=most,
            limit_per_host=_MAX_ATTEMPTS_PER_HOST,
            busy=busy,
            lost_after_s=self._lost_after_s,
        )

    async def send(self, attempt: WebhookAttempt) -> None:
        """Send one webhook."""
        body = body_of(attempt.firing)
        headers = headers_of(attempt.firing, body, secret=self._secret, now_s=int(time.time()))
        try:
            parse_url(attempt.url)
        except RefusedAddressError as error:
            raise FailedError(str(error)) from None
        await self._sender.send(attempt.url, body, headers)
