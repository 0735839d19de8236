"""Drives a headless Chromium over the DevTools protocol, by real key events."""

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

_SECONDS = 60.0  # that a start or a change of the page may take
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
)
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r")}  # {key: (its code, its text)}
_CTRL = 2


class Tab:
    """An open tab."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.complaints = []  # what the console has: errors of scripts, and what a policy forbids

    async def call(self, method, **params):
        """Returns the result of a command of the protocol."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=_SECONDS)
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(message["params"])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    async def open(self, url, width=800):
        """Opens a page in a window of that width."""
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    async def value(self, expression):
        """Returns the value of an expression of JavaScript."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression):
        """Waits until an expression is true; returns its value."""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            found = await self.value(expression)
            if found:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(
            f"never true: {expression}; {await self.value('document.body.innerText')}"
        )

    async def press(self, key, ctrl=False):
        """Presses and releases a key."""
        code, text = _KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        common["modifiers"] = _CTRL if ctrl else 0
        shown = {} if ctrl or not text else {"text": text}
        kind = "keyDown" if shown else "rawKeyDown"
        await self.call("Input.dispatchKeyEvent", type=kind, **shown, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text):
        """Types a text, key by key."""
        for letter in text:
            await self.call("Input.dispatchKeyEvent", type="keyDown", key=letter, text=letter)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=letter)

    async def screenshot(self, path):
        """Writes what the tab shows, as PNG."""
        found = await self.call("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(found["data"]))


class Browser:
    """A running Chromium.

    Args:
        address: of its DevTools, host and port.
    """

    def __init__(self, address):
        self._address = address

    @contextlib.asynccontextmanager
    async def tab(self):
        """Yields a new Tab."""
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://{self._address}/json/new?about:blank") as response:
                target = json.loads(await response.text())
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)


@contextlib.contextmanager
def running(folder):
    """Yields a Browser whose profile is in a folder."""
    process = subprocess.Popen(
        [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    port_file = folder / "DevToolsActivePort"
    try:
        end = time.monotonic() + _SECONDS
        while not (port_file.exists() and "\n" in port_file.read_text()):
            assert process.poll() is None and time.monotonic() < end, "Chromium does not start"
            time.sleep(0.05)
        yield Browser(f"127.0.0.1:{port_file.read_text().splitlines()[0]}")
    finally:
        process.terminate()
        process.wait()
