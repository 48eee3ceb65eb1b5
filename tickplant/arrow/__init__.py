"""Trades and candles as Arrow tables and Parquet files. Only this package and the archive import pyarrow."""

from importlib.util import find_spec

from tickplant.errors import FatalError


def require_pyarrow() -> None:
    """Make sure that pyarrow is installed.

    Raises:
        FatalError: it is not; the message says how to install it.
    """
    if find_spec("pyarrow") is None:
        raise FatalError(
            "Parquet and Arrow need pyarrow, which is not installed; run in tickplant's folder:"
            " .venv/bin/pip install -e '.[arrow]'"
        )
