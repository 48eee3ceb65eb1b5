"""Log lines in JSON and as text: one object a line, with fields, and without secrets."""

import asyncio
import json
import logging
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from tickplant import logs
from tickplant.logs import Secrets, add_fields, add_process, json_line, passwords_in
from tickplant.settings import Settings

PROGRAM = """
import asyncio, logging, threading, warnings
from tickplant.logs import set_up_logs
set_up_logs("info", "json", ["correct horse"])
for name in ("uvicorn.error", "asyncpg", "redis", "asyncio", "litestar"):
    logging.getLogger(name).warning("of %s\\nin two lines", name)
warnings.warn("of warnings")
logging.getLogger("broken").warning("%d", "no number")
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
class Dying:
    def __del__(self): raise ValueError("of a destructor")
Dying()
async def main(): asyncio.get_running_loop().call_exception_handler({"message": "of a loop"})
asyncio.run(main())
raise RuntimeError("it was: correct horse")
"""


def test_in_json_all_output_of_a_process_is_one_object_a_line() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    by_logger: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_logger.setdefault(line["logger"], []).append(line)
    for name in ("uvicorn.error", "asyncpg", "redis", "asyncio", "litestar"):
        assert by_logger[name][0]["message"] == f"of {name}\nin two lines"
    assert "of warnings" in by_logger["py.warnings"][0]["message"]
    assert by_logger["asyncio"][1]["message"] == "of a loop"
    assert by_logger["broken"][0]["message"] == "%d ('no number',)"
    exceptions = [line["exception"].splitlines()[-1] for line in by_logger["tickplant.logs"]]
    assert exceptions == [
        "ZeroDivisionError: division by zero",
        "ValueError: of a destructor",
        "RuntimeError: it was: ***",
    ]
    assert all(line["level"] == "critical" for line in by_logger["tickplant.logs"])


def formatted(record: logging.LogRecord, *secrets: str, log_format: str = "json") -> str:
    kind = logs._JsonFormatter if log_format == "json" else logs._TextFormatter
    return kind(Secrets(secrets)).format(record)


def test_fields_of_the_task_and_of_the_record_are_members_and_replace_no_others() -> None:
    async def log_in_tasks() -> list[dict[str, Any]]:
        async def log_one(partition: int) -> dict[str, Any]:
            add_fields(partition=partition)
            await asyncio.sleep(0)
            extra: dict[str, Any] = {
                "msg": "x",
                "entry": "1-0",
                "size": Decimal("0.10"),
                "level": "mine",
                "odd": "\ud800",
            }
            extra |= {"levelname": "INFO"}
            record = logging.makeLogRecord(extra)
            line: dict[str, Any] = json.loads(formatted(record))
            return line

        add_fields(role="candles")
        return await asyncio.gather(*map(log_one, (0, 1)))

    lines = asyncio.run(log_in_tasks())
    assert [line["partition"] for line in lines] == [0, 1]
    for line in lines:
        assert (line["role"], line["entry"], line["size"], line["odd"]) == (
            "candles",
            "1-0",
            "0.10",
            "\\ud800",
        )
        assert (line["level"], line["message"]) == ("info", "x")
    assert "role" not in json.loads(formatted(logging.makeLogRecord({"msg": "outside"})))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_show_neither_in_messages_nor_in_fields_nor_in_exceptions(log_format: str) -> None:
    settings = Settings(
        database_url="postgresql://me:p%40ss-word@host/db",
        redis_url="redis://:s@host",
        finnhub_api_key="key-of-finnhub",
        webhook_secret="sixteen letters!",
    )
    shown = [
        "p%40ss-word",
        "p@ss-word",
        "key-of-finnhub",
        "sixteen letters!",
        "redis://:s@host",
        "http://u:pw@proxy:1",
    ]
    error = ValueError(" ".join(shown))
    exc_info = type(error), error, None
    record = logging.makeLogRecord(
        {"msg": "said: %s", "args": (shown,), "exc_info": exc_info, "url": shown[-1], "levelname": "ERROR"}
    )
    line = formatted(record, *settings.secrets, log_format=log_format)
    for secret in (*shown, ":s@", "pw"):
        assert secret not in line
    assert "redis://:***@host" in line
    assert "ValueError" in line


def test_words_that_hold_a_secret_are_left_alone() -> None:
    secrets = Secrets(["tickplant", "p"])
    assert secrets.hide("replay of tickplants, not tickplant") == "replay of tickplants, not ***"


def test_passwords_are_taken_from_addresses() -> None:
    urls = ["redis://:one@host", None, "redis://host", "postgresql://me:two@[bad/db"]
    assert passwords_in(urls) == ["one"]


def test_lines_of_processes_are_marked_with_their_names_and_stay_objects() -> None:
    line = json_line("it runs", logger="api")
    assert json.loads(add_process(line, "api 1")) == {**json.loads(line), "process": "api 1"}
    wrapped = json.loads(add_process("Segmentation fault", "worker 2"))
    assert (wrapped["message"], wrapped["process"]) == ("Segmentation fault", "worker 2")
    half = json.loads(add_process(line[:-4], "worker 2"))
    assert (half["message"], half["process"]) == (line[:-4], "worker 2")
