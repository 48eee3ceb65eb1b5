"""`tickplant archive` in an object store: moto's S3 server."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import pytest
from conftest import on_one_variant
from correct import SYMBOL, random_trades, store, store_candles
from forked import run_apart
from moto.server import ThreadedMotoServer

from maintenance.archive.store import Store
from tickplant.errors import FatalError
from tickplant.intervals import DAY_US, floor
from tickplant.times import to_datetime

Run = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the server's own libraries

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
TRADES = random_trades(seed=2)
LAST_US = floor(TRADES[-1].event_time_us, DAY_US)
SYMBOL_FOLDER = "binance/BTCUSDT"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Any:
    """An empty bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    place = {"LocationConstraint": CREDENTIALS["AWS_REGION"]}
    client.create_bucket(Bucket="market", CreateBucketConfiguration=place)
    yield client
    for name in keys(client):
        client.delete_object(Bucket="market", Key=name)
    client.delete_bucket(Bucket="market")


def names(client: Any) -> list[str]:
    """The objects; not those that pyarrow makes in place of folders."""
    return [key for key in keys(client) if not key.endswith("/")]


def keys(client: Any) -> list[str]:
    return sorted(entry["Key"] for entry in client.list_objects_v2(Bucket="market").get("Contents", []))


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A database all of whose days are due."""
    connection = await asyncpg.connect(database_url)
    await store(connection, TRADES)
    await connection.execute("update plant set source = 'live'")
    await connection.execute("update ledger set watermark = $1", to_datetime(LAST_US) + timedelta(days=2))
    await store_candles(connection, TRADES, LAST_US + 2 * DAY_US)
    yield connection
    await connection.close()


@pytest.fixture
def run(database_url: str, endpoint: str, bucket: Any, tmp_path: Path) -> Run:
    """Run `tickplant archive` with an archive in the bucket."""

    async def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_ARCHIVE_URL": "s3://market/plants/one",
            "TICKPLANT_ARCHIVE_AFTER_DAYS": "1",
            "AWS_ENDPOINT_URL": endpoint,
            **CREDENTIALS,
            **environment,
        }
        venue = () if arguments[:1] in (("list",), ("verify",)) else ("--no-venue",)
        return await asyncio.to_thread(
            run_apart, "archive", *arguments, *venue, environment=variables, folder=tmp_path
        )

    return run


@on_one_variant
async def test_days_become_objects_that_are_checked_and_revised(
    connection: asyncpg.Connection, run: Run, bucket: Any
) -> None:
    done = await run()
    assert (done.returncode, done.stderr) == (0, ""), done
    days = json.loads((await run("list", "BTCUSDT", "--json")).stdout)
    assert sum(day["trades"] for day in days) == len(TRADES)
    prefix = f"plants/one/{SYMBOL_FOLDER}"
    expected = {f"{prefix}/index.json", "plants/one/archive.json"}
    for day in days:
        expected |= {f"{prefix}/{what}/{day['day']}.r1.parquet" for what in ("trades", "candles")}
        expected.add(f"{prefix}/manifests/{day['day']}.r1.json")
    assert set(names(bucket)) == expected
    checked = await run("verify", "--database")
    assert (checked.returncode, checked.stderr) == (0, ""), checked

    await connection.execute(
        "update archived_days set state = '' where day = $1", to_datetime(LAST_US).date()
    )
    assert f"{SYMBOL} {to_datetime(LAST_US):%Y-%m-%d} r2" in (await run()).stdout
    assert (
        f"plants/one/superseded/{SYMBOL_FOLDER}/trades/{to_datetime(LAST_US):%Y-%m-%d}.r1.parquet"
        in names(bucket)
    )
    assert (await run("verify", "--database")).returncode == 0

    name = f"{prefix}/trades/{days[0]['day']}.r1.parquet"
    content = bytearray(bucket.get_object(Bucket="market", Key=name)["Body"].read())
    content[len(content) // 2] ^= 1
    bucket.put_object(Bucket="market", Key=name, Body=bytes(content))
    found = await run("verify")
    assert found.returncode == 1
    assert "was changed" in found.stdout


def deny(client: Any, action: str, name: str = "*") -> None:
    """Let the bucket refuse an action."""
    objects = f"arn:aws:s3:::market/{name}"
    statement = {"Effect": "Deny", "Principal": "*", "Action": [action], "Resource": objects}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.put_bucket_policy(Bucket="market", Policy=json.dumps(policy))


@pytest.mark.parametrize("size", [100, 20 << 20], ids=["one request", "several parts"])
async def test_a_file_that_can_not_be_written_again_stays(
    bucket: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    opened = Store("s3://market/plants/two")
    await asyncio.to_thread(opened.write, "index.json", b"the days so far")
    deny(bucket, "s3:PutObject")
    with pytest.raises(FatalError, match=r"index\.json"):
        await asyncio.to_thread(opened.write, "index.json", b"x" * size)
    bucket.delete_bucket_policy(Bucket="market")

    def interrupted() -> None:
        with opened.writing("index.json") as file:
            file.write(b"x" * size)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(interrupted)
    assert opened.read("index.json") == b"the days so far"
    assert names(bucket) == ["plants/two/index.json"]


@on_one_variant
async def test_a_file_that_can_not_be_read_hides_no_other_damage(
    connection: asyncpg.Connection, run: Run, bucket: Any
) -> None:
    await run()
    first, *_, last = [name for name in names(bucket) if "/trades/" in name]
    deny(bucket, "s3:GetObject", first)
    bucket.put_object(Bucket="market", Key=last, Body=b"x")
    found = await run("verify")
    bucket.delete_bucket_policy(Bucket="market")
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert f"{first.removeprefix('plants/one/')}\tcan't be read: archive s3://market" in found.stdout
    assert f"{last.removeprefix('plants/one/')}\thas 1 bytes" in found.stdout


@on_one_variant
async def test_what_the_store_refuses_is_said(connection: asyncpg.Connection, run: Run) -> None:
    found = await run("--to", "s3://nowhere/archive")
    assert found.returncode == 1
    assert "archive s3://nowhere/archive" in found.stderr
    assert "Traceback" not in found.stderr
    unreachable = await run(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert unreachable.returncode == 1
    assert "Traceback" not in unreachable.stderr
