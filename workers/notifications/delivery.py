"""Notification delivery: all pending texts of a target are one message."""

import asyncio
from collections.abc import Collection
from typing import Final

from db.notifications import NOTIFICATIONS, NotificationMessage, take_messages
from db.pool import Pool
from tickplant import metrics
from tickplant.notifications import NotificationSettings
from workers.notifications.sender import NotificationSender
from workers.outbox import DeliveryLoop, RetryPolicy

_MAX_MESSAGES: Final = 8
"""Concurrent ones, each in a thread."""
_MAX_TEXTS: Final = 1000
"""In one message."""


async def deliver_notifications(pool: Pool, settings: NotificationSettings, stop: asyncio.Event) -> None:
    """Deliver notifications until `stop` is set.

    Args:
        pool: connections.
        settings: where to and how.
        stop: ends it; attempts in progress get some time to end; another process repeats the rest.
    """
    if not settings.targets:
        return
    policy = RetryPolicy(
        attempts=settings.attempts,
        max_age_s=settings.max_age_s,
        first_wait_s=settings.first_wait_s,
        most_wait_s=settings.most_wait_s,
        poll_s=settings.poll_s,
        most=_MAX_MESSAGES,
        most_per_receiver=1,
    )
    with NotificationSender(settings.targets) as sender:
        await DeliveryLoop(pool, _Notifications(settings, sender), policy).run(stop)


class _Notifications:
    """Implements `workers.outbox.OutboxTransport`."""

    name = "notification"
    outbox = NOTIFICATIONS
    metric = metrics.WORKER_NOTIFICATIONS

    def __init__(self, settings: NotificationSettings, sender: NotificationSender) -> None:
        self._lost_after_s = settings.lost_after_s
        self._sender = sender

    async def take(self, pool: Pool, *, most: int, busy: Collection[str]) -> list[NotificationMessage]:
        """Take the messages that are due."""
        return await take_messages(
            pool, targets=most, texts=_MAX_TEXTS, busy=busy, lost_after_s=self._lost_after_s
        )

    async def send(self, attempt: NotificationMessage) -> None:
        """Send one message."""
        await self._sender.send(attempt.rows[0].receiver, attempt.texts)
