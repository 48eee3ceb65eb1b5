"""Which hosts the API answers to."""

import pytest

from tickplant.hosts import Hosts, parse_pattern

NAMED = Hosts(
    map(parse_pattern, ["plant.example.org", "*.lan.example", "Bücher.example", "my_api", "deep.test."])
)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "localhost.:8080",
        "plant.localhost",
        "127.0.0.1",
        "127.8.9.10:80",
        "[::1]:8080",
        "[::ffff:127.0.0.1]",
        "192.168.1.20:8080",
        "[2001:DB8::1]",
        "plant.example.org",
        "PLANT.example.org.:443",
        "a.lan.example",
        "a.b.lan.example:1",
        "xn--bcher-kva.example",
        "my_api:8000",
        "deep.test",
    ],
)
def test_loopback_names_addresses_and_what_is_named_are_answered(host: str) -> None:
    assert NAMED.admit(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "notlocalhost",
        "evil-plant.example.org",
        "plant.example.org.evil.example",
        "lan.example",
        "evillan.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "evil.example/localhost",
        "localhost, evil.example",
        "localhost evil.example",
        "localhost:80:80",
        "localhost:http",
        "localhost..",
        "[::1",
        "[evil.example]",
        "::1",
        "2130706433",
        "0x7f.0.0.1",
        "localhost\u0000",
        "loc\u0430lhost",
    ],
)
def test_every_other_host_is_refused(host: str) -> None:
    assert not NAMED.admit(host)


def test_a_star_switches_the_check_off() -> None:
    assert Hosts([parse_pattern("*")]).admit("evil.example")


@pytest.mark.parametrize(
    "text",
    ["http://example.org", "example.org:80", "example.org/", "*example.org", "a.*.org", "*.", "a..b", "@"],
)
def test_what_is_no_host_is_refused_in_settings(text: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        parse_pattern(text)
