"""All settings with their types and defaults.

Each field is the variable `TICKPLANT_<FIELD>` in upper case; `.env.example` documents them.
`tickplant.settings_reader` reads them.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from tickplant.averages import KINDS, MAX_LENGTH, AnomalyThresholds, AverageSpec, AverageSpecs
from tickplant.bot import Amount, Rules, parse_number
from tickplant.intervals import INTERVALS
from tickplant.logs import LogFormat, passwords_in
from tickplant.market import SymbolId
from tickplant.notifications import (
    ALERT_TEMPLATE,
    SIGNAL_TEMPLATE,
    NotificationSettings,
    SignalRoute,
    Target,
    parse_alert_template,
    parse_routes,
    parse_signal_template,
    parse_targets,
    secrets_in,
)
from tickplant.setting_parsers import (
    BROKERS,
    DATABASE_SCHEMES,
    HOST_PATTERNS,
    ORIGINS,
    PROXIES,
    SYMBOLS,
    WEBHOOK_RULES,
    Parser,
    address,
    list_of,
    list_of_integers,
    parse_archive,
    parse_basis_points,
    parse_intervals,
    parse_path,
    parse_redis_url,
    split_items,
)
from tickplant.sharing import Shard
from tickplant.webhooks import WebhookSettings

PREFIX: Final = "TICKPLANT_"

SECRET_SUFFIXES: Final = ("_key", "_password", "_secret")
"""Endings of the names of secret fields; addresses can contain passwords, too."""

_TOKEN_CHARS: Final = 8
"""The shortest part of a notification target's URL that is hidden in log lines."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
RoleName = Literal["averages", "signals", "alerts", "bot"]
AverageLength = Annotated[int, Meta(ge=1, le=MAX_LENGTH)]
"""In candles."""
Lengths = Annotated[tuple[AverageLength, ...], list_of_integers(AverageLength, least=1, most=MAX_LENGTH)]
Roles = Annotated[tuple[RoleName, ...], list_of(get_args(RoleName))]
Names = Annotated[tuple[str, ...], Parser(split_items)]
FilePath = Annotated[Path | None, Parser(parse_path)]
RedisAddress = Annotated[str | None, Parser(parse_redis_url)]
DatabaseAddress = Annotated[str | None, address(*DATABASE_SCHEMES)]
WebsocketAddress = Annotated[str, address("ws://", "wss://")]
HttpAddress = Annotated[str, address("http://", "https://")]
MoneyOrShare = Annotated[Amount, Parser(Amount.parse)]
BasisPoints = Annotated[Decimal, Parser(parse_basis_points)]

