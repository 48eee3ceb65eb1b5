"""Which proxy leads where, by the usual variables."""

import pytest

from tickplant.errors import SettingsError
from tickplant.proxies import Proxies

ALL = {"HTTPS_PROXY": "http://secure:1", "http_proxy": "http://plain:2", "ALL_PROXY": "http://all:3"}


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("wss://stream.binance.com:9443", ALL, "http://secure:1"),
        ("https://api.binance.com/api", ALL, "http://secure:1"),
        ("ws://venue.example", ALL, "http://plain:2"),
        ("http://venue.example", {"ALL_PROXY": "http://all:3"}, "http://all:3"),
        ("http://venue.example", {"HTTP_PROXY": "upper:1", "http_proxy": "lower:2"}, "http://lower:2"),
        ("http://venue.example", {"HTTP_PROXY": "proxy.example"}, "http://proxy.example:80"),
        ("wss://venue.example", {"https_proxy": "https://me@[::1]/"}, "https://me:@[::1]:443"),
        ("wss://venue.example", {"https_proxy": "http://me:p%40s@host:1"}, "http://me:p%40s@host:1"),
        ("wss://venue.example", {"HTTP_PROXY": "http://plain:2"}, None),
        ("wss://venue.example", {"https_proxy": " "}, None),
        ("wss://venue.example", {}, None),
        ("ws://127.0.0.1:8000", ALL, None),
        ("http://127.5.6.7", ALL, None),
        ("wss://[::1]:9443", ALL, None),
        ("ws://localhost:80", ALL, None),
        ("ws://sandbox:8000/binance", ALL, None),
    ],
)
def test_the_variable_of_the_scheme_counts_and_nothing_leads_to_this_machine(
    url: str, environment: dict[str, str], expected: str | None
) -> None:
    proxy = Proxies(environment).of(url)
    assert (proxy.url if proxy else None) == expected


@pytest.mark.parametrize(
    ("no_proxy", "excepted"),
    [
        ("*", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("other.org, EXAMPLE.com", True),
        ("api.example.com:443", True),
        ("api.example.com:80", False),
        ("ample.com", False),
        ("api", False),
        ("", False),
    ],
)
def test_no_proxy_names_domains_with_all_below_them(no_proxy: str, excepted: bool) -> None:
    proxies = Proxies({"https_proxy": "http://proxy:1", "NO_PROXY": no_proxy})
    assert (proxies.of("https://api.example.com") is None) == excepted


@pytest.mark.parametrize(
    ("no_proxy", "excepted"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3", True),
        ("10.1.2.3:80", True),
        ("10.1.2.4", False),
        ("[10.1.2.3]", True),
    ],
)
def test_no_proxy_names_addresses_and_networks(no_proxy: str, excepted: bool) -> None:
    proxies = Proxies({"http_proxy": "http://proxy:1", "no_proxy": no_proxy})
    assert (proxies.of("http://10.1.2.3") is None) == excepted


def test_a_proxy_is_shown_with_its_variable_and_without_its_password() -> None:
    proxy = Proxies({"ALL_PROXY": "http://me:secret@proxy.example:3128"}).of("wss://venue.example")
    assert str(proxy) == "http://proxy.example:3128 (ALL_PROXY)"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("socks5://me:secret@127.0.0.1:1080", "ALL_PROXY: SOCKS proxies are not supported: set HTTPS_PROXY"),
        ("http://", "ALL_PROXY: not the address of an HTTP proxy"),
        ("http://host:port", "ALL_PROXY: not the address of an HTTP proxy"),
        ("ftp://host", "ALL_PROXY: not the address of an HTTP proxy"),
    ],
)
def test_what_is_no_http_proxy_is_refused_where_it_would_be_used(value: str, message: str) -> None:
    proxies = Proxies({"ALL_PROXY": value, "HTTP_PROXY": "http://plain:1"})
    assert proxies.of("ws://127.0.0.1") is None
    assert proxies.of("ws://venue.example") is not None
    with pytest.raises(SettingsError) as raised:
        proxies.of("wss://venue.example")
    assert raised.value.problems[0].startswith(message)
    assert "secret" not in str(raised.value)
