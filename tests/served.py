"""Serves a model, or what stands in for it, in an event loop of a test, beside a client."""

import asyncio
import contextlib
import json

import aiohttp

from albert.serve import server
from albert.serve.batching import BatchLimits
from albert.serve.body import Limits

TYPE = {"Content-Type": "application/json"}
SETTINGS = server.Settings(Limits(1 << 20, 100, 10000), BatchLimits(100, 32, 4096), timeout=60)


class Served:
    """A server in this event loop, and a client of it."""

    def __init__(self, model, session, url, stopping, serving):
        self.model, self.session, self.url = model, session, url
        self._stopping, self._serving = stopping, serving

    @property
    def address(self):
        """The host and the port."""
        return self.url[len("http://") :].rstrip("/").split(":")

    async def post(self, value, headers=TYPE, path="predict"):
        """Returns the status, the headers and the JSON of an answer."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        async with self.session.post(self.url + path, data=data, headers=headers) as response:
            return response.status, response.headers, json.loads(await response.text())

    async def metrics(self):
        """Returns {name: value}."""
        async with self.session.get(self.url + "metrics") as response:
            lines = (await response.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def until_waiting(self, number):
        """Waits until so many inputs wait."""
        while (await self.metrics())["albert_waiting_inputs"] != number:
            await asyncio.sleep(0.005)

    async def stopped(self):
        """Returns how many requests were left unanswered."""
        self._stopping.set()
        return await self._serving


def run(model, steps, settings=SETTINGS):
    """Runs `await steps(served)` beside a server; returns what it returns."""

    async def both():
        stopping, is_ready = asyncio.Event(), asyncio.Event()
        with contextlib.closing(server.bind("127.0.0.1", 0)) as listener:
            serving = asyncio.ensure_future(
                server.serve(model, listener, settings, stopping, is_ready.set)
            )
            await is_ready.wait()
            url = server.url_of(listener)
            async with aiohttp.ClientSession() as session:
                served = Served(model, session, url, stopping, serving)
                try:
                    return await asyncio.wait_for(steps(served), 60)
                finally:
                    if hasattr(model, "gate"):
                        model.gate.set()
                    await served.stopped()

    return asyncio.run(both())