_ANOMALY: Final = AnomalyThresholds()
_RULES: Final = Rules()


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting with its default."""

    symbols: Annotated[tuple[SymbolId, ...], SYMBOLS] = (
        SymbolId("binance", "BTCUSDT"),
        SymbolId("binance", "ETHUSDT"),
        SymbolId("binance", "PEPEUSDT"),
    )

    redis_url: RedisAddress = None
    """None: an embedded server."""
    redis_wait_replicas: Annotated[int, Meta(ge=0, le=100)] = 0
    """How many replicas of Redis must have trades before they count as received."""
    database_url: DatabaseAddress = None
    """None: an embedded server."""
    database_read_url: DatabaseAddress = None
    """The database from which the API reads history; None: `database_url`."""
    database_service_password: str | None = None
    """Password of the login that may read and write rows, created by `migrate`; None: no such login."""
    database_grafana_password: str | None = None
    """Password of the login that may only read, created by `migrate`; None: no such login."""
    data: FilePath = None
    """The embedded servers' data; None: the platform's default."""
    embedded_servers: Literal["auto", "machine", "wheels"] = "auto"
    timescaledb: Literal["auto", "on", "off"] = "auto"
    partitions: Annotated[int, Meta(ge=1, le=1024)] = 4
    keep_trades_days: Days = 30
    """How long trades are stored, by the venues' time; 0: forever."""
    keep_candles_days: Days = 0
    """How long candles and what is computed from them are stored; 0: forever."""
    keep_records_days: Days = 90
    """How long the records of alerts and gaps are stored; 0: forever."""
    archive_url: Annotated[str | None, Parser(parse_archive)] = None
    """The archive of days as Parquet files: a folder, or file://, s3:// or gs://; None: none."""
    archive_after_days: Annotated[int, Meta(ge=1, le=36_500)] = 2
    """How many days after its end a day is archived."""

    binance_ws_url: WebsocketAddress = "wss://stream.binance.com:9443"
    binance_rest_url: HttpAddress = "https://api.binance.com"
    binance_archive_url: HttpAddress = "https://data.binance.vision"
    coinbase_ws_url: WebsocketAddress = "wss://ws-feed.exchange.coinbase.com"
    coinbase_rest_url: HttpAddress = "https://api.exchange.coinbase.com"
    finnhub_ws_url: WebsocketAddress = "wss://ws.finnhub.io"
    finnhub_api_key: str | None = None
    kraken_ws_url: WebsocketAddress = "wss://ws.kraken.com"
    kraken_rest_url: HttpAddress = "https://api.kraken.com"

    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Worker processes under `up`."""
    commit_interval_ms: Positive = 250
    commit_trades: Positive = 20_000
    lease_s: Annotated[float, Meta(ge=0.5, le=3600)] = 5.0
    stream_keep_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    """How long Redis keeps committed entries, in case the database loses its last commits."""
    stream_budget_trades: Positive = 1_000_000
    """Uncommitted trades a partition may hold in Redis before ingest stops reading its sockets."""

    ingest_shard: Annotated[Shard | None, Parser(Shard.parse)] = None
    """Which of the symbols an ingest process receives; None: all."""
    ingest_buffer_mb: Positive = 256
    """The most received frames that an ingest process buffers, as while Redis is unavailable."""

    roles: Roles = get_args(RoleName)
    """What workers compute from trades besides candles."""
    gap_wait_s: Annotated[float, Meta(ge=0, le=86_400)] = 10.0
    """How long signals, alerts and the bot wait for a missing trade before they continue without it."""
    sma: Lengths = (7, 25, 99)
    ema: Lengths = (12, 26)
    wma: Lengths = ()
    average_intervals: Annotated[tuple[str, ...], Parser(parse_intervals)] = tuple(INTERVALS)
    """Of the candles that are averaged."""
    statistics_returns: Annotated[int, Meta(ge=2, le=1_000)] = 60
    """The most one-minute returns that statistics are computed from."""
    anomaly_zscore: Annotated[float, Meta(gt=0)] = _ANOMALY.zscore
    """Standard deviations from the mean at which a return is an anomaly."""
    anomaly_iqr: Annotated[float, Meta(gt=0)] = _ANOMALY.iqr
    """Interquartile ranges beyond the quartiles at which a return is an anomaly."""
    anomaly_points: Annotated[int, Meta(ge=_ANOMALY.points)] = _ANOMALY.points
    """The number of earlier returns required for an anomaly."""

    strategies: Names = ("dip", "cross", "hop", "anomaly")
    """Names of included ones or `package.module:Class`, perhaps with parameters: `dip?share=0.98`."""

    bot_strategies: Names = _RULES.strategies
    """Names of the strategies whose signals the paper bot follows."""
    bot_cash: Annotated[Decimal, Parser(parse_number)] = _RULES.cash
    """The initial cash of a paper account, in the quote currency of its symbol."""
    bot_order: MoneyOrShare = _RULES.order
    """How much a buy spends: in quote currency, or as a share of the account's equity."""
    bot_fee_bps: BasisPoints = _RULES.fee_bps
    bot_slippage_bps: BasisPoints = _RULES.slippage_bps
    bot_max_position: MoneyOrShare = _RULES.max_position
    """The most that a position may be worth after a buy: in quote currency, or as a share of equity."""
    bot_max_daily_loss: MoneyOrShare = _RULES.max_daily_loss
    """The most that may be lost in a UTC day: in quote currency, or as a share of the equity at its start."""

    kafka_bootstrap: Annotated[str | None, BROKERS] = None
    """Kafka brokers, host:port and separated by commas; None: no mirror."""
    kafka_properties: FilePath = None
    """A file with properties of librdkafka, such as those of TLS and passwords."""
    kafka_prefix: str = "tickplant."
    """The prefix of the topics' names."""
    kafka_format: Literal["json", "protobuf"] = "json"
    kafka_partitions: Positive = 4
    """The number of partitions of topics that the mirror creates."""
    kafka_budget_mb: Positive = 64
    """How much of a partition's stream Redis retains for a mirror that lags."""

    api_host: str = "127.0.0.1"
    api_port: Port = 8080
    api_hosts: Annotated[tuple[str, ...], HOST_PATTERNS] = ()
    """Host names that the API answers to besides loopback names and IP addresses; `*` for any."""
    api_origins: Annotated[tuple[str, ...], ORIGINS] = ()
    """Origins besides the API's own whose pages may open websockets and read answers; `*` for any."""
    api_tls_cert: FilePath = None
    """The certificate chain in PEM format; None: no TLS."""
    api_tls_key: FilePath = None
    """Its key; None: in the same file."""
    api_max_clients: Positive = 10_000
    """The most websockets and streams of events of one API process."""
    api_max_clients_per_address: Positive = 200
    """The most of one address; those of this machine's programs are not limited."""
    api_rate_requests: Annotated[int, Meta(ge=0, le=1_000_000)] = 6000
    """How many requests a key, or an address without one, may send in a window; 0: any number."""
    api_rate_window_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    api_proxies: Annotated[tuple[str, ...], PROXIES] = ()
    """Addresses and networks whose X-Forwarded-For and X-Forwarded-Proto count."""
    public: Literal["read", "none"] | None = None
    """What the API allows without a key; None: everything on loopback, nothing on other addresses."""

    grpc_host: str = "127.0.0.1"
    """The address on which `tickplant grpc` listens."""
    grpc_port: Port = 50051

    alerts_per_user: Positive = 1000
    """The most that one user may have, not counting deleted ones."""
    webhook_secret: Annotated[str, Meta(min_length=16)] | None = None
    """The key that signs webhooks; None: alerts can't have webhooks."""
    webhook_allow: Annotated[tuple[str, ...], WEBHOOK_RULES] = ()
    """Hosts, addresses and networks that are not public, but that webhooks may be sent to."""
    webhook_attempts: Positive = 12
    """The most attempts before a delivery is abandoned."""
    webhook_max_age_s: Annotated[float, Meta(gt=0)] = 86_400
    """The age at which a delivery is abandoned."""

    notify: Annotated[tuple[Target, ...], Parser(parse_targets)] = ()
    """Where notifications go: Apprise URLs with tags, from which alerts choose."""
    notify_signals: Annotated[tuple[SignalRoute, ...], Parser(parse_routes)] = ()
    """The tags that strategies' signals go to."""
    notify_alert_text: Annotated[str, Parser(parse_alert_template)] = ALERT_TEMPLATE
    notify_signal_text: Annotated[str, Parser(parse_signal_template)] = SIGNAL_TEMPLATE

    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0
    """The port at which services other than the API serve /metrics; 0: any free port under `up`, none
    otherwise."""

    kernel: Literal["auto", "python", "compiled"] = "auto"
    """What handles trades; see `tickplant.kernel`, which reads it from the environment."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: LogFormat = "text"

    @property
    def secrets(self) -> list[str]:
        """All values that must not be shown."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        addresses = [value for name, value in values.items() if name.endswith("_url")]
        hidden = [
            value
            for name, value in values.items()
            if isinstance(value, str) and value and name.endswith(SECRET_SUFFIXES)
        ]
        targets = [target.url for target in self.notify]
        # Parts without a digit could be any word; where a URL's parts are used, all are hidden.
        parts = [
            part
            for url in targets
            for part in secrets_in(url)
            if len(part) >= _TOKEN_CHARS and any(map(str.isdigit, part))
        ]
        return [*hidden, *passwords_in([*addresses, *targets]), *targets, *parts]

    @property
    def webhooks(self) -> WebhookSettings:
        """How webhooks are delivered, and where to."""
        return WebhookSettings(
            secret=self.webhook_secret,
            allowed=self.webhook_allow,
            attempts=self.webhook_attempts,
            max_age_s=self.webhook_max_age_s,
        )

    @property
    def notifications(self) -> NotificationSettings:
        """Where notifications go to, and how; attempts as of webhooks."""
        return NotificationSettings(
            targets=self.notify,
            signals=self.notify_signals,
            alert_template=self.notify_alert_text,
            signal_template=self.notify_signal_text,
            attempts=self.webhook_attempts,
            max_age_s=self.webhook_max_age_s,
        )

    @property
    def average_specs(self) -> AverageSpecs:
        """What is computed from closed candles."""
        averages = [AverageSpec(kind, length) for kind in KINDS for length in getattr(self, kind)]
        return AverageSpecs(tuple(averages), self.average_intervals, self.statistics_returns)

    @property
    def bot_rules(self) -> Rules:
        """How the paper bot trades."""
        return Rules(
            strategies=self.bot_strategies,
            cash=self.bot_cash,
            order=self.bot_order,
            fee_bps=self.bot_fee_bps,
            slippage_bps=self.bot_slippage_bps,
            max_position=self.bot_max_position,
            max_daily_loss=self.bot_max_daily_loss,
        )


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()
