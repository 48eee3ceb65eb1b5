"""Checks the webhook URLs of alerts."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from api.http.problems import bad_parameter, conflict
from tickplant.name_resolution import threaded_resolver
from tickplant.webhooks import AddressGuard, RefusedAddressError, WebhookSettings, parse_url, port_of

_FIELD: Final = "webhook_url"
_TIMEOUT_S: Final = 5.0
_THREADS: Final = 8


class WebhookAdmission:
    """Refuses webhook URLs that deliveries could not reach, while the user can still correct them."""

    def __init__(self, guard: AddressGuard | None) -> None:
        """Check with a guard of webhook addresses; None if webhooks are disabled."""
        self._guard = guard

    async def check(self, url: str) -> None:
        """Check a URL.

        Raises:
            Problem: webhooks may not be sent there.
        """
        if self._guard is None:
            raise conflict(_FIELD, "webhooks are disabled: TICKPLANT_WEBHOOK_SECRET is not set")
        try:
            parsed = parse_url(url)
        except RefusedAddressError as error:
            raise bad_parameter(_FIELD, str(error)) from error
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._guard.addresses(parsed.hostname or "", port_of(parsed))
        except RefusedAddressError as error:
            raise conflict(_FIELD, str(error)) from error
        except TimeoutError as error:
            raise conflict(_FIELD, "resolving its host took too long; try again") from error


@asynccontextmanager
async def open_webhook_admission(settings: WebhookSettings) -> AsyncIterator[WebhookAdmission]:
    """Open the admission with threads of its own for DNS, which can be slow."""
    if settings.secret is None:
        yield WebhookAdmission(None)
        return
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook dns")
    try:
        yield WebhookAdmission(AddressGuard(settings.allowed, threaded_resolver(threads)))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
