"""Columns as the JSON that the API sends of trades: see `api.views.trades.TradeView`."""

from typing import TYPE_CHECKING, Final

from tickplant.times import format_time

if TYPE_CHECKING:
    from tickplant.columns import TradeColumns

_SIDE_TEXTS: Final = {"b": '"buy"', "s": '"sell"', "-": "null"}


def json_rows(columns: "TradeColumns") -> bytes:
    """Return a JSON array; see `TradeColumns.json_rows`."""
    ingest_us, ingest = -1, ""
    rows = []
    for trade_id, price, size, side, event_us, received_us in zip(
        columns.ids,
        columns.prices,
        columns.sizes,
        map(_SIDE_TEXTS.__getitem__, columns.sides),
        columns.event_times_us,
        columns.ingest_times_us,
        strict=True,
    ):
        if received_us != ingest_us:  # most trades share their read of the socket
            ingest_us, ingest = received_us, format_time(received_us)
        rows.append(
            f'{{"trade_id":{trade_id},"price":"{price}","size":"{size}","side":{side}'
            f',"event_time":"{format_time(event_us)}","ingest_time":"{ingest}"}}'
        )
    return f"[{','.join(rows)}]".encode()
