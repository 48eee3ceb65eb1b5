"""What counts as an answer of the API that was started."""

import asyncio

import pytest

from tickplant.cli.ready import report_ready
from tickplant.cli.terminal import Terminal


async def test_answers_without_a_price_or_that_are_not_http_are_not_ready_and_do_not_end_the_wait(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
    told_when_priced: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not answers:
            told_when_priced.append(capsys.readouterr().out)
        writer.write(answers.pop(0) if answers else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await report_ready(url, ["binance:BTCUSDT"], Terminal())
    assert told_when_priced == [""]
    assert f"ready: {url}/ is the page" in capsys.readouterr().out
