"""Chromium without a window, driven over its own protocol (CDP): pages, keys, mouse, pictures."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 60.0
FLAGS = (
    "--headless", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run", "--mute-audio",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars",
)  # fmt: skip


def installed() -> str | None:
    """Return the path of Chromium, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: Any) -> None:
        self._loop, self._wire, self._number = loop, wire, 0
        self.problems: list[str] = []  # exceptions, and messages of errors in the console
        self.requests: list[str] = []  # addresses, in order
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        return self._loop.run_until_complete(self._send(method, parameters))

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._wire.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            found = json.loads((await self._wire.receive(timeout=PATIENCE_S)).data)
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                return dict(found["result"])
            self._note(found.get("method"), found.get("params", {}))

    def _note(self, event: str | None, fields: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(fields["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(fields["exceptionDetails"])[:600])
        elif event == "Runtime.consoleAPICalled" and fields["type"] in ("error", "warning"):
            self.problems.append(json.dumps(fields["args"])[:600])
        elif event == "Log.entryAdded" and fields["entry"]["level"] == "error":
            if fields["entry"]["source"] == "network":
                return  # an answer with the status of an error is the page's own affair
            self.problems.append(json.dumps(fields["entry"])[:600])

    def open(self, address: str) -> None:
        """Go to an address."""
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """Return the value of an expression, or of the promise that it is."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Return the value of an expression once it is true."""
        end_s = time.monotonic() + PATIENCE_S
        while not (found := self.js(expression)):
            assert time.monotonic() < end_s, f"never: {expression}\n{self.problems}"
            time.sleep(0.05)
        return found

    def press(self, key: str) -> None:
        """Press a key, as a keyboard does."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, ord(key[0].upper()))
        fields = {"key": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **fields)
        self.send("Input.dispatchKeyEvent", type="keyUp", **fields)

    def type(self, text: str) -> None:
        """Type into the element that has the focus."""
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of the first element that a selector finds."""
        self.scroll_to(selector)
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def scroll_to(self, selector: str) -> None:
        """Bring an element to the middle of the window, at once."""
        where = "{block: 'center', behavior: 'instant'}"
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({where})")

    def point(self, x: float, y: float) -> None:
        """Move the mouse."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def middle(self, selector: str) -> tuple[float, float]:
        """Return the middle of an element, in the window."""
        box = self.js(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return float(box[0]), float(box[1])

    def show(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the window and the colours that the system prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, **options: Any) -> None:
        """Write a picture of the window."""
        found = self.send("Page.captureScreenshot", **{"format": "png", **options})
        path.write_bytes(base64.b64decode(found["data"]))


class Chromium:
    """A running browser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, http: Any, port: int) -> None:
        self._loop, self._http, self._port = loop, http, port

    def tab(self, address: str = "about:blank") -> Tab:
        """Open a tab; at an address, once its events are noted."""
        tab = Tab(self._loop, self._loop.run_until_complete(self._wire()))
        tab.show(1300, 900)
        if address != "about:blank":
            tab.open(address)
        return tab

    async def _wire(self) -> Any:
        async with self._http.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as answer:
            target = await answer.json(content_type=None)
        return await self._http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)


@contextmanager
def chromium(program: str) -> Iterator[Chromium]:
    """Run a browser with a profile of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [*FLAGS, f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium's own sandbox refuses root
        process = subprocess.Popen(
            [program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        loop = asyncio.new_event_loop()
        http = loop.run_until_complete(_session())
        try:
            yield Chromium(loop, http, _port(Path(profile), process))
        finally:
            loop.run_until_complete(http.close())
            loop.close()
            process.terminate()
            process.wait(30)


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S))


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port that the browser has chosen."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        try:
            return int((profile / "DevToolsActivePort").read_text().split("\n")[0])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("Chromium gave no port")
