"""The places of an archive that don't answer."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow import fs

from maintenance.archive import reading, store
from tickplant.cli.import_sources import import_own_archive
from tickplant.settings import Settings


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        ("gs://market/archive", "gs://market/archive?retry_limit_seconds=30"),
        ("gs://market?scheme=http", "gs://market?scheme=http&retry_limit_seconds=30"),
        ("gcs://market?retry_limit_seconds=5", "gcs://market?retry_limit_seconds=5"),
        ("file:///srv/archive", "file:///srv/archive"),
    ],
)
def test_requests_to_google_end_within_a_minute(
    url: str, opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def from_uri(uri: str) -> tuple[Any, str]:
        found.append(uri)
        return fs.LocalFileSystem(), "/srv/archive"

    opener = SimpleNamespace(from_uri=from_uri)
    monkeypatch.setattr(store, "fs", SimpleNamespace(FileSystem=opener, LocalFileSystem=fs.LocalFileSystem))
    store.Store(url)
    assert found == [opened]


async def test_an_import_can_be_stopped_while_the_archive_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hang(_url: str) -> None:
        asked.set()
        answered.wait(60)

    monkeypatch.setattr(reading, "open_archive", hang)
    task = asyncio.create_task(import_own_archive(Settings(), "s3://market", [], None, None))
    try:
        assert await asyncio.to_thread(asked.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        answered.set()
