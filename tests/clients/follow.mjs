// Follows trades and closed candles until the last ones: MODULE ADDRESS SYMBOL CURSOR LAST_SIZE
const [module, address, symbol, since, lastSize] = process.argv.slice(2);
const { Plant } = await import(module);
const plant = new Plant(address);

async function trades() {
  const found = [];
  for await (const trade of plant.trades(symbol, { since })) {
    found.push(trade.trade_id);
    if (trade.size === lastSize) return found;
  }
}

async function candles() {
  const found = {};
  for await (const candle of plant.candles(symbol, "1m", { since, closed: true })) {
    found[candle.open_time] = candle;
    if (candle.complete && Number(candle.volume) > Number(lastSize)) return found;
  }
}

const [ids, closed] = await Promise.all([trades(), candles()]);
console.log(JSON.stringify({ trades: ids, candles: closed }));
