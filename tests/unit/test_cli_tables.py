"""Tables in a terminal: at 80 columns nothing that identifies a row is cut."""

import sys
from collections.abc import Callable, Sequence

import pytest

from tickplant.cli.tables import print_table

COLUMNS = ("symbol", "trades", "candles", "differs", "missing", "extra", "not_checkable", "ids", "result")
SYMBOLS = ("binance:BTCUSDT", "coinbase:BTC-USD", "kraken:BTC/USD")


Drawn = Callable[..., str]


@pytest.fixture
def drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Return what a terminal of 80 columns gets."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")  # no bold

    def draw(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        print_table(title, columns, rows)
        return capsys.readouterr().out

    return draw


def test_a_table_of_many_columns_fits_80_columns_uncut(drawn: Drawn) -> None:
    text = drawn("Audit", COLUMNS, [(s, 1_234_567, 98_765, 0, 0, 0, 1234, 0, "DIFFERS") for s in SYMBOLS])
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 80
    rows = [line.split() for line in lines if ":" in line]
    assert rows == [[s, "1234567", "98765", "0", "0", "0", "1234", "0", "DIFFERS"] for s in SYMBOLS]


def test_numbers_are_aligned_to_the_right(drawn: Drawn) -> None:
    text = drawn("Rows", ("table", "rows"), [("trades", 5), ("candles", 12345)])
    trades, candles = text.rstrip().splitlines()[-2:]
    assert len(trades.rstrip()) == len(candles.rstrip())


def test_long_text_is_folded_and_not_cut(drawn: Drawn) -> None:
    out = drawn("Notes", ("symbol", "note"), [(SYMBOLS[0], "x" * 100)])
    assert SYMBOLS[0] in out
    assert out.count("x") == 100
