"""Chromium, driven over its debugging protocol."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")

_WATCH_SHIFTS: Final = """
window.layoutShift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.layoutShift += entry.value;
}).observe({type: 'layout-shift', buffered: true});
"""


class CommandError(Exception):
    """The browser has refused a command, or has broken it off since the page was left meanwhile."""


class Browser:
    """One tab, and what went wrong in it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.errors: list[str] = []
        """Exceptions, and whatever the console shows as an error."""

    async def send(self, method: str, **parameters: Any) -> Any:
        """Send a command, and return its result.

        Raises:
            CommandError: the browser answers with an error.
        """
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._connection.recv())
            self._note(message.get("method"), message.get("params", {}))
            if message.get("id") == number:
                if "error" in message:
                    raise CommandError(f"{method}: {message['error']['message']}")
                return message["result"]

    def _note(self, event: str | None, parameters: dict[str, Any]) -> None:
        entry = parameters.get("entry", {})
        if event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.errors.append(json.dumps(parameters["args"]))
        elif event == "Log.entryAdded" and entry["level"] == "error":
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")

    async def open(self, url: str) -> None:
        """Open a page, also if only the fragment of its address differs from the present one."""
        await self.send("Page.navigate", url="about:blank")
        await self.send("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """Return the value of an expression."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a condition holds on the page, which may still be loading, or be left for another."""
        condition = f"(() => {{ try {{ return {script}; }} catch {{ return false; }} }})()"
        try:
            async with asyncio.timeout(30):
                while not await self._holds(condition):  # noqa: ASYNC110 - a condition of the page's
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"never: {script}\nerrors: {self.errors}\nthe page says:\n{text}") from None

    async def _holds(self, condition: str) -> bool:
        try:
            return bool(await self.run(condition))
        except CommandError:  # the page was left while it was asked
            return False

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other, by the names that the DOM gives them."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0)
            await self.send(
                "Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code
            )
            await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


@asynccontextmanager
async def browser(folder: Path, width: int) -> AsyncIterator[Browser]:
    """Open a browser with an empty tab.

    Args:
        folder: an empty one, for its profile.
        width: of the window, in pixels; below 600 it is a phone.
    """
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update"),
        *(f"--user-data-dir={folder}", "about:blank"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port_file = folder / "DevToolsActivePort"
        async with asyncio.timeout(60):
            while not port_file.exists() or port_file.read_text().count("\n") < 1:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)  # Chromium writes it once it listens
        port, path = port_file.read_text().splitlines()
        async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as root:
            target = (await Browser(root).send("Target.createTarget", url="about:blank"))["targetId"]
        url = f"ws://127.0.0.1:{port}/devtools/page/{target}"
        async with connect(url, max_size=None, proxy=None) as connection:
            tab = Browser(connection)
            for domain in ("Runtime", "Log", "Page"):
                await tab.send(f"{domain}.enable")
            await tab.send("Page.addScriptToEvaluateOnNewDocument", source=_WATCH_SHIFTS)
            await tab.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            yield tab
    finally:
        process.terminate()
        await process.wait()
