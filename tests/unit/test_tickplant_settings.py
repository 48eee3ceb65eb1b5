"""Settings: what is read, what is refused, and that .env.example documents all of them."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from dotenv import dotenv_values

from ingest.venues import VENUES
from tickplant import settings_reader
from tickplant.cli.roles import role_settings
from tickplant.errors import SettingsError
from tickplant.intervals import INTERVALS
from tickplant.market import SymbolId
from tickplant.settings import Settings, variable
from tickplant.settings_reader import read_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
NOTHING = Path("/dev/null")


def test_the_example_names_every_setting_and_no_other() -> None:
    fields = {variable(field.name) for field in msgspec.structs.fields(Settings)}
    assert set(dotenv_values(EXAMPLE)) == fields


def test_the_example_holds_the_defaults() -> None:
    assert read_settings({}, EXAMPLE) == Settings()


def test_each_setting_of_the_example_is_explained() -> None:
    blocks = EXAMPLE.read_text(encoding="utf-8").split("\n\n")
    bare = [block for block in blocks if "\nTICKPLANT_" in f"\n{block}" and not block.startswith("# ")]
    assert bare == []


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("TICKPLANT_WORKERS=2\nTICKPLANT_PARTITIONS=16\n", encoding="utf-8")
    settings = read_settings({"TICKPLANT_WORKERS": "3"}, dotenv)
    assert (settings.workers, settings.partitions) == (3, 16)


def test_the_kernel_is_chosen_in_the_environment_only(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("TICKPLANT_KERNEL=python\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="set it in the environment"):
        read_settings({}, dotenv)
    assert read_settings({"TICKPLANT_KERNEL": "compiled"}, dotenv).kernel == "compiled"


def test_symbols_are_separated_by_spaces_or_commas_and_named_once() -> None:
    text = "binance:BTCUSDT, Binance:ETHUSDT binance:BTCUSDT"
    symbols = read_settings({"TICKPLANT_SYMBOLS": text}, NOTHING).symbols
    assert symbols == (SymbolId("binance", "BTCUSDT"), SymbolId("binance", "ETHUSDT"))


def test_every_wrong_symbol_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"TICKPLANT_SYMBOLS": "BTCUSDT binance:ETHUSDT kraken: :PEPEUSDT"}, NOTHING)
    (problem,) = caught.value.problems
    assert problem.startswith(
        "TICKPLANT_SYMBOLS: 'BTCUSDT', 'kraken:', ':PEPEUSDT' are invalid; expected venue:SYMBOL,"
    )


def test_an_empty_variable_is_the_default() -> None:
    assert read_settings({"TICKPLANT_REDIS_URL": "", "TICKPLANT_WORKERS": " "}, NOTHING) == Settings()


def test_all_wrong_settings_are_named_at_once() -> None:
    wrong = {
        "TICKPLANT_WORKERS": "0",
        "TICKPLANT_SYMBOLS": "BTCUSDT",
        "TICKPLANT_LOG_LEVEL": "loud",
        "TICKPLANT_WORKER": "1",
        "TICKPLANT_API_PORT": "eighty",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong, NOTHING)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == sorted(wrong)
    assert "did you mean TICKPLANT_WORKERS?" in str(caught.value)


def test_where_only_a_few_words_will_do_they_are_named() -> None:
    allowed = {
        "ROLES": "averages, signals, alerts, bot",
        "LOG_LEVEL": "debug, info, warning, error",
        "KAFKA_FORMAT": "json, protobuf",
        "AVERAGE_INTERVALS": ", ".join(INTERVALS),
    }
    for name, words in allowed.items():
        with pytest.raises(SettingsError, match=f"TICKPLANT_{name}: 'loud' is invalid; expected {words}$"):
            read_settings({f"TICKPLANT_{name}": "loud"}, NOTHING)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("ROLES", "loud,bot,quiet", "'loud', 'quiet' are invalid; expected averages, signals, alerts, bot"),
        ("AVERAGE_INTERVALS", "2m 5m 3m", "'2m', '3m' are invalid; expected 1m, 5m, 15m, 1h, 4h, 1d, 1w"),
        ("SMA", "7,x,501,25", "'x', '501' are invalid; expected whole numbers from 1 to 500"),
        ("EMA", "0 12 1.5", "'0', '1.5' are invalid; expected whole numbers from 1 to 500"),
        ("WMA", "-1", "'-1' is invalid; expected whole numbers from 1 to 500"),
        (
            "API_HOSTS",
            "http://a b.org c:80",
            "'http://a', 'c:80' are invalid; expected example.org, *.example",
        ),
        (
            "API_ORIGINS",
            "example.org https://a.org/x https://b.org * null",
            "'example.org', 'https://a.org/x' are invalid; expected https://example.org, http://localhost:5173",
        ),
        ("KAFKA_BOOTSTRAP", "a,b:1:2,c:9092,d:x", "'b:1:2', 'd:x' are invalid; expected host:port"),
        (
            "WEBHOOK_ALLOW",
            "a:80 ::1 10.0.0.1/8",
            "'a:80', '10.0.0.1/8' are invalid; expected hosts, addresses",
        ),
    ],
)
def test_every_wrong_item_of_a_list_is_named_at_once(name: str, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({f"TICKPLANT_{name}": text}, NOTHING)
    assert caught.value.problems[0].startswith(f"TICKPLANT_{name}: {problem}")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("API_PORT", "eighty", "must be a whole number (it is 'eighty')"),
        ("API_PORT", "65536", "must be at most 65535 (it is '65536')"),
        ("WORKERS", "1.5", "must be a whole number (it is '1.5')"),
        ("WORKERS", "0", "must be at least 1 (it is '0')"),
        ("WORKERS", "1000", "must be at most 256 (it is '1000')"),
        ("LEASE_S", "long", "must be a number (it is 'long')"),
        ("ANOMALY_ZSCORE", "0", "must be above 0 (it is '0')"),
        ("WEBHOOK_SECRET", "short", "must be at least 16 characters long (it is not shown)"),
    ],
)
def test_a_wrong_value_is_described_in_plain_english(name: str, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({f"TICKPLANT_{name}": text}, NOTHING)
    assert caught.value.problems == [f"TICKPLANT_{name}: {problem}"]


def test_only_lists_that_may_be_empty_take_none() -> None:
    settings = read_settings({"TICKPLANT_SMA": "none", "TICKPLANT_ROLES": "none"}, NOTHING)
    assert (settings.sma, settings.roles) == ((), ())
    with pytest.raises(SettingsError, match="TICKPLANT_SYMBOLS: 'none' is invalid"):
        read_settings({"TICKPLANT_SYMBOLS": "none"}, NOTHING)


def test_no_number_is_infinite() -> None:
    for name in ("GAP_WAIT_S", "LEASE_S", "ANOMALY_ZSCORE", "ANOMALY_IQR", "WEBHOOK_MAX_AGE_S"):
        with pytest.raises(SettingsError, match=f"TICKPLANT_{name}: must be"):
            read_settings({f"TICKPLANT_{name}": "inf"}, NOTHING)


def test_anomalies_need_no_more_returns_than_there_are() -> None:
    with pytest.raises(SettingsError, match=r"TICKPLANT_ANOMALY_POINTS: .* set it to 60 or less"):
        read_settings({"TICKPLANT_ANOMALY_POINTS": "61"}, NOTHING)
    read_settings({"TICKPLANT_ANOMALY_POINTS": "60"}, NOTHING)
    read_settings({"TICKPLANT_ANOMALY_POINTS": "61", "TICKPLANT_STRATEGIES": "dip"}, NOTHING)


def test_an_address_with_a_password_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"TICKPLANT_DATABASE_URL": "mysql://user:secret@host/"}, NOTHING)
    assert "TICKPLANT_DATABASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_amounts_of_the_bot_are_money_or_shares() -> None:
    given = {
        "TICKPLANT_BOT_CASH": "2500.50",
        "TICKPLANT_BOT_ORDER": "1000",
        "TICKPLANT_BOT_MAX_POSITION": "12.5%",
        "TICKPLANT_BOT_STRATEGIES": "dip,cross",
    }
    rules = read_settings(given, NOTHING).bot_rules
    assert (rules.cash, rules.order.of(Decimal(40))) == (Decimal("2500.50"), Decimal(1000))
    assert rules.max_position.of(Decimal(40)) == Decimal(5)
    assert rules.strategies == ("dip", "cross")


def test_what_the_bot_could_not_reckon_with_is_refused() -> None:
    wrong = {
        "TICKPLANT_BOT_CASH": "-1",
        "TICKPLANT_BOT_FEE_BPS": "10000",
        "TICKPLANT_BOT_MAX_DAILY_LOSS": "0%",
        "TICKPLANT_BOT_MAX_POSITION": "1e3",
        "TICKPLANT_BOT_ORDER": "%",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong, NOTHING)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == sorted(wrong)


def test_a_bot_without_signals_is_refused() -> None:
    with pytest.raises(SettingsError, match="TICKPLANT_ROLES: the bot follows signals"):
        role_settings(Settings(roles=("averages", "bot")))


def test_the_bot_follows_only_strategies_that_run() -> None:
    with pytest.raises(SettingsError, match="'cross' does not run; TICKPLANT_STRATEGIES names dip"):
        role_settings(Settings(strategies=("dip",)))
    assert role_settings(Settings(strategies=("dip",), bot_strategies=("dip",))).bot is not None


@pytest.mark.parametrize(
    ("settings", "variable_named"),
    [
        ({"SYMBOLS": "nyse:A binance:BTCUSDT amex:B"}, "TICKPLANT_SYMBOLS"),
        ({"KEEP_CANDLES_DAYS": "7"}, "TICKPLANT_KEEP_CANDLES_DAYS"),
        ({"KEEP_CANDLES_DAYS": "90", "KEEP_TRADES_DAYS": "0"}, "TICKPLANT_KEEP_CANDLES_DAYS"),
        ({"DATABASE_READ_URL": "postgresql://b/x"}, "TICKPLANT_DATABASE_READ_URL"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, str], variable_named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({f"TICKPLANT_{name}": value for name, value in settings.items()}, NOTHING)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [variable_named]


def test_every_symbol_of_an_unknown_venue_is_named() -> None:
    with pytest.raises(SettingsError, match="nyse:A, amex:B: no such venue; venues are binance, coinbase"):
        read_settings({"TICKPLANT_SYMBOLS": "nyse:A binance:BTCUSDT amex:B"}, NOTHING)
    assert set(VENUES) == set(settings_reader.VENUES)


def test_brokers_may_have_a_scheme_and_no_port() -> None:
    read = read_settings({"TICKPLANT_KAFKA_BOOTSTRAP": "kafka, SASL_SSL://b.example:9093"}, NOTHING)
    assert read.kafka_bootstrap == "kafka,SASL_SSL://b.example:9093"
