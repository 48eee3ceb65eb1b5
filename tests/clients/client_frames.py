"""Frames of the client: ADDRESS SYMBOL SITE_PACKAGES; prints what pandas and polars hold.

Runs in the development environment; pandas and polars come from the folder SITE_PACKAGES.
"""

import asyncio
import json
import sys

from tickplant.client import Plant


async def main(address: str, symbol: str) -> None:
    async with Plant(address) as plant:
        series = plant.candles(symbol, "1m")
        pandas, floats = await series.to_pandas(), await series.to_pandas(exact=False)
        polars, float_polars = await series.to_polars(), await series.to_polars(exact=False)
        trades = await plant.trades(symbol).to_polars()
        empty = await series.to_polars(end="2001-01-01T00:00:00Z")
    print(
        json.dumps(
            {
                "pandas": [str(number) for number in pandas["quote_volume"]],
                "polars": [str(number) for number in polars["quote_volume"]],
                "floats": [list(floats["quote_volume"]), list(float_polars["quote_volume"])],
                "types": {name: str(kind) for name, kind in pandas.dtypes.items()},
                "polars_types": {name: str(kind) for name, kind in polars.schema.items()},
                "sides": list(trades["side"]),
                "empty": [len(empty), empty.columns == polars.columns],
            }
        )
    )


sys.path.append(sys.argv[3])
asyncio.run(main(*sys.argv[1:3]))
