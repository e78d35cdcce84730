"""The Jobs of the local Hub. With a `machine` they really run, as processes of this one; else a test moves them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.hub_server import FakeHub, refusal

TERMINAL = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
LOOK_EVERY_S = 0.05
HARDWARE = (
    ("cpu-basic", "CPU Basic", None, 167),
    ("t4-small", "Nvidia T4 - small", ("T4", 1, 16), 6667),
    ("l4x1", "1x Nvidia L4", ("L4", 1, 24), 13333),
    ("l40sx1", "1x Nvidia L40S", ("L40S", 1, 48), 30000),
    ("l4x4", "4x Nvidia L4", ("L4", 4, 96), 63333),
    ("h200", "1x Nvidia H200", ("H200", 1, 141), 83333),
    ("h200x8", "8x Nvidia H200", ("H200", 8, 1128), 666667),
)
"""(name, pretty name, (GPU, how many, GB in all), micro-dollars a minute)."""


@dataclass(kw_only=True)
class Machine:
    """What Jobs run on: the environment of their image, and the folder that they begin in."""

    environment: Mapping[str, str]
    folder: Path
    schedule_s: float = 0.0
    """How long a Job waits before it gets its machine."""


@dataclass(kw_only=True)
class Job:
    """One Job: what was asked, where it stands, what it printed."""

    asked: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    info: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Jobs:
    """Jobs by id. Without a `machine` a test moves `jobs[id]["status"]["stage"]` and adds to `lines[id]`."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self._numbers = itertools.count(1)
        self._jobs: dict[str, Job] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.machine: Machine | None = None
        self.cut_after: list[int] = []
        """Each log stream that is opened takes the first number, and is cut after so many lines."""

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """What the Hub shows of each Job."""
        return {job_id: job.info for job_id, job in self._jobs.items()}

    @property
    def lines(self) -> dict[str, list[str]]:
        """What each printed."""
        return {job_id: job.lines for job_id, job in self._jobs.items()}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/jobs/hardware", self.hardware)
        router.add_post("/api/jobs/{namespace}", self.run)
        router.add_get("/api/jobs/{namespace}", self.all)
        router.add_get("/api/jobs/{namespace}/{id}", self.one)
        router.add_get("/api/jobs/{namespace}/{id}/logs", self.logs)
        router.add_post("/api/jobs/{namespace}/{id}/cancel", self.cancel)

    async def hardware(self, _: web.Request) -> web.Response:
        return web.json_response([_hardware(*row) for row in HARDWARE])

    async def run(self, request: web.Request) -> web.Response:
        namespace = request.match_info["namespace"]
        self._hub.writer(request, namespace)
        asked = await request.json()
        if asked["flavor"] not in {row[0] for row in HARDWARE}:
            raise refusal(400, None, f"unknown flavor {asked['flavor']}")
        job_id = f"{next(self._numbers):024x}"
        secrets = asked.pop("secrets", {})
        info = asked | {
            "id": job_id,
            "createdAt": _now(),
            "owner": {"id": f"id-{namespace}", "name": namespace, "type": "user"},
            "status": {"stage": "RUNNING" if self.machine is None else "SCHEDULING", "message": None},
            "secrets": dict.fromkeys(secrets, ""),
            "durations": {"schedulingSecs": None, "runningSecs": None, "totalSecs": None},
        }
        self._jobs[job_id] = Job(asked=asked, secrets=secrets, info=info)
        if self.machine is not None:
            task = asyncio.create_task(self._carry_out(self._jobs[job_id], self.machine))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return web.json_response(info)

    async def _carry_out(self, job: Job, machine: Machine) -> None:
        if await _stopped(job, machine.schedule_s):
            job.info["status"]["stage"] = "CANCELED"
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        process = await asyncio.create_subprocess_exec(
            *job.asked["command"],
            cwd=machine.folder,
            env={**machine.environment, **job.asked["environment"], **job.secrets},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        job.info["status"]["stage"] = "RUNNING"
        job.info["startedAt"] = _now()
        reading = asyncio.create_task(_read(process, job))
        limit_s, why = job.asked.get("timeoutSeconds", 1800), ""
        try:
            while process.returncode is None and not why:
                job.info["durations"]["runningSecs"] = int(clock() - began)
                why = "cancelled" if job.stop.is_set() else "timeout" if clock() - began > limit_s else ""
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            _end_group(process.pid)
        await process.wait()
        await reading
        job.info["durations"]["runningSecs"] = int(clock() - began)
        job.info["finishedAt"] = _now()
        job.info["status"] = _status(why, process.returncode)

    async def all(self, request: web.Request) -> web.Response:
        wanted = [label.partition("=")[::2] for label in request.query.getall("label", [])]
        shown = [job.info for job in self._jobs.values()]
        found = [job for job in shown if all(job.get("labels", {}).get(key) == value for key, value in wanted)]
        return web.json_response(found[::-1])

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(request).info)

    async def cancel(self, request: web.Request) -> web.Response:
        self._hub.writer(request, request.match_info["namespace"])
        job = self._job(request)
        if job.info["status"]["stage"] in TERMINAL:
            raise refusal(409, None, "the job has ended")
        job.stop.set()
        if self.machine is None:
            job.info["status"]["stage"] = "CANCELED"
        return web.json_response(job.info)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """All lines from the first on, then as they come; open until the Job has ended, where Jobs really run."""
        job = self._job(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        most, sent = self.cut_after.pop(0) if self.cut_after else None, 0
        while True:
            ended = self.machine is None or job.info["status"]["stage"] in TERMINAL
            for line in job.lines[sent:]:
                if sent == most and request.transport is not None:
                    request.transport.close()
                    return response
                event = json.dumps({"data": line, "timestamp": _now()})
                await response.write(f"data: {event}\n\n".encode())
                sent += 1
            if ended:
                return response
            await asyncio.sleep(LOOK_EVERY_S)

    def _job(self, request: web.Request) -> Job:
        job = self._jobs.get(request.match_info["id"])
        if job is None:
            raise refusal(404, None, "Job not found")
        return job


async def _stopped(job: Job, within_s: float) -> bool:
    """Wait for a machine; whether the Job was cancelled meanwhile."""
    try:
        await asyncio.wait_for(job.stop.wait(), within_s)
    except TimeoutError:
        return False
    return True


async def _read(process: asyncio.subprocess.Process, job: Job) -> None:
    assert process.stdout is not None
    job.lines.append(f"===== Job started at {_now()} =====")
    async for line in process.stdout:
        job.lines.append(line.decode(errors="replace").rstrip("\n"))


def _status(why: str, code: int | None) -> dict[str, Any]:
    if why == "cancelled":
        return {"stage": "CANCELED", "message": None}
    if why == "timeout":
        return {"stage": "ERROR", "message": "Job timeout"}
    if code:
        return {"stage": "ERROR", "message": f"Job failed with exit code: {code}"}
    return {"stage": "COMPLETED", "message": None}


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _hardware(name: str, pretty: str, gpu: tuple[str, int, int] | None, micro_dollars: int) -> dict[str, Any]:
    accelerator = gpu and {
        "type": "gpu",
        "model": gpu[0],
        "quantity": str(gpu[1]),
        "vram": f"{gpu[2]} GB",
        "manufacturer": "Nvidia",
    }
    return {
        "name": name,
        "prettyName": pretty,
        "cpu": "8 vCPU",
        "ram": "30 GB",
        "ephemeralStorage": "100 GB",
        "accelerator": accelerator,
        "unitCostMicroUSD": micro_dollars,
        "unitCostUSD": micro_dollars / 1e6,
        "unitLabel": "minute",
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
