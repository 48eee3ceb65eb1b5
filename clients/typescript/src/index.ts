/** Client of tickplant: live candles and trades that survive reconnecting, and history. */

export { Plant, type LiveOptions, type PlantOptions } from "./plant.js";
export { PlantError, TemporaryError } from "./errors.js";
export { Series, type CandleOptions } from "./series.js";
export type { Candle, Id, Message, Side, Since, Trade } from "./messages.js";
