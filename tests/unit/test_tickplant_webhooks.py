"""Where webhooks may go, what they hold, and how a receiver checks them."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tickplant.derived import Firing
from tickplant.errors import SettingsError
from tickplant.settings_reader import read_settings
from tickplant.webhooks import AddressGuard, RefusedAddressError, body_of, headers_of, is_public, parse_url

DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"
FIRING = Firing(
    "a1", 3, "me", "binance", "BTCUSDT", "above", 1_700_000_000_123_456, 7, "10.50", "10.50", "10", "é"
)
NOW_S = 1_700_000_001


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.31.255.255",
        ),
        *("192.168.0.1", "192.0.0.192", "192.88.99.1", "198.19.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1"),
        *(
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "fc00::1",
            "fd12::1",
        ),
        *("ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "5f00::1", "3fff::1"),
    ],
)
def test_what_only_this_network_can_reach_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://example.org/", "form"),
        ("file:///etc/passwd", "form"),
        ("https:///path", "form"),
        ("example.org/hook", "form"),
        ("https://example.org:0/", "form"),
        ("https://me:word@example.org/", "password"),
        ("https://me@example.org/", "password"),
        ("https://example.org:99999/", "no address"),
        ("https://[::1/", "no address"),
        ("https://exämple.org/", "character"),
        ("https://example.org/a b", "character"),
        ("https://example.org/\nx", "character"),
        ("https://127.0.0.1\\@example.org/", "character"),
        ("https://example.org/" + "a" * 2048, "longer"),
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused(text: str, why: str) -> None:
    with pytest.raises(RefusedAddressError, match=why):
        parse_url(text)


def guard(*addresses: str, allowed: Sequence[str] = ()) -> AddressGuard:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return AddressGuard(allowed, resolve)


async def test_one_address_that_is_not_public_is_enough_to_refuse() -> None:
    assert await guard("1.1.1.1", "1.0.0.1").addresses("a.example", 443) == ("1.1.1.1", "1.0.0.1")
    for addresses in (("1.1.1.1", "10.0.0.1"), ("::1",), ()):
        with pytest.raises(RefusedAddressError):
            await guard(*addresses).addresses("a.example", 443)


@pytest.mark.parametrize(
    "rule",
    [
        "hooks.internal",
        "Hooks.Internal.",
        "hooks7 hooks.internal",
        "10.0.0.0/8",
        "10.0.0.1",
        "::1 10.0.0.0/30",
    ],
)
async def test_settings_allow_hosts_and_networks_that_are_not_public(rule: str) -> None:
    settings = read_settings({"TICKPLANT_WEBHOOK_ALLOW": rule}, Path("/dev/null"))
    allowing = guard("10.0.0.1", allowed=settings.webhook_allow)
    assert await allowing.addresses("hooks.internal", 80) == ("10.0.0.1",)


@pytest.mark.parametrize("rule", ["10.0.0.1/8", "10.0.0", "http://a", "1.2.3.4.5", "a/8", "*", "a:80"])
def test_a_rule_that_is_none_is_a_wrong_setting(rule: str) -> None:
    with pytest.raises(SettingsError, match="TICKPLANT_WEBHOOK_ALLOW"):
        read_settings({"TICKPLANT_WEBHOOK_ALLOW": rule}, Path("/dev/null"))


def test_a_secret_is_long_enough_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TICKPLANT_WEBHOOK_SECRET") as caught:
        read_settings({"TICKPLANT_WEBHOOK_SECRET": "short-one"}, Path("/dev/null"))
    assert "short-one" not in str(caught.value)
    file = tmp_path / "secret"
    file.write_text("a secret of many characters\n", encoding="utf-8")
    settings = read_settings({"TICKPLANT_WEBHOOK_SECRET_FILE": str(file)}, Path("/dev/null"))
    assert settings.webhook_secret == "a secret of many characters"


def documented() -> dict[str, Any]:
    """What the receiver's code in the documentation defines."""
    (code,) = re.findall(r"```python\n(.+?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_the_documented_receiver_takes_what_is_sent_and_nothing_else() -> None:
    verify = documented()["verify"]
    body = body_of(FIRING)
    signature = headers_of(FIRING, body, secret="s" * 16, now_s=NOW_S)["Tickplant-Signature"]
    assert verify(body, signature, b"s" * 16, now_s=NOW_S + 60)
    assert not verify(body + b" ", signature, b"s" * 16, now_s=NOW_S + 60)
    assert not verify(body, signature, b"t" * 16, now_s=NOW_S + 60)
    assert not verify(body, signature.replace("t=17", "t=18"), b"s" * 16, now_s=NOW_S + 60)
    assert not verify(body, signature, b"s" * 16, now_s=NOW_S + 3600)
    for garbage in ("", "t=,v1=", "v1=00", "t=x,v1=00"):
        assert not verify(body, garbage, b"s" * 16, now_s=NOW_S)


def test_the_documented_body_is_the_one_that_is_sent() -> None:
    (shown,) = re.findall(r"```json\n(.+?)\n```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    firing = Firing(
        *("0b9f4d6c2f7e4a0f8d7c3b1a59e60f21", 1, "default", "binance", "BTCUSDT", "above"),
        *(1_723_161_255_342_000, 3_735_683_259, "61837.63000000", "61837.63000000", "61800", "sell half"),
    )
    assert body_of(firing).decode() == "".join(line.strip() for line in shown.splitlines()).replace(
        '": ', '":'
    )
    assert headers_of(firing, b"", secret="s" * 16, now_s=1)["Idempotency-Key"] in DOCUMENT.read_text()
