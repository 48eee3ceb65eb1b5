"""What maintenance of a symbol refuses before it changes anything."""

import asyncpg
import pytest
from conftest import on_one_variant
from msgspec.structs import replace

from maintenance.symbol import open_symbol
from tickplant.errors import FatalError
from tickplant.settings import Settings


@on_one_variant
@pytest.mark.parametrize("source", ["synthetic", "replay"])
async def test_a_venue_is_not_asked_for_trades_of_a_sandbox(
    source: str, redis_url: str, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("update plant set source = $1", source)
    await connection.close()
    settings = Settings(redis_url=redis_url, database_url=database_url)
    with pytest.raises(FatalError, match=rf"{source}.*TICKPLANT_BINANCE_REST_URL may name the sandbox"):
        async with open_symbol(settings, "binance:BTCUSDT", application="test"):
            pass
    settings = replace(settings, binance_rest_url="http://127.0.0.1:1")
    async with open_symbol(settings, "binance:BTCUSDT", application="test") as symbol:
        assert await symbol.read_ledger() is None
