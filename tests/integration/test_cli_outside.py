"""Every command where servers are absent, refuse, or hold unfit data: it reports that, and what to do."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import forked
import pytest
from conftest import PARTITIONS
from servers import REDIS, cluster, url_as

from db.migrate import migrate
from tickplant.cli import COMMANDS

NOWHERE = "127.0.0.1:1"
"""Where no server is, nor comes: a free port might be another test's the next moment."""
OUTSIDE = {
    "absent": "the database can't be reached: .*; start the server, or check TICKPLANT_DATABASE_URL",
    "forbidden": "password authentication failed.*; check the user and the password in TICKPLANT_DATABASE",
    "no rights": r"permission denied.*use the tables' owner|tables belong to .*migrate as ",
    "missing": '"nowhere" does not exist; create it, or correct TICKPLANT_DATABASE_URL',
    "empty": "no tickplant tables: run: tickplant migrate|fail  database  .*no tickplant tables",
    "older": "lacks migration 8: run: tickplant migrate",
    "newer": "is at migration 9999.*install the newer|its schema .9999. is newer than this version's",
    "read_only": "read-only transaction|default_transaction_read_only is on .*switch it off",
}
"""What is reported by kind of database: what happened, why and what to do."""
REDIS_OUTSIDE = {
    "absent": r"Redis can't be reached: .*; start the server, or check TICKPLANT_REDIS_URL"
    r"|redis     can't be reached: .*\n +start the server, and check TICKPLANT_REDIS_URL",
    "no password": "it asks for a user or a password; give them in TICKPLANT_REDIS_URL",
    "forbidden": "invalid username-password pair .*check the user and the password in TICKPLANT_REDIS_URL",
    "cluster": "runs in cluster mode.*write redis.cluster:// instead",
}
DATABASE_COMMANDS = (
    "migrate",
    "audit",
    "backtest --symbol BTCUSDT",
    "export trades --symbol BTCUSDT",
    "db status",
    "keys list",
    "mirror --forget",
    "backfill binance:BTCUSDT --from 2024-01-01",
    "verify binance:BTCUSDT",
    "import binance:BTCUSDT --from 2024-01",
    "archive --to archive",
    "doctor",
    "up",
)
"""All that end at once without the database, rather than wait for it."""
DATABASE_ROLES = ("worker", "api", "grpc", "mirror")
REDIS_COMMANDS = (
    "mirror --forget",
    "backfill binance:BTCUSDT --from 2024-01-01",
    "verify binance:BTCUSDT",
    "doctor",
    "up",
)
REDIS_ROLES = ("ingest", "worker", "api", "grpc", "mirror")
OTHERS = (
    "record --output a.gz --for 1s",
    "sandbox --count 10",
    "symbols binance",
    "partitions list",
    "db url",
    "db psql -c select",
)
"""Commands that no server's absence makes fail, or whose errors are another program's."""


@pytest.fixture(scope="module")
def databases(postgres_address: str) -> Iterator[dict[str, str]]:
    """The addresses of databases that don't fit, and of one that does, by what they are."""
    base = postgres_address.rpartition("/")[0]
    names = ("empty", "fitting", "newer", "older", "read_only")
    addresses = {name: f"{base}/outside_{name}" for name in names}
    stranger = url_as(addresses["fitting"], "outside_stranger", "p")

    async def create() -> None:
        creates = (f"create database outside_{name}" for name in names)
        await execute(postgres_address, "create role outside_stranger login password 'p'", *creates)
        for name in names[1:]:
            await migrate(addresses[name], partitions=PARTITIONS, extension="off")
        await execute(addresses["fitting"], "insert into lease (role, partition) values ('candles', 0)")
        await execute(addresses["newer"], "insert into migration (number, name) values (9999, 'newer')")
        await execute(addresses["older"], "delete from migration where number = 8")
        read_only = "alter database outside_read_only set default_transaction_read_only = on"
        await execute(addresses["read_only"], read_only)

    async def drop() -> None:
        drops = (f"drop database outside_{name} with (force)" for name in names)
        await execute(postgres_address, *drops, "drop role outside_stranger")

    asyncio.run(create())
    yield addresses | {
        "absent": f"postgresql://somebody:p@{NOWHERE}/market",
        "forbidden": stranger.replace(":p@", ":wrong@"),
        "no rights": stranger,
        "missing": f"{base}/nowhere",
    }
    asyncio.run(drop())


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def redises(server_folder: Path, redis_address: str) -> Iterator[dict[str, str]]:
    """The addresses of Redis servers that don't fit, and of one that does, by what they are."""
    in_cluster = cluster(server_folder / "cluster outside", next(iter(REDIS.values())))
    asyncio.run(in_cluster.start())
    yield {
        "fitting": redis_address,
        "absent": f"redis://{NOWHERE}/0",
        "no password": re.sub("//[^@]*@", "//", in_cluster.url),
        "forbidden": re.sub("//[^@]*@", "//:wrong@", in_cluster.url),
        "cluster": in_cluster.url,
    }
    asyncio.run(in_cluster.stop())


