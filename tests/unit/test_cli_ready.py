"""What counts as an answer of the API that was started."""

import asyncio
import json

import pytest

from tickplant.background import background
from tickplant.cli.ready import report_ready, report_unconnected
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


async def test_a_venue_that_is_not_connected_is_reported_once_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def connection(venue: str, state: str, reason: str | None = None) -> dict[str, str | None]:
        return {"venue": venue, "state": state, "reason": reason}

    states = [connection("binance", "connecting"), connection("kraken", "down", "of before")]
    lists = [[*states, connection("kraken", "live")], [connection("binance", "down", "no such host")]]
    asked = asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /api/v1/connections ")
        body = json.dumps({"connections": lists.pop(0) if len(lists) > 1 else lists[0]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()
        asked.release()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with background(report_unconnected(url, Terminal(), after_s=0)), asyncio.timeout(30):
            for _ in range(4):
                await asked.acquire()
    reported = [line for line in capsys.readouterr().out.splitlines() if "not connected" in line]
    assert [line.partition("| ")[2] for line in reported] == [
        "binance is not connected: no such host; ingest keeps trying"
    ]
