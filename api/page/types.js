// The shapes of the API's answers, as far as the page uses them. Decimals are strings with all their digits.

/**
 * @typedef {Object} Candle
 * @property {string} open_time @property {string} close_time
 * @property {string} open @property {string} high @property {string} low @property {string} close
 * @property {string} volume @property {string} quote_volume
 * @property {string|null} taker_buy_volume @property {string|null} taker_buy_quote_volume
 * @property {string|null} vwap @property {number} trade_count
 * @property {Id|null} first_trade_id @property {Id|null} last_trade_id
 * @property {boolean} closed @property {boolean|null} complete @property {number} revision
 */

/** @typedef {number|string} Id An integer; a string where a number would not be exact. */

/**
 * @typedef {Object} Trade
 * @property {Id} trade_id @property {string} price @property {string} size
 * @property {"buy"|"sell"|null} side @property {string} event_time @property {string} ingest_time
 */

/**
 * @typedef {Object} Gap
 * @property {string} symbol @property {Id} first_id @property {Id} last_id @property {number} missing
 * @property {"open"|"backfilling"|"unrecoverable"|"healed"} state
 * @property {string|null} reason @property {string} after_time @property {string} detected_at
 */

/**
 * @typedef {Object} Signal
 * @property {string} strategy @property {string} symbol @property {number} number @property {"buy"|"sell"} side
 * @property {number} strength @property {string} price @property {Id} trade_id @property {string} event_time
 */

/**
 * @typedef {Object} Firing
 * @property {string} alert_id @property {number} number @property {string} symbol @property {string} kind
 * @property {string} event_time @property {string|null} price @property {string|null} value
 * @property {string|null} threshold @property {string} note
 */

/**
 * @typedef {Object} Alert
 * @property {string} alert_id @property {string} symbol @property {string} kind @property {string|null} price
 * @property {string|null} percent @property {number|null} window_s @property {number|null} silence_s
 * @property {boolean} repeat @property {number} cooldown_s @property {string} hysteresis @property {string[]} notify @property {string} note
 * @property {boolean} active @property {"pending"|"active"|"fired"|"inactive"} state @property {number} firings
 */

/**
 * @typedef {Object} Order
 * @property {string} symbol @property {number} number @property {string} strategy @property {"buy"|"sell"} side
 * @property {string} event_time @property {"open"|"filled"|"refused"} state @property {string|null} reason
 * @property {{event_time: string, price: string, size: string, profit: string}|null} fill
 */

/**
 * @typedef {Object} Day24h
 * @property {string} symbol @property {string} until @property {string} covers_from @property {number} covers_s
 * @property {boolean} partial @property {string|null} open @property {string|null} last @property {string|null} high
 * @property {string|null} low @property {string|null} change @property {string|null} percent
 * @property {string} volume @property {string} quote_volume @property {number} trade_count
 */

/**
 * @typedef {Object} Connection
 * @property {string} venue @property {string[]} symbols @property {"connecting"|"live"|"refused"|"down"} state
 * @property {string} since @property {string|null} reason
 * @property {{symbol: string, state: string, reason: string}[]} problems
 */

/** @typedef {{time: number, candle: Candle|null}} Bar A place on the time axis; without a candle if nothing was traded. */

export {};
