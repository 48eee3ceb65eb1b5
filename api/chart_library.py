"""Finds the page's chart library, TradingView's Lightweight Charts, in an installed package."""

from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from tickplant.errors import TickplantError

PACKAGE: Final = "lwcharts"
VERSION: Final = "0.3.0"
SHA256: Final = "c0992580867c4912cc9385b3c2728315bcc1a76c7f1087dca908430fccdf31d7"
"""Of `lightweight-charts.standalone.production.js` 5.2.0, as npm publishes it."""

_FILE: Final = "lwcharts/vendor/lightweight-charts.standalone.production.js"
_INSTALL: Final = f"run `make setup`, or `pip install --no-deps {PACKAGE}=={VERSION}`, and restart the API"


class ChartLibraryError(TickplantError):
    """The chart library is not installed, or it is another version."""


@cache
def read_chart_library() -> bytes:
    """Return the library, a script.

    The package is never imported: its Python code needs pandas.

    Raises:
        ChartLibraryError: the file is missing, or its hash differs.
    """
    try:
        path = Path(str(distribution(PACKAGE).locate_file(_FILE)))
        content = path.read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise ChartLibraryError(
            f"the chart library is missing: the Python package {PACKAGE} is not installed; {_INSTALL}"
        ) from error
    found = sha256(content).hexdigest()
    if found != SHA256:
        raise ChartLibraryError(
            f"{path} is not Lightweight Charts 5.2.0: its SHA-256 is {found}, not {SHA256}; {_INSTALL}"
        )
    return content
