"""The order of files, and what is looked at before an import."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from working import START_US, trade

from maintenance import import_run
from maintenance.captured_trades import CapturedTrades
from maintenance.imports import order_files, scan_file
from tickplant.errors import FatalError
from tickplant.market import SymbolId


def days(*starts: int) -> list[Any]:
    return [SimpleNamespace(start_us=start) for start in starts]


@pytest.mark.parametrize(
    ("stored_until_us", "expected"),
    [
        (None, [1, 2, 3, 4, 5]),
        (3, [3, 4, 5, 2, 1]),
        (0, [1, 2, 3, 4, 5]),
        (9, [5, 4, 3, 2, 1]),
    ],
)
def test_each_file_adjoins_what_is_stored_before_it(stored_until_us: int | None, expected: list[int]) -> None:
    ordered = order_files(days(4, 1, 3, 5, 2), stored_until_us)
    assert [file.start_us for file in ordered] == expected


def test_a_file_that_does_not_fit_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_run.require_database_space(tmp_path, "day.zip", 1, "trades", 260)
    with pytest.raises(FatalError, match=r"day\.zip: 1,000,000,000,000 trades take some"):
        import_run.require_database_space(tmp_path, "day.zip", 10**12, "trades", 260)
    monkeypatch.setattr(import_run, "_FREE_BYTES", 10**18)
    import_run.require_database_space(tmp_path, "day.zip", 0, "trades", 260)  # all are stored already


async def test_a_file_far_from_what_is_stored_is_refused() -> None:
    captured = CapturedTrades(SymbolId("binance", "AAAUSDT"), "a file")
    captured.add(trade(1_000_000, at_us=START_US))
    captured.finish()
    scan = await scan_file(captured, lambda _: None)

    async def check(first: int, last: int) -> None:
        async def read_ledger() -> Any:
            return SimpleNamespace(first_trade_id=first, last_trade_id=last)

        target: Any = SimpleNamespace(read_ledger=read_ledger)
        await import_run._require_near(target, captured, scan)

    await check(1_000_001, 2_000_000)
    await check(10, 999_000)
    with pytest.raises(FatalError, match=r"899,.* ids lie between .* import later days first"):
        await check(900_000_001, 900_000_002)
    with pytest.raises(FatalError, match=r"ids lie between .* import earlier days first"):
        await check(-999_000_010, -899_000_010)


async def test_captured_trades_are_each_there_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maintenance.captured_trades._CHUNK", 10)
    monkeypatch.setattr("maintenance.captured_trades._HELD", 3)
    captured = CapturedTrades(SymbolId("binance", "AAAUSDT"), "a file")
    ids = [*range(50, 90), 51, 20, 60, *range(88, 100), 21, 20]
    for trade_id in ids:
        captured.add(trade(trade_id, at_us=START_US + trade_id))
    captured.finish()
    blocks = (await scan_file(captured, lambda _: None)).blocks
    found = [it.trade_id for block in blocks for it in captured.read(block).trades()]
    assert found == sorted(set(ids))
    assert (captured.start_us, captured.end_us) == (START_US + 20, START_US + 100)
