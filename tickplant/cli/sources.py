"""Refuse, before anything starts, to mix trades of different sources."""

from typing import Final

from tickplant.provenance import DataSource, require_same
from tickplant.settings import Settings

_DEFAULTS: Final = Settings()


def expected_source(settings: Settings) -> DataSource | None:
    """Return `live` where every venue is at its own address; None, unknown, where one may be a sandbox."""
    venues = {symbol.venue for symbol in settings.symbols}
    fields = [f"{venue}_{what}" for venue in venues for what in ("ws_url", "rest_url")]
    own = all(getattr(settings, field, None) == getattr(_DEFAULTS, field, None) for field in fields)
    return "live" if own else None


async def require_source_in_redis(url: str, source: DataSource | None) -> None:
    """Refuse a Redis that can't be used, or that holds trades of another source.

    Raises:
        MixedSourcesError: it does.
        RedisError: it is away, or refuses.
    """
    from tickplant.redis_agreement import read_redis_source
    from tickplant.redis_client import open_redis

    redis = open_redis(url)
    try:
        held = await read_redis_source(redis)
    finally:
        await redis.aclose()
    if source is not None:
        require_same(held, source, where="Redis")


async def require_source_in_database(url: str, source: DataSource | None) -> None:
    """Refuse a database that holds trades of another source; call it before anything is migrated.

    Raises:
        MixedSourcesError: it does.
    """
    from db.provenance import inspect_source

    if source is not None:
        require_same(await inspect_source(url), source, where="the database")
