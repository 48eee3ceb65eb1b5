"""PostgreSQL reads the same trades from binary rows as from text."""

from io import BytesIO

import asyncpg
from kernels import kernels_of

from db.commit import TRADE_COLUMNS
from tickplant.columns import TradeColumns
from tickplant.copy_rows import join_rows
from tickplant.market import Trade

NOW_US = 1_700_000_000_123_456
PRICES = (
    *("0", "0.00", "007", "5.", ".5", "1", "9999", "10000", "12345678", "62212.01000000", "0.00010000"),
    *("0.0000000000000001", "100000000.00000001", "9" * 40, "." + "0" * 38 + "1", "1" + "0" * 39),
)


def trades() -> list[Trade]:
    return [
        Trade("kraken", "BTC/USD", i, price, PRICES[-1 - i], side, NOW_US + i, NOW_US)
        for i, price in enumerate(PRICES)
        for side in (("buy", "sell", None)[i % 3],)
    ]


async def copied(connection: "asyncpg.Connection[asyncpg.Record]", rows: bytes, form: str) -> list[str]:
    await connection.execute("create temp table copied (like trades)")
    await connection.copy_to_table("copied", source=BytesIO(rows), columns=TRADE_COLUMNS, format=form)  # type: ignore[arg-type]
    found = await connection.fetch("select copied::text as row from copied order by trade_id")
    await connection.execute("drop table copied")
    return [row["row"] for row in found]


async def test_binary_rows_are_the_same_trades_as_text(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        given: TradeColumns
        for given in kernels_of(trades()):
            text = await copied(connection, join_rows([given.copy_rows()], "text"), "text")
            binary = await copied(connection, join_rows([given.copy_binary_rows()], "binary"), "binary")
            assert text == binary
            assert len(text) == len(PRICES)
    finally:
        await connection.close()
