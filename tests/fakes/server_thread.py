"""An aiohttp application on a loopback port, in a thread of its own; it can stop and come back at the same address."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from aiohttp import web

BACKLOG = 8192
START_TIMEOUT_S = 10.0


class ServerThread:
    """Base of the fakes: `with Fake(...) as fake` starts it, leaving ends it. Subclasses build the application."""

    def __init__(self) -> None:
        self.port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()

    @property
    def root(self) -> str:
        """The server's address without a path. Stays the same over `stop` and `start`."""
        return f"http://127.0.0.1:{self.port}"

    def application(self) -> web.Application:
        """The routes of this fake."""
        raise NotImplementedError

    def start(self) -> None:
        """Listen; returns when connections are accepted."""
        self._ready.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            raise TimeoutError(f"the fake server did not listen within {START_TIMEOUT_S:g} s")

    def stop(self) -> None:
        """Close every connection at once and stop listening. Harmless when it does not run."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self.application(), handler_cancellation=True, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=BACKLOG, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()
