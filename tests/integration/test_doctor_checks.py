"""Single checks of `tickplant doctor`: they pass what the roles can work with, and nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import forked
import msgspec
import pytest
import redis.asyncio
from conftest import REPOSITORY, SOURCE, OwnRedis
from redis_cluster import CALM_CLUSTER, running_cluster
from working import until

from tickplant.cli.archive_check import check_archive
from tickplant.cli.finding import Finding
from tickplant.cli.redis_check import PROBES, check_redis, received_source
from tickplant.cli.venue_check import check_venues, prepare_venues
from tickplant.local.binaries import find_redis
from tickplant.local.folder import free_port
from tickplant.local.supervisor import ManagedProcess, Supervisor
from tickplant.market import SymbolId
from tickplant.settings import Settings

VENUES = ("binance:BTCUSDT", "coinbase:BTC-USD", "kraken:BTC/USD", "finnhub:AAPL")


def lines(findings: list[Finding]) -> list[str]:
    return [f"{finding.level} {finding.subject}: {finding.text}" for finding in findings]


@pytest.fixture
async def sandbox() -> AsyncIterator[dict[str, Any]]:
    """The settings of a sandbox of all venues."""
    role = ManagedProcess("sandbox", ("sandbox", "--port", "0", "--symbols", *VENUES), {})
    async with Supervisor(lambda name, line: None).announced(role) as line:
        settings: dict[str, Any] = {
            "symbols": tuple(map(SymbolId.parse, VENUES)),
            "finnhub_api_key": "sandbox",
        }
        for name, addresses in msgspec.json.decode(line)["venues"].items():
            settings[f"{name}_ws_url"] = addresses["ws_url"]
            if name != "finnhub":
                settings[f"{name}_rest_url"] = addresses["rest_url"]
        yield settings


async def test_addresses_of_the_sandbox_pass_as_ingest_takes_them(sandbox: dict[str, Any]) -> None:
    findings = await check_venues(Settings(**sandbox))
    assert [finding.level for finding in findings] == ["ok"] * 10
    for name in ("binance", "coinbase", "kraken", "finnhub"):
        assert f"ok venue: {sandbox[f'{name}_ws_url']} answers" in lines(findings)


async def test_symbols_that_the_venue_does_not_list_fail(sandbox: dict[str, Any]) -> None:
    names = ("binance:BTCUSDTT", "coinbase:BTC-USD", "coinbase:BTC-USB")
    findings = await check_venues(Settings(**sandbox | {"symbols": tuple(map(SymbolId.parse, names))}))
    assert [line for line in lines(findings) if line.startswith("fail")] == [
        "fail venue: binance:BTCUSDTT: the venue does not list it; similar symbols are BTCUSDT",
        "fail venue: coinbase:BTC-USB: the venue does not list it; similar symbols are BTC-USD",
    ]


async def test_symbols_are_listed_by_the_command(sandbox: dict[str, Any], tmp_path: Path) -> None:
    addresses = {
        f"TICKPLANT_{name.upper()}_REST_URL": sandbox[f"{name}_rest_url"]
        for name in ("binance", "coinbase", "kraken")
    }

    async def listed(*words: str) -> tuple[int | None, str]:
        folder = tmp_path / "_".join(words).replace("/", "_")
        folder.mkdir()
        ended = await asyncio.to_thread(forked.run, "symbols", *words, environment=addresses, folder=folder)
        return ended.code, ended.output

    answers = await asyncio.gather(
        listed("binance", "btc"),
        listed("kraken", "*/usd"),
        listed("binance", "BTCUSDTT"),
        listed("finnhub"),
    )
    assert [code for code, _ in answers] == [0, 0, 1, 2]
    texts = [text for _, text in answers]
    assert "binance:BTCUSDT\ttrading" in texts[0]
    assert "kraken:BTC/USD\ttrading" in texts[1]
    assert "lists no symbol like 'BTCUSDTT'; similar symbols are BTCUSDT" in texts[2]
    assert "finnhub has no list" in texts[3]


def test_symbols_that_ingest_would_refuse_fail() -> None:
    names = ("binance:BTCUSDT", "bybit:BTCUSDT", "finnhub:AAPL")
    asked, findings = prepare_venues(Settings(symbols=tuple(map(SymbolId.parse, names))))
    assert [gap.venue.name for gap in asked] == ["binance"]
    unknown, keyless = lines(findings)
    assert unknown.startswith("fail settings: unknown venue 'bybit'")
    assert "TICKPLANT_FINNHUB_API_KEY" in keyless


async def test_the_proxy_to_a_venue_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    symbols = tuple(map(SymbolId.parse, VENUES[:2]))
    settings = Settings(
        symbols=symbols, binance_ws_url="ws://venue.example:1", coinbase_ws_url="wss://venue.example:1"
    )
    binance, coinbase = lines(await check_venues(settings))
    through = "can't be reached: through the proxy http://127.0.0.1:9 (http_proxy): "
    assert binance.startswith(f"fail venue: ws://venue.example:1 {through}")
    assert coinbase.startswith("fail venue: ALL_PROXY: SOCKS proxies are not supported")
    assert "secret" not in binance + coinbase


@pytest.mark.parametrize(
    ("source", "level"),
    [("synthetic", "ok"), ("replay", "ok"), ("live", "fail"), ("odd", "fail"), (None, "fail")],
)
async def test_a_venue_is_needed_only_where_its_trades_are_received(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch, source: str | None, level: str
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    server = await own_redis()
    client: Any = redis.asyncio.Redis.from_url(server.url)
    if source is not None:
        await client.set("source", source)
    await client.aclose()
    settings = Settings(redis_url=server.url, symbols=(SymbolId("binance", "BTCUSDT"),))
    (finding,) = await check_venues(settings, await received_source(settings))
    assert finding.level == level
    assert finding.text.startswith("wss://stream.binance.com:9443 can't be reached: ")
    assert ("; it is not needed: this plant receives " in finding.text) == (level == "ok")


async def test_a_sandbox_is_needed_where_its_trades_are_received() -> None:
    settings = Settings(binance_ws_url="ws://127.0.0.1:1", symbols=(SymbolId("binance", "BTCUSDT"),))
    (finding,) = await check_venues(settings, "synthetic")
    assert finding.level == "fail"


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ("-@admin -@dangerous", "ok redis: this user has all rights that are needed"),
        (
            "-@dangerous -xadd -xgroup|create",
            "fail redis: this user lacks rights that are needed: XADD, XGROUP CREATE",
        ),
    ],
)
async def test_the_rights_that_roles_need_are_tried_and_no_others(
    own_redis: OwnRedis, rights: str, expected: str
) -> None:
    server = await own_redis()
    client: Any = redis.asyncio.Redis.from_url(server.url)
    await client.execute_command(*f"ACL SETUSER limited on >secret ~* &* +@all {rights}".split())
    url = f"redis://limited:secret@127.0.0.1:{server.port}"
    found = lines(await check_redis(Settings(redis_url=url)))
    assert expected in found
    assert "warn redis: this user may not see whether acknowledged writes are on disk" in found
    assert sum(row.startswith("fail") for row in found) == expected.startswith("fail")
    assert await client.keys() == []
    await client.aclose()


def test_every_command_of_the_scripts_is_tried() -> None:
    folders = [REPOSITORY / name for name in ("tickplant", "ingest", "workers", "api")]
    text = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    called = set(re.findall(r"redis\.call\('(\w+)'", text))
    assert called
    only_moves = {"RESTORE"}  # which few users may
    assert called <= {probe[0] for probe in PROBES} | only_moves


async def test_each_of_several_servers_is_checked_and_nothing_is_written(own_redis: OwnRedis) -> None:
    servers = [await own_redis() for _ in range(3)]
    names = [f"127.0.0.1:{server.port}" for server in servers]
    settings = Settings(redis_url=",".join(server.url for server in servers))
    async with redis.asyncio.Redis.from_url(servers[1].url) as second:
        await second.config_set("appendonly", "no")
        await servers[2].stop()
        assert await received_source(settings) is None
        found = lines(await check_redis(settings))
        assert await second.keys() == []
    assert f"ok redis: {names[0]}: this user has all rights that are needed" in found
    assert [row for row in found if row.startswith("fail")] == [
        f"fail redis: {names[1]}: appendonly is no: trades that are not yet stored are lost when it restarts",
        next(row for row in found if row.startswith(f"fail redis: {names[2]}: can't be reached")),
    ]
    async with redis.asyncio.Redis.from_url(servers[0].url) as first:
        assert await first.keys() == []


async def test_each_master_of_a_cluster_is_checked(server_folder: Path) -> None:
    async with running_cluster(server_folder / "checked cluster", CALM_CLUSTER) as cluster:
        found = lines(await check_redis(Settings(redis_url=cluster.url)))
        masters = [f"127.0.0.1:{node.port}" for node in await cluster.masters()]
    for name in masters:
        assert f"ok redis: {name}: this user has all rights that are needed" in found
    assert not [row for row in found if row.startswith("fail")]


async def test_a_node_of_a_cluster_fails_as_a_server_also_for_a_user_who_may_not_ask(tmp_path: Path) -> None:
    port = free_port()
    binary = find_redis(SOURCE)
    options = ["--port", port, "--dir", tmp_path, "--cluster-enabled", "yes", "--bind", "127.0.0.1"]
    if binary.version >= "Redis 7":  # as Valkey; older ones have theirs 10,000 above the first
        options += ["--cluster-port", free_port()]
    server = await asyncio.create_subprocess_exec(binary.path, *map(str, options))
    client: Any = redis.asyncio.Redis(port=port)
    try:
        await until(lambda: _answers(client), "the node answers")
        rights = ["on", ">secret", "~*", "&*", "+@all", "-@dangerous"]
        await client.execute_command("ACL", "SETUSER", "limited", *rights)
        for user in ("", "limited:secret@"):
            (found,) = lines(await check_redis(Settings(redis_url=f"redis://{user}127.0.0.1:{port}")))
            assert found.startswith("fail redis: ")
            assert "write redis+cluster:// instead of redis://" in found
    finally:
        await client.aclose()
        server.terminate()
        await server.wait()


async def _answers(client: Any) -> bool:
    try:
        return bool(await client.ping())
    except redis.exceptions.ConnectionError:
        return False


def test_an_archive_is_read_or_its_place_checked_and_nothing_is_made(tmp_path: Path) -> None:
    def checked(**settings: Any) -> list[str]:
        return lines(check_archive(Settings(**settings)))

    assert checked() == []
    there = str(tmp_path / "archive")
    assert checked(archive_url=there)[0].startswith(f"ok archive: there is none at {there} yet")
    assert checked(archive_url=str(tmp_path / "not" / "there"))[0].endswith("is its disk mounted?")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "archive.json").write_text("{}")
    assert "is damaged" in checked(archive_url=there)[0]
    (tmp_path / "archive" / "archive.json").write_text('{"archive_id": "a", "format": 1, "source": "live"}')
    assert checked(archive_url=there) == [f"ok archive: {there} answers, with live trades"]
    assert checked(archive_url=there, keep_trades_days=2)[0].startswith(
        "warn archive: days are archived after"
    )
