"""Many frames at once give what they give one by one, of every venue."""

import gzip
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Final

import pytest
from columnar import as_trades
from hypothesis import given, settings
from hypothesis import strategies as st
from venue_frames import FRAME_KINDS, RECEIVED_US, make, mutations, read_recorded

from ingest.venues import VENUES
from ingest.venues.base import ParsedFrames, VenueAdapter
from tickplant.columns import group_trades
from tickplant.errors import PoisonError
from tickplant.market import Trade

Parse = Callable[[VenueAdapter, Sequence[bytes]], ParsedFrames]

KERNELS: Final = ("python", "compiled") if find_spec("tickplant.kernel.compiled") else ("python",)


@pytest.fixture(params=KERNELS, scope="module")
def parse(request: pytest.FixtureRequest) -> Parse:
    """Return what parses frames of a venue by one of the kernels."""

    def parse_frames(venue: VenueAdapter, frames: Sequence[bytes]) -> ParsedFrames:
        module = import_module(f"ingest.venues.{venue.name}")
        if request.param == "python":
            return ParsedFrames(*module.parse_frames_in_python(frames, RECEIVED_US))
        compiled = import_module("tickplant.kernel.compiled")
        return ParsedFrames(*getattr(compiled, f"parse_{venue.name}_frames")(frames, RECEIVED_US))

    return parse_frames


@cache
def frames_of(name: str) -> list[bytes]:
    return [line.frame.encode() for line in read_recorded(name) if line.kind in FRAME_KINDS]


@cache
def trade_frames(name: str) -> list[bytes]:
    return [line.frame.encode() for line in read_recorded(name) if line.kind == "trade"]


def regular_frames(venue: VenueAdapter, parse: Parse) -> list[bytes]:
    """Return the recorded frames that are taken in columns; the kernel leaves exponents to Python."""
    found = [frame for frame in trade_frames(venue.name) if parse(venue, [frame]).consumed]
    assert found
    return found


def check_against_one_by_one(venue: VenueAdapter, frames: Sequence[bytes], parsed: ParsedFrames) -> None:
    """Assert that the trades and their order are those of `parse_frame`."""
    trades: list[Trade] = []
    for frame in frames[: parsed.consumed]:
        one = venue.parse_frame(frame, RECEIVED_US)
        assert isinstance(one, tuple)
        trades += one
    assert as_trades(parsed.trades) == as_trades(group_trades(trades))


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    name = draw(st.sampled_from(VENUES))
    frames = draw(st.lists(st.sampled_from(trade_frames(name)), max_size=12))
    for _ in range(draw(st.integers(0, 2))):
        odd = draw(st.sampled_from(frames_of(name)))
        for _ in range(draw(st.integers(0, 2))):
            odd = draw(mutations(odd))
        frames.insert(draw(st.integers(0, len(frames))), odd)
    return name, frames


@given(case=batches())
@settings(max_examples=200, deadline=None)
def test_a_batch_gives_what_its_frames_give(case: tuple[str, list[bytes]], parse: Parse) -> None:
    name, frames = case
    venue = make(name)
    check_against_one_by_one(venue, frames, parse(venue, frames))


@pytest.mark.parametrize("name", VENUES)
def test_regular_frames_are_all_taken_at_once(name: str, parse: Parse) -> None:
    venue = make(name)
    frames = regular_frames(venue, parse) * 50
    for some in (frames, frames[:1], []):
        parsed = parse(venue, some)
        assert parsed.consumed == len(some)
        check_against_one_by_one(venue, some, parsed)


@pytest.mark.parametrize("name", VENUES)
def test_a_batch_stops_before_what_is_no_trade(name: str, parse: Parse) -> None:
    venue = make(name)
    regular = regular_frames(venue, parse) * 3
    for odd in [line.frame.encode() for line in read_recorded(name) if line.kind in FRAME_KINDS - {"trade"}]:
        parsed = parse(venue, [*regular, odd, *regular])
        assert parsed.consumed == len(regular)
        check_against_one_by_one(venue, regular, parsed)


@pytest.mark.parametrize(
    "pieces",
    [
        (b'{"x":[', b"]}"),
        (b'{"x":[{}', b"{}]}"),
        (b"", b"{}\n{}"),
        (b"{}\n{}", b""),
        (b'{"x":"', b'"}'),
    ],
)
@pytest.mark.parametrize("name", VENUES)
def test_frames_are_never_read_across_their_ends(
    name: str, pieces: tuple[bytes, bytes], parse: Parse
) -> None:
    venue = make(name)
    trade = trade_frames(name)[0]
    for frames in (pieces, [trade, *pieces], [pieces[0], trade, pieces[1]], [trade + pieces[1], pieces[0]]):
        parsed = parse(venue, list(frames))
        check_against_one_by_one(venue, frames, parsed)


@pytest.mark.parametrize("name", VENUES)
def test_the_adapter_uses_the_kernel_in_use(name: str, parse: Parse) -> None:
    venue = make(name)
    frames = regular_frames(venue, parse)
    parsed = venue.parse_frames(frames, RECEIVED_US)
    assert isinstance(parsed, ParsedFrames)
    check_against_one_by_one(venue, frames, parsed)


@pytest.mark.parametrize("name", VENUES)
def test_every_truncation_of_a_frame_is_left_to_the_caller(name: str, parse: Parse) -> None:
    venue = make(name)
    for trade in trade_frames(name):
        for length in range(len(trade)):
            assert parse(venue, [trade[:length], trade]).consumed == 0


RECORDED: Final = {
    "binance": ("binance-spot/btcusdt_20240808.gz", b" "),
    "coinbase": ("coinbase-exchange/btc-eth-usd-20260707.ndjson.gz", None),
    "finnhub": ("stocks/ibm-20131008.finnhub.jsonl.gz", None),
}


@pytest.mark.parametrize("name", [name for name in VENUES if name in RECORDED])
def test_recorded_frames_give_the_same_at_once(name: str, marketdata: Path, parse: Parse) -> None:
    path, mark = RECORDED[name]
    if not (marketdata / path).exists():
        pytest.skip(f"{marketdata / path} is not there")
    venue = make(name)
    with gzip.open(marketdata / path) as file:
        lines = [line.rstrip(b"\n") for line in islice(file, 3000)]
    frames = [line.partition(mark)[2] if mark else line for line in lines]
    position = taken = 0
    while position < len(frames):
        some = frames[position : position + 100]
        parsed = parse(venue, some)
        check_against_one_by_one(venue, some, parsed)
        taken += parsed.consumed
        position += parsed.consumed
        if parsed.consumed < len(some):
            try:
                one = venue.parse_frame(frames[position], RECEIVED_US)
            except PoisonError:
                one = ()
            assert not isinstance(one, tuple) or not one, "a regular trade was left to the caller"
            position += 1
    assert taken > 0.1 * len(frames)
