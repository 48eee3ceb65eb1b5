"""The valid API keys, as this process knows them: read again every few seconds."""

import asyncio
import hmac
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from api.access.caller import unauthorized
from api.http.problems import unavailable
from db.api_keys import ApiKeyRow, read_valid_api_keys
from db.pool import OUTAGE, Pool, outage_reason
from tickplant.api_keys import digest_of, key_id_of
from tickplant.errors import SettingsError
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

POLL_S: Final = 2.0
"""How often keys are read: a new key works, and a revoked one ends, within about this time."""
_TIMEOUT_S: Final = 5.0


class KeyRing:
    """Knows the valid keys, and ends connections whose key is revoked.

    While the database is unavailable, the keys that were valid before it stay valid.
    """

    def __init__(self, pool: Pool, *, required_at: str | None = None, poll_s: float = POLL_S) -> None:
        """Read keys from a database.

        Args:
            pool: connections.
            required_at: the setting and address that must not be served without any key; None: keys are
                optional.
            poll_s: how often to read them.
        """
        self._pool = pool
        self._required_at = required_at
        self._poll_s = poll_s
        self._keys: dict[str, ApiKeyRow] | None = None
        self._watchers: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)
        self._outage = OutageLog(_log, "API keys can't be read", "API keys can be read again")

    async def load(self) -> None:
        """Read the keys; an outage of the database is logged.

        Raises:
            SettingsError: a key is required, and there is none.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                rows = await read_valid_api_keys(self._pool)
        except OUTAGE as error:
            self._outage.note_failure(outage_reason(error))
            return
        self._outage.note_success()
        if self._keys is None and not rows and self._required_at is not None:
            raise SettingsError([_NO_KEY.format(self._required_at)])
        self._replace({row.key_id: row for row in rows})

    async def run(self) -> None:
        """Read the keys until cancelled."""
        while True:
            await asyncio.sleep(self._poll_s)
            await self.load()

    def find(self, text: str) -> ApiKeyRow:
        """Return the valid key with this text.

        Raises:
            Problem: there is none, or the keys have not been read yet.
        """
        if self._keys is None:
            raise unavailable("the database")
        row = self._keys.get(key_id_of(text) or "")
        if row is None or not hmac.compare_digest(row.digest, digest_of(text)):
            raise unauthorized("the API key is unknown or revoked", error="invalid_token")
        return row

    @contextmanager
    def watched(self, key_id: str | None, on_revoked: Callable[[], None]) -> Iterator[None]:
        """Call a function if a key is revoked during the context; without a key, never."""
        if key_id is None:
            yield
            return
        self._watchers[key_id].add(on_revoked)
        try:
            if self._keys is not None and key_id not in self._keys:
                on_revoked()
            yield
        finally:
            self._watchers[key_id].discard(on_revoked)
            if not self._watchers[key_id]:
                del self._watchers[key_id]

    def _replace(self, keys: dict[str, ApiKeyRow]) -> None:
        revoked = (self._keys or {}).keys() - keys.keys()
        self._keys = keys
        for key_id in revoked:
            for on_revoked in list(self._watchers.get(key_id, ())):
                on_revoked()


_NO_KEY: Final = (
    "{} can be reached from other machines, and there is no API key: make one with"
    " `tickplant keys create NAME --scope read`, or let everybody read with TICKPLANT_PUBLIC=read, or listen"
    " on 127.0.0.1"
)