def run(
    words: str, folder: Path, database: str, redis: str, until: str = "nothing", **others: str
) -> forked.Ended:
    """Run a command on two servers, away from all venues; stop it when it has printed what is expected."""
    environment = {
        "TICKPLANT_DATABASE_URL": database,
        "TICKPLANT_REDIS_URL": redis,
        "TICKPLANT_BINANCE_WS_URL": f"ws://{NOWHERE}",
        "TICKPLANT_BINANCE_REST_URL": f"http://{NOWHERE}",
        "TICKPLANT_API_PORT": "0",
        "TICKPLANT_GRPC_PORT": "0",
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_KAFKA_BOOTSTRAP": NOWHERE if words.startswith("mirror") else "",
        **others,
    }
    environment = {name: value for name, value in environment.items() if value}
    return forked.run(
        *words.split(),
        environment=environment,
        folder=folder,
        until=lambda output: bool(re.search(until, output)),
    )


def check(ended: forked.Ended, code: int, message: str) -> None:
    assert "Traceback" not in ended.output
    assert re.search(message, ended.output), ended.output
    assert ended.code == code, ended.output


def test_every_command_is_walked() -> None:
    walked = {*DATABASE_COMMANDS, *DATABASE_ROLES, *REDIS_COMMANDS, *REDIS_ROLES, *OTHERS}
    assert {words.split()[0] for words in walked} == set(COMMANDS)


