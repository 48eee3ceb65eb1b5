"""The source of a plant's trades. A plant holds trades of one source, fixed by its first trades.

A sandbox names its source in a header of every response, websocket handshakes included; a venue sends no
such header. Ingest records the source in Redis before it writes a trade, workers in the database before they
store one, and both stop if another source is recorded (docs/adr/0018-one-data-source-per-plant.md).
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from tickplant.errors import FatalError, MixedSourcesError

DataSource = Literal["live", "replay", "synthetic"]
"""A venue's live stream; captures of one, played again; generated trades."""

SOURCE_HEADER: Final = "X-Tickplant-Source"
"""The HTTP header with a sandbox's source of trades."""

SOURCE_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "live": "trades of a venue's live stream",
    "replay": "replayed trades",
    "synthetic": "synthetic trades",
}


def source_of(headers: Mapping[str, str]) -> DataSource:
    """Return the source of a venue's trades, from the headers of a response.

    Raises:
        FatalError: it names no source that is known.
    """
    text = headers.get(SOURCE_HEADER, "live")
    for source in get_args(DataSource):
        if text == source:
            found: DataSource = source
            return found
    raise FatalError(
        f"the venue's answer has the header {SOURCE_HEADER}: {text[:40]!r}, which this version does not know:"
        f" expected one of {', '.join(get_args(DataSource))}, or no such header"
    )


def require_same(held: str | None, coming: str, *, where: str) -> None:
    """Refuse to mix.

    Args:
        held: the source of the existing trades; None: there are none.
        coming: what would be added.
        where: the place, as the start of a message: "Redis".

    Raises:
        MixedSourcesError: they differ.
    """
    if held is not None and held != coming:
        theirs, ours = (SOURCE_DESCRIPTIONS.get(source, source) for source in (held, coming))
        raise MixedSourcesError(
            f"{where} holds {theirs}, which must not be mixed with {ours}:"
            " name other servers with TICKPLANT_REDIS_URL and TICKPLANT_DATABASE_URL, or another folder with"
            " --data, or empty both servers if nobody needs what they hold"
        )
