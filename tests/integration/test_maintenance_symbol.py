"""What maintenance of a symbol refuses before it changes anything."""

from errno import ENOENT, ENOSPC

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


@on_one_variant
async def test_an_error_of_a_file_is_not_taken_for_one_of_the_database(
    redis_url: str, database_url: str
) -> None:
    settings = Settings(redis_url=redis_url, database_url=database_url)
    for error in (FileNotFoundError(ENOENT, "No such file or directory", "x.zip"), OSError(ENOSPC, "full")):
        with pytest.raises(OSError, match=str(error.strerror)):
            async with open_symbol(settings, "binance:BTCUSDT", application="test"):
                raise error
    with pytest.raises(FatalError, match="the database can't be reached"):
        async with open_symbol(settings, "binance:BTCUSDT", application="test"):
            raise ConnectionResetError
