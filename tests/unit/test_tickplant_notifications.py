"""Targets, templates and messages of notifications, and that no message contains a secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tickplant.cli.roles import role_settings
from tickplant.derived import AlertKind, Firing, Signal
from tickplant.errors import SettingsError
from tickplant.logs import Secrets
from tickplant.notifications import (
    ALERT_TEMPLATE,
    SIGNAL_TEMPLATE,
    NotificationSettings,
    Notifier,
    SignalRoute,
    alert_text,
    message_of,
    parse_alert_template,
    parse_targets,
    signal_text,
)
from tickplant.settings_reader import read_settings

NOTHING = Path("/dev/null")
START_US = 1_700_000_040_000_000
TELEGRAM = "tgram://123456789:AAH-secret_token12/-1001,-1002"
SLACK = "slack://TokenA1234/TokenB1234/TokenC1234567890/#general"


def firing(kind: AlertKind = "above", value: str = "62001.5", threshold: str | None = "62000") -> Firing:
    return Firing("a", 1, "me", "binance", "BTCUSDT", kind, START_US, 7, "62001.5", value, threshold, "sell")


SIGNAL = Signal("cross", "binance", "BTCUSDT", 3, START_US, 7, "62001.5", "buy", 0.25, {})


@pytest.mark.parametrize(
    ("kind", "value", "threshold", "condition"),
    [
        ("above", "62001.5", "62000", "price 62001.5 is above 62000"),
        ("crosses_below", "62001.5", "62002", "price 62001.5 crossed below 62002"),
        ("percent_change", "-2.6", "-2.5", "price 62001.5 changed by -2.6 %, threshold -2.5 %"),
        ("silence", "60", "60", "no trade for 60 s"),
        ("gap", "8", None, "trades are missing from id 8"),
    ],
)
def test_an_alert_says_what_has_happened(
    kind: AlertKind, value: str, threshold: str | None, condition: str
) -> None:
    text = alert_text(firing(kind, value, threshold), ALERT_TEMPLATE)
    assert text == f"binance:BTCUSDT: {condition} (2023-11-14T22:14:00.000000Z) sell"


def test_a_signal_says_what_the_strategy_would_do() -> None:
    assert signal_text(SIGNAL, SIGNAL_TEMPLATE) == (
        "binance:BTCUSDT: cross signals buy at 62001.5 (strength 0.25, 2023-11-14T22:14:00.000000Z)"
    )


def test_values_are_not_templates_themselves() -> None:
    noted = replace(firing(), note="{price}")
    text = alert_text(noted, parse_alert_template("{{{kind}}} {note}{trade_id}"))
    assert text == "{above} {price}7"


@pytest.mark.parametrize(
    "template", ["{nope}", "{price.__class__}", "{price[0]}", "{price!r}", "{price:>99999}", "{}", "{", "x}"]
)
def test_a_template_has_plain_fields_only(template: str) -> None:
    with pytest.raises(SettingsError, match="TICKPLANT_NOTIFY_ALERT_TEXT"):
        read_settings({"TICKPLANT_NOTIFY_ALERT_TEXT": template}, NOTHING)


def test_targets_of_one_tag_have_names_of_their_own() -> None:
    targets = parse_targets(f"ops={TELEGRAM} me=ntfy://topic1\nops={SLACK}")
    assert [(target.name, target.tag, target.url) for target in targets] == [
        ("ops", "ops", TELEGRAM),
        ("me", "me", "ntfy://topic1"),
        ("ops/2", "ops", SLACK),
    ]


def test_a_firing_goes_to_every_target_of_its_tags_once() -> None:
    targets = parse_targets(f"ops={TELEGRAM} me=ntfy://topic1 ops={SLACK}")
    notifier = Notifier(NotificationSettings(targets, [SignalRoute("cross", "me")]))
    assert [row.target for row in notifier.of_firing(firing(), ("ops", "gone", "ops"))] == [
        "ops",
        "ops/2",
        "gone",
    ]
    assert [(row.target, row.alert_id) for row in notifier.of_signal(SIGNAL)] == [("me", None)]
    assert Notifier(NotificationSettings(targets)).of_signal(SIGNAL) == []


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1), st.integers(40, 400))
def test_a_message_fits_and_counts_what_it_leaves_out(texts: list[str], most: int) -> None:
    _, body = message_of(texts, most)
    assert len(body) <= most
    lines = body.split("\n")
    left_out = int(lines[-1].split()[1]) if lines[-1].startswith("and ") else 0
    assert len(lines) - bool(left_out) + left_out == len(texts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NOTIFY", f"{TELEGRAM}"),
        ("NOTIFY", f"Ops={TELEGRAM}"),
        ("NOTIFY", f"ops={TELEGRAM},{SLACK} me"),
    ],
)
def test_a_wrong_target_is_named_without_its_url(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({f"TICKPLANT_{name}": text}, NOTHING)
    assert "must be tag=url" in str(caught.value)
    assert "secret_token" not in str(caught.value)
    assert "TokenC" not in str(caught.value)


def test_targets_that_apprise_does_not_know_are_refused_by_name(caplog: pytest.LogCaptureFixture) -> None:
    settings = read_settings(
        {
            "TICKPLANT_NOTIFY": "ops=bogus://secret_token1 me=tgram://secret_token2",
            "TICKPLANT_NOTIFY_SIGNALS": "cross=me hops=ops",
        },
        NOTHING,
    )
    with pytest.raises(SettingsError) as caught:
        role_settings(settings)
    strategies, ops, me = caught.value.problems
    assert "'hops' does not run" in strategies
    assert "the URL of target ops" in ops
    assert "the URL of target me" in me
    assert "secret_token" not in str(caught.value) + caplog.text


def test_signals_need_a_tag_that_a_target_has() -> None:
    with pytest.raises(SettingsError, match="no target in TICKPLANT_NOTIFY has the tag ops"):
        read_settings({"TICKPLANT_NOTIFY_SIGNALS": "cross=ops"}, NOTHING)


def test_log_lines_contain_no_part_of_a_url_that_is_a_secret() -> None:
    settings = read_settings(
        {"TICKPLANT_NOTIFY": f"ops={TELEGRAM} me={SLACK} mail=mailto://me:pass12@mail.example.org"}, NOTHING
    )
    hide = Secrets(settings.secrets).hide
    assert hide(f"https://api.telegram.org/bot/AAH-secret_token12/send {TELEGRAM}") == (
        "https://api.telegram.org/bot/***/send ***"
    )
    assert hide("TokenC1234567890 pass12 at mail.example.org") == "*** *** at mail.example.org"
    assert "secret" not in repr(settings.notify)
