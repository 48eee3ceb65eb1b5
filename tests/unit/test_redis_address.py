"""Addresses of Redis: what is taken, and what a wrong one is told."""

import pytest

from tickplant.redis_address import parse_redis_address, parse_redis_addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("valkey://h:1/3", "redis://h:1/3"),
        ("valkeys://h", "rediss://h:6379/0"),
        ("rediss://u:p@h/1?ssl_ca_certs=/a/b", "rediss://u:p@h:6379/1?ssl_ca_certs=/a/b"),
        ("redis://h?db=2", "redis://h:6379/0?db=2"),
        ("redis://[::1]:7/0", "redis://[::1]:7/0"),
        ("redis://:a%2Fb%40c,d@h", "redis://:a%2Fb%40c,d@h:6379/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ],
)
def test_a_server(text: str, url: str) -> None:
    address = parse_redis_address(text)
    assert (address.kind, address.url) == ("server", url)


def test_a_cluster() -> None:
    address = parse_redis_address("rediss+cluster://u:p%40@a:1,[::1],b/?ssl_ca_certs=x")
    assert (address.kind, address.tls) == ("cluster", True)
    assert address.hosts == (("a", 1), ("::1", 6379), ("b", 6379))
    assert address.node_url("::1", 7) == "rediss://u:p%40@[::1]:7/0?ssl_ca_certs=x"


def test_sentinels() -> None:
    address = parse_redis_address("valkey+sentinel://:p@a,b:1/the%20master/2")
    assert (address.kind, address.tls, address.service, address.database) == (
        "sentinel",
        False,
        "the master",
        2,
    )
    assert address.hosts == (("a", 26379), ("b", 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://h", "begins with redis://"),
        ("h:6379", "begins with redis://"),
        ("redis+magic://h", "begins with redis://"),
        ("unix+cluster:///a", "begins with redis://"),
        ("redis://", "a host is missing: expected redis://HOST"),
        ("redis://:secret@", "a host is missing"),
        ("redis+cluster://", r"a host is missing: expected redis\+cluster://HOST"),
        ("redis+cluster://a,,b", "a host is missing"),
        ("redis://a redis", "a host or a port is invalid"),
        ("redis://h:port", "a host or a port is invalid"),
        ("redis://h:99999", "a host or a port is invalid"),
        ("redis://:se/cret@h", "a host or a port is invalid.*write %3A for :, %2F for /"),
        ("redis://:secret/word@h", "a host or a port is invalid"),
        ("redis://h/abc", "is no number of a database: expected redis://HOST:6379/0"),
        ("redis://h/1/2", "is no number of a database"),
        ("redis://h/-1", "is no number of a database"),
        ("redis://a,b", r"takes one host; several are redis\+cluster://"),
        ("redis+cluster://a/1", "has database 0 only"),
        ("redis+sentinel://a", r"the name of the master is missing: expected redis\+sentinel://"),
        ("redis+sentinel://a/m/x", "is no number of a database"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        parse_redis_address(text)
    assert not any(word in str(raised.value) for word in ("secret", "cret", "word@"))


def test_several_servers() -> None:
    addresses = parse_redis_addresses("redis://:a,b@a/1,rediss://b,unix:///run/c")
    assert [address.url for address in addresses] == [
        "redis://:a,b@a:6379/1",
        "rediss://b:6379/0",
        "unix:///run/c",
    ]


def test_spaces_around_commas_do_not_matter() -> None:
    addresses = parse_redis_addresses(" redis://a , redis://b\n")
    assert [address.url for address in addresses] == ["redis://a:6379/0", "redis://b:6379/0"]
    (address,) = parse_redis_addresses("redis+cluster://a:1, b:2")
    assert address.hosts == (("a", 1), ("b", 2))


@pytest.mark.parametrize("text", ["redis://a,redis+cluster://b", "redis://a,http://b", "redis://a,redis://"])
def test_several_addresses_of_which_one_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match=r"one server|begins with|a host is missing"):
        parse_redis_addresses(text)
