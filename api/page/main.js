// The page: puts its parts together.
import { applyTheme, onSystemTheme, themeOf } from "./theme.js";
import { byId, notify, setText } from "./dom.js";
import { ChartView } from "./chart_view.js";
import { csvName, csvOf } from "./csv.js";
import { AlertsPanel } from "./alerts_panel.js";
import { BotPanel } from "./bot_panel.js";
import { Events } from "./events.js";
import { Gaps } from "./gaps.js";
import { Head } from "./head.js";
import { prepareKeyDialog } from "./key_dialog.js";
import { Live } from "./live.js";
import { OverviewPanel } from "./overview_panel.js";
import { Precision } from "./decimals.js";
import { showSignals, Tabs } from "./tabs.js";
import { StatusBar } from "./status_bar.js";
import { SymbolDialog } from "./symbol_dialog.js";
import { Symbols } from "./symbols.js";
import { TapePanel } from "./tape_panel.js";
import { Toolbar } from "./toolbar.js";
import { get, openSocket, parseExact } from "./transport.js";
import { encodeSymbol, formatView, parseView } from "./url_state.js";

const COMPLETENESS_MS = 30_000;

let view = parseView(location.hash);
applyTheme(view.theme);

const live = new Live({ open: openSocket, parse: parseExact, onState: (state) => { if (state.state === "reconnecting") status.connections = []; status.show(state); } });
const symbols = new Symbols(get);
const precision = { of: new Precision(), symbol: "" };
const gaps = new Gaps();
const head = new Head();
const tape = new TapePanel();
const status = new StatusBar({ zone: () => view.zone, symbol: () => view.symbol, onStale: (stale) => { head.showStale(stale); chartView.setCurrent(stale === null); } });
const events = new Events(live, get, {
  onChange: () => { chartView.setEvents(events); alerts.takeFirings(events.firings); showSignals(events.signals, view.zone, precision.of.digits); },
  onFiring: ({ note, kind, price }) => { notify(`Alert: ${note || kind.replaceAll("_", " ")}${price === null ? "" : ` at ${price}`}`); alerts.refresh(); },
});
const chartView = new ChartView(live, get, {
  onPrices: learn, onLoaded: (start, end) => events.cover(start, end),
  onView: (to) => { view = { ...view, to }; writeAddress(); },
});
const alerts = new AlertsPanel({ price: () => head.price, onAlerts: (list) => chartView.setAlerts(list) });
const bot = new BotPanel((orders) => events.takeOrders(orders));
const overview = new OverviewPanel(live, readOverview, (symbol) => change({ symbol, to: null }));
const search = new SymbolDialog(() => symbols.names, (symbol) => change({ symbol, to: null }));
const tabs = new Tabs((tab) => change({ tab }));
const toolbar = new Toolbar({
  change, search: (typed) => search.open(typed), now: () => chartView.goToNow(), csv: downloadCsv,
  theme: () => change({ theme: themeOf(view.theme) === "dark" ? "light" : "dark" }),
  move: (bars, zoom) => chartView.move(bars, zoom), cursor: (step) => chartView.moveCursor(step),
}, () => view);

/** @type {(() => void)[]} */ let stops = [];

/** Learns how many decimal places the instrument's prices have. @param {(string|null)[]} prices */
function learn(prices) {
  const other = precision.symbol !== view.symbol;
  if (other) Object.assign(precision, { of: new Precision(), symbol: view.symbol });
  if (!precision.of.learn(prices) && !other) return;
  head.setDigits(precision.of.digits);
  chartView.setDigits(precision.of.digits);
  tape.digits = precision.of.digits;
  tape.draw();
}

/** Changes what is shown. @param {Partial<import("./url_state.js").View>} changed */
function change(changed) {
  const before = view;
  view = { ...view, ...changed };
  writeAddress(before.symbol !== null && (view.symbol !== before.symbol || view.interval !== before.interval));
  apply(before);
}

/** @param {boolean} [asNew] whether the browser's back button returns here */
function writeAddress(asNew = false) {
  const hash = formatView(view);
  if (hash && hash !== location.hash) history[asNew ? "pushState" : "replaceState"](null, "", hash);
}

