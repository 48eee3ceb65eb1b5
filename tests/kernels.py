"""Both kernels, where the compiled one was built."""

from collections.abc import Sequence

from tickplant import kernel, wire_columns
from tickplant.columns import TradeColumns, from_trades
from tickplant.market import Trade


def kernels_of(trades: Sequence[Trade]) -> list[TradeColumns]:
    """Return trades of one symbol as columns of each kernel that there is."""
    columns = from_trades(trades)
    (decoded,) = kernel.decode_columns(wire_columns.encode_columns([columns]))
    return [columns, decoded]
