"""The recorded frames of venues, and random changes of them."""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from ingest.venues import make_adapter
from ingest.venues.base import Closing, Heartbeat, Notice, Refused, Subscribed, VenueAdapter
from tickplant.errors import FatalError

KEY: Final = "key-that-must-not-show"
FRAMES: Final = Path(__file__).parent / "contract" / "frames"
RECEIVED_US: Final = 7

NOTICES: Final[dict[str, type[Notice]]] = {
    "heartbeat": Heartbeat,
    "acknowledgement": Subscribed,
    "refusal": Refused,
    "closing": Closing,
}
FRAME_KINDS: Final = {"trade", "partial", *NOTICES, "other", "broken"}
HISTORY_KINDS: Final = {"history", "history with a bad row", "broken history", "busy history"}


class Recorded(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a recorded file."""

    kind: str
    frame: str
    gives: Any
    symbol: str = ""


@cache
def make(name: str) -> VenueAdapter:
    """Make a venue, with a key where it needs one."""
    try:
        return make_adapter(name)
    except FatalError:
        return make_adapter(name, api_key=KEY)


@cache
def read_recorded(name: str) -> list[Recorded]:
    lines = (FRAMES / f"{name}.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Recorded) for line in lines]


json_values = st.recursive(
    st.sampled_from(
        [
            2**63 - 1,
            2**64,
            1e300,
            "1e-7",
            "NaN",
            "",
            "\0",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59.9999999Z",
            "9999-12-31T23:59:59-23:59",
        ]
    )
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutations(draw: st.DrawFn, frame: bytes) -> bytes:
    places: list[tuple[Any, Any]] = []
    if draw(st.booleans()):
        with suppress(ValueError, RecursionError):
            places += walk(message := json.loads(frame))
    if places:
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(json_values)
        else:
            del holder[key]
        return json.dumps(message).encode()
    start = draw(st.integers(0, len(frame)))
    end = draw(st.integers(start, min(len(frame), start + 8)))
    return frame[:start] + draw(st.binary(max_size=4)) + frame[end:]


def walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a JSON value that can be changed or deleted."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from walk(inner)