/** Shows what differs from another view. @param {import("./url_state.js").View|null} before */
function apply(before) {
  toolbar.show(view);
  tabs.show(view.tab);
  if (view.theme !== before?.theme) { applyTheme(view.theme); chartView.setColors(); }
  if (view.zone !== before?.zone) {
    tape.zone = alerts.zone = bot.zone = view.zone;
    tape.draw(); alerts.draw(); bot.draw(); status.draw();
    showSignals(events.signals, view.zone, precision.of.digits);
  }
  chartView.setOptions(view);
  if (view.symbol === null) return;
  if (view.symbol !== before?.symbol) openSymbol(view.symbol);
  if (view.symbol !== before?.symbol || view.interval !== before?.interval) chartView.open(view.symbol, view.interval, view.to);
}

/** @param {string} symbol */
function openSymbol(symbol) {
  for (const stop of stops) stop();
  const quote = symbols.quoteOf(symbol);
  gaps.list = [];
  overview.selected = symbol;
  head.open(symbol, quote);
  tape.open();
  status.open();
  learn([]);
  stops = [
    live.watch(`price:${symbol}`, ({ type, data }) => { if (data) { learn([data.price]); status.tookPrice(data, type === "snapshot"); head.takePrice(data); chartView.setPrice(data.price); } }),
    live.watch(`stats:${symbol}`, ({ data }) => { if (data) { learn([data.last, data.high, data.low]); head.takeDay(data); } }),
    live.watch(`trades:${symbol}`, ({ type, data }) => { learn(data.map((/** @type {any} */ trade) => trade.price)); tape.take(data, type === "snapshot"); }),
    live.watch(`gaps:${symbol}`, ({ data }) => { gaps.take(data); head.takeGaps(gaps); chartView.setGaps(gaps.list); }),
    live.watch(`bot:${symbol}`, ({ data }) => bot.take(data)),
  ];
  events.open(symbol);
  alerts.open(symbol);
  bot.open(symbol, quote);
  overview.draw();
  readCompleteness();
}

async function readOverview() {
  const found = await get("overview");
  symbols.learn(found.symbols);
  return found;
}

/** @param {string} symbol */
const tellUnknown = (symbol) => notify(`The address names a symbol that the plant doesn't have: ${symbol.slice(0, 60)}`, "error");

async function readCompleteness() {
  const symbol = view.symbol;
  if (symbol === null || document.hidden) return;
  try {
    const { days } = await get(`completeness/${encodeSymbol(symbol)}`);
    if (symbol === view.symbol) head.takeCompleteness(days[0] ?? null);
  } catch { /* the banner says why */ }
}

function downloadCsv() {
  const { candles, averages } = chartView.shown();
  if (!candles.length || view.symbol === null) return notify("There are no candles in view.");
  const url = URL.createObjectURL(new Blob([csvOf(candles, averages)], { type: "text/csv" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: csvName(view.symbol, view.interval, candles) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function followAddress() {
  const before = view, wanted = parseView(location.hash, { ...view, to: null });
  const known = symbols.names.includes(wanted.symbol ?? "");
  if (!known && wanted.symbol !== null) tellUnknown(wanted.symbol);
  view = known ? wanted : { ...wanted, symbol: view.symbol, interval: view.interval };
  writeAddress();
  apply(before);
}

async function start() {
  prepareKeyDialog();
  const wanted = view;
  view = { ...wanted, symbol: null }; // until it is known to exist
  apply(null);
  chartView.load();
  live.watch("connections", ({ data }) => { status.connections = data; status.draw(); });
  live.connect();
  await symbols.load((message) => { setText(byId("chart-message"), message); status.noSymbols(message); });
  status.noSymbols(null);
  symbols.watchSource((source) => status.showSource(source));
  overview.refresh().then(() => {
    if (view.symbol !== null) head.setQuote(bot.quote = symbols.quoteOf(view.symbol));
  });
  const symbol = wanted.symbol !== null && symbols.names.includes(wanted.symbol) ? wanted.symbol : symbols.preferred;
  if (wanted.symbol !== null && symbol !== wanted.symbol) tellUnknown(wanted.symbol);
  const before = view;
  view = { ...view, symbol, interval: symbol === wanted.symbol ? view.interval : "1m" };
  writeAddress();
  apply(before);
  addEventListener("hashchange", followAddress);
  addEventListener("popstate", followAddress);
  setInterval(readCompleteness, COMPLETENESS_MS);
  onSystemTheme(() => { applyTheme(view.theme); chartView.setColors(); });
}

start();
