"""What an archive says of itself: `archive.json`, the index of a symbol, and the manifest of a day."""

import hashlib
from datetime import date
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tickplant.errors import FatalError
from tickplant.market import SymbolId

FORMAT: Final = 1
"""Of archives. A newer one is refused."""
ROOT_FILE: Final = "archive.json"
INDEX: Final = "index.json"
SUPERSEDED: Final = "superseded"
FILES: Final = ("trades", "candles")

StructT = TypeVar("StructT", bound="_Document")


class _Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def encode(self) -> bytes:
        """Return the content of its file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class ArchiveRoot(_Document, frozen=True, kw_only=True):
    """`archive.json`."""

    archive_id: str
    format: int = FORMAT
    source: str
    """Of all trades: live, replay or synthetic."""


class DataFile(_Document, frozen=True, kw_only=True):
    """A Parquet file of a day."""

    name: str
    """Relative to the symbol's folder."""
    rows: int
    bytes: int
    sha256: str


class AuditOfDay(_Document, frozen=True, kw_only=True):
    """The result of recomputing the candles from the trades."""

    passed: bool
    differences: int
    """Values of candles that differ from those recomputed from the trades."""
    duplicates: int
    """Ids that more than one trade has."""


class VenueComparison(_Document, frozen=True, kw_only=True):
    """How the candles of a minute compare with the venue's own."""

    matched: int
    differing: int
    uncovered: int
    """Minutes in which the venue had trades and we have no candle."""
    incomplete: int
    """Minutes that are not proven to be complete, matched or not."""


class Manifest(_Document, frozen=True, kw_only=True):
    """What is known of a symbol's day."""

    format: int = FORMAT
    archive_id: str
    venue: str
    symbol: str
    day: date
    """UTC."""
    revision: int
    """1, and one more each time that the day's trades have changed since."""
    former_sha256: str | None
    """Of the manifest of the revision before."""
    source: str
    """Where the trades come from: live, replay or synthetic."""
    numbered: bool
    """Whether the ids are the venue's and consecutive; otherwise they prove nothing."""
    trades: DataFile
    candles: DataFile
    first_trade_id: int | None
    """The smallest id."""
    last_trade_id: int | None
    """The greatest id."""
    missing: list[tuple[int, int]]
    """Ids not stored, from the first up to the next stored one after the last; inclusive, ascending."""
    void: list[tuple[int, int]]
    """Ids that the venue never used, likewise."""
    removed: int
    """Trades that the day's candle counts, but that had been removed by age before the day was archived."""
    complete: bool | None
    """Whether the day is proven to hold all trades; null where the venue has no trade ids."""
    minutes: int
    """Minutes with trades."""
    incomplete_minutes: int
    """Those of them that are not proven to be complete."""
    state: str
    """The day's candle: trades, first and last id by time, open, high, low, close, volume, quote volume."""
    audit: AuditOfDay | None
    """Null where trades had been removed."""
    comparison: VenueComparison | None
    """Null where the venue's candles were not to be had; `comparison_note` has the reason."""
    comparison_note: str | None
    archived_at: str
    """When it was written, by our clock."""

    @property
    def symbol_id(self) -> SymbolId:
        """Of the day."""
        return SymbolId(self.venue, self.symbol)

    @property
    def files(self) -> tuple[DataFile, DataFile]:
        """Both data files."""
        return self.trades, self.candles


class IndexEntry(_Document, frozen=True, kw_only=True):
    """A day in the index."""

    revision: int
    manifest_sha256: str


class Index(_Document, frozen=True, kw_only=True):
    """`index.json` of a symbol."""

    format: int = FORMAT
    archive_id: str
    venue: str
    symbol: str
    days: dict[str, IndexEntry]
    """By day, ascending."""

    @property
    def symbol_id(self) -> SymbolId:
        """Whose index it is."""
        return SymbolId(self.venue, self.symbol)

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{symbol_folder(self.symbol_id)}/{INDEX}"


def symbol_folder(symbol: SymbolId) -> str:
    """Return the folder of a symbol, relative to the archive."""
    return f"{quote(symbol.venue, safe='')}/{quote(symbol.symbol, safe='')}"


def data_name(what: str, day: date | str, revision: int) -> str:
    """Return the name of a data file, relative to the symbol's folder."""
    return f"{what}/{day}.r{revision}.parquet"


def manifest_name(day: date | str, revision: int) -> str:
    """Return the name of a manifest, relative to the symbol's folder."""
    return f"manifests/{day}.r{revision}.json"


def decode(content: bytes, kind: type[StructT], where: str) -> StructT:
    """Decode a document.

    Raises:
        FatalError: it is damaged, or of a newer form.
    """
    try:
        version: Any = msgspec.json.decode(content)
        if (
            isinstance(version, dict)
            and isinstance(version.get("format"), int)
            and version["format"] > FORMAT
        ):
            raise FatalError(f"{where} is of form {version['format']}: a newer tickplant wrote it; update")
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FatalError(f"{where} is damaged: {error}") from error


def sha256(content: bytes) -> str:
    """Return the hash of a document, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
