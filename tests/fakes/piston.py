"""A small, honest stand-in for a Piston server: runs Python programs in processes of their own, for tests alone.

with FakePiston() as piston:
    ...  # piston.root is its address; `piston.status` answers everything with that HTTP status
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web

from tests.fakes.server_thread import ServerThread


class FakePiston(ServerThread):
    """See the module. `trouble` is put into the answer's run as its status; `answer` is given whatever is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.status: int | None = None
        self.trouble: str | None = None
        self.answer: dict[str, Any] | None = None
        self.busy_times = 0
        """So many requests are answered with 429 first."""
        self.runs: list[dict[str, Any]] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v2/execute", self._execute)
        return app

    async def _execute(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.busy_times:
            self.busy_times -= 1
            return web.json_response({"message": "busy"}, status=429)
        self.runs.append(body)
        if self.status is not None:
            return web.json_response({"message": "scripted"}, status=self.status)
        if self.answer is not None:
            return web.json_response(self.answer)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            body["files"][0]["content"],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate(body["stdin"].encode())
        run = {"stdout": stdout.decode(), "stderr": stderr.decode(), "code": process.returncode, "signal": None}
        run |= {"status": self.trouble, "message": "scripted"}
        return web.json_response({"language": body["language"], "version": "3.12.0", "run": run})
