"""Shares: everything belongs to exactly one owner, evenly, and few things move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.shards import symbols_of_shard
from ingest.venues import make_adapter
from tickplant.market import SymbolId
from tickplant.sharing import MOST_SHARDS, Shard, fair_shares

SYMBOLS = [SymbolId("binance", f"S{number}USDT") for number in range(200)]
STOCKS = [SymbolId("finnhub", name) for name in ("AAPL", "MSFT", "NVDA")]
ADAPTERS = {
    "binance": make_adapter("binance", api_key=None, limits=None),
    "finnhub": make_adapter("finnhub", api_key="key", limits=None),
}


@pytest.mark.parametrize("text", ["0/1", "2/3", "999/1000"])
def test_a_shard_reads_as_it_is_written(text: str) -> None:
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "/",
            "0/",
            "/1",
            "0/0",
            "1/1",
            "3/2",
            "-1/2",
            "+0/2",
            "0/-2",
            " 0/2",
            "0/2\n",
            "0 / 2",
            "0/2/3",
        ),
        *(
            "00/2",
            "0/02",
            "0x0/2",
            "1_0/20",
            "\u0660/\u0662",
            "0.0/2",
            f"0/{MOST_SHARDS + 1}",
            "0/99999999999999",
            "$(N)/2",
        ),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be number/total, such as 0/3"):
        Shard.parse(text)


@given(st.integers(1, 40), st.integers(0, 200))
def test_everything_has_one_owner_and_shares_differ_by_one_at_most(owners: int, items: int) -> None:
    shares = fair_shares([f"owner{number}" for number in range(owners)], range(items))
    assert sorted(item for share in shares.values() for item in share) == list(range(items))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


def test_the_order_of_owners_does_not_matter() -> None:
    owners = [f"owner{number}" for number in range(7)]
    assert fair_shares(owners, range(64)) == fair_shares(owners[::-1], range(64))


@pytest.mark.parametrize("total", [1, 2, 3, 10, 200, 250])
def test_each_symbol_is_in_one_shard(total: int) -> None:
    shards = [symbols_of_shard([*SYMBOLS, *STOCKS], ADAPTERS, Shard(i, total)) for i in range(total)]
    assert sorted(symbol for shard in shards for symbol in shard) == sorted([*SYMBOLS, *STOCKS])


def test_symbols_of_a_venue_that_allows_one_connection_stay_together() -> None:
    shards = [symbols_of_shard([*SYMBOLS, *STOCKS], ADAPTERS, Shard(i, 8)) for i in range(8)]
    assert [[s for s in shard if s in STOCKS] for shard in shards if set(shard) & set(STOCKS)] == [STOCKS]


def test_the_order_of_the_settings_symbols_does_not_matter_but_for_the_order_within_a_shard() -> None:
    shard = Shard(1, 3)
    assert set(symbols_of_shard(SYMBOLS, ADAPTERS, shard)) == set(
        symbols_of_shard(SYMBOLS[::-1], ADAPTERS, shard)
    )


def test_one_more_shard_moves_few_symbols_but_to_itself() -> None:
    before = {s: i for i in range(4) for s in symbols_of_shard(SYMBOLS, ADAPTERS, Shard(i, 4))}
    after = {s: i for i in range(5) for s in symbols_of_shard(SYMBOLS, ADAPTERS, Shard(i, 5))}
    assert sum(before[s] != after[s] != 4 for s in SYMBOLS) <= len(SYMBOLS) // 5
