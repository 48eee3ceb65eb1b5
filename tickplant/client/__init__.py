"""A client of the API for programs: live candles and trades that survive reconnecting, and history.

```python
async with Plant("http://127.0.0.1:8080") as plant:
    async for candle in plant.candles("binance:BTCUSDT", "1m"):
        print(candle.open_time, candle.close)
```
"""

from tickplant.client.errors import PlantError, TemporaryError
from tickplant.client.messages import Candle, Message, Trade
from tickplant.client.plant import Plant
from tickplant.client.series import Series

__all__ = ["Candle", "Message", "Plant", "PlantError", "Series", "TemporaryError", "Trade"]