@pytest.mark.parametrize("words", DATABASE_COMMANDS)
def test_a_command_reports_what_is_wrong_with_the_database(
    words: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    for what, message in OUTSIDE.items():
        if not mends(words, what):
            check(run(words, tmp_path, databases[what], redises["fitting"]), 1, message)


def mends(words: str, what: str) -> bool:
    """Return whether a command works on a database: it migrates it, or writes nothing there."""
    if what in ("empty", "older"):
        return words in ("migrate", "up", "doctor")
    return what == "read_only" and words.partition(" ")[0] not in ("migrate", "mirror", "doctor", "up")


@pytest.mark.parametrize("words", DATABASE_ROLES)
def test_a_service_exits_on_a_permanent_database_error(
    words: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    for what, message in OUTSIDE.items():
        if what not in ("absent", "read_only"):
            check(run(words, tmp_path, databases[what], redises["fitting"]), 1, message)


@pytest.mark.parametrize("words", DATABASE_ROLES)
def test_a_service_waits_for_the_database_and_stops_on_a_signal(
    words: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    waits = "retrying: "
    messages = {"absent": waits + "the database can't be reached: .*refused|.*111"}
    if words not in ("api", "grpc"):  # which only read until a user changes something
        messages["read_only"] = waits + "cannot execute INSERT in a read-only transaction"
    for what, message in messages.items():
        check(run(words, tmp_path, databases[what], redises["fitting"], until=message), 0, message)


@pytest.mark.parametrize("words", REDIS_COMMANDS)
def test_a_command_reports_what_is_wrong_with_redis(
    words: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    for what, message in REDIS_OUTSIDE.items():
        check(run(words, tmp_path, databases["fitting"], redises[what]), 1, message)


@pytest.mark.parametrize("words", REDIS_ROLES)
def test_a_service_waits_for_redis_and_exits_on_a_permanent_error(
    words: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    waits = "retrying: Error 111"
    check(run(words, tmp_path, databases["fitting"], redises["absent"], until=waits), 0, waits)
    for what, message in REDIS_OUTSIDE.items():
        if what != "absent":
            check(run(words, tmp_path, databases["fitting"], redises[what]), 1, message)


@pytest.mark.parametrize("what", REDIS_OUTSIDE)
def test_the_database_status_needs_no_redis(
    what: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    message = f"the lag is unknown: .*({REDIS_OUTSIDE[what]})"
    check(run("db status", tmp_path, databases["fitting"], redises[what]), 0, message)


def test_other_clients_get_the_address_of_an_unavailable_database(
    databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    check(run("db url", tmp_path, databases["absent"], redises["fitting"]), 0, "postgresql://somebody:p@")
    check(run("db psql -c select", tmp_path, databases["absent"], redises["fitting"]), 2, "psql: error")


def test_an_unreachable_venue_is_reported(databases: dict[str, str], tmp_path: Path) -> None:
    message = "binance's list of symbols can't be read from http://127.0.0.1:.*"
    check(run("symbols binance", tmp_path, databases["fitting"], f"redis://{NOWHERE}"), 1, message)


def test_a_recording_of_an_unreachable_venue_ends_with_an_error(tmp_path: Path) -> None:
    ended = run("record binance:BTCUSDT --output a.gz --for 1s", tmp_path, "", "")
    check(ended, 1, r"binance/0: disconnected, retrying: (.|\n)*nothing was received, so no file was written")


@pytest.mark.parametrize("words", ["sandbox --count 10 --port {port}", "api", "worker", "up"])
def test_a_port_in_use_is_reported(
    words: str, databases: dict[str, str], redises: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        words = words.format(port=port)
        variable = "TICKPLANT_METRICS_PORT" if words == "worker" else "TICKPLANT_API_PORT"
        ended = run(words, tmp_path, databases["fitting"], redises["fitting"], **{variable: port})
        check(ended, 1, f"127.0.0.1:{port}.*(choose .*port|set .*PORT|choose .*PORT|try --port 0)")


@pytest.mark.parametrize("command", COMMANDS)
def test_unreadable_settings_are_reported(command: str, tmp_path: Path) -> None:
    words = {
        "backfill": "backfill binance:BTCUSDT --from 2024-01-01",
        "verify": "verify binance:BTCUSDT",
        "backtest": "backtest --symbol BTCUSDT",
        "export": "export trades --symbol BTCUSDT",
        "db": "db status",
        "keys": "keys list",
        "partitions": "partitions list",
        "record": "record --output a.gz",
        "symbols": "symbols binance",
    }.get(command, command)
    file = tmp_path / ".env"
    for contents, message in (
        ("TICKPLANT_WORKERS=1\n".encode("utf-16"), r"\.env: can't be read: .*save it as UTF-8"),
        ("\ufeffTICKPLANT_WORKERS=none\n".encode(), "TICKPLANT_WORKERS: must be a whole number"),
        (
            b"TICKPLANT_DATABASE_URL=postgresql://127.0.0.1:99999/x\n",
            "TICKPLANT_DATABASE_URL: must have a port up to 65535",
        ),
        (None, r"\.env: is a folder.*put a file of NAME=value lines there"),
    ):
        file.mkdir() if contents is None else file.write_bytes(contents)
        if command != "sandbox" or contents is None:
            ended = forked.run(*words.split(), environment={}, folder=tmp_path)
            check(ended, 1 if command == "doctor" else 2, message)
        if contents is not None:
            file.unlink()
