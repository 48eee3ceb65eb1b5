"""Which webhooks alerts may have."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from api.http.problems import bad_parameter, conflict
from tickplant.name_resolution import threaded_resolver
from tickplant.webhooks import AddressGuard, RefusedAddressError, WebhookSettings, parse_url, port_of

_NAME: Final = "webhook_url"
_TIMEOUT_S: Final = 5.0
_THREADS: Final = 8


class WebhookDoor:
    """Refuses what could not be delivered anyway, while the caller is there to mend it."""

    def __init__(self, guard: AddressGuard | None) -> None:
        """Take what says where webhooks may go; None if they may go nowhere."""
        self._guard = guard

    async def check(self, url: str) -> None:
        """Check an address.

        Raises:
            Problem: no webhook may go there now.
        """
        if self._guard is None:
            raise conflict(_NAME, "there are no webhooks here: TICKPLANT_WEBHOOK_SECRET is not set")
        try:
            parsed = parse_url(url)
        except RefusedAddressError as error:
            raise bad_parameter(_NAME, str(error)) from error
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._guard.addresses(parsed.hostname or "", port_of(parsed))
        except RefusedAddressError as error:
            raise conflict(_NAME, str(error)) from error
        except TimeoutError as error:
            raise conflict(_NAME, "its host could not be found in time; try again") from error


@asynccontextmanager
async def open_door(settings: WebhookSettings) -> AsyncIterator[WebhookDoor]:
    """Open the door with threads of its own for the DNS, which can be slow."""
    if settings.secret is None:
        yield WebhookDoor(None)
        return
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook dns")
    try:
        yield WebhookDoor(AddressGuard(settings.allowed, threaded_resolver(threads)))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
