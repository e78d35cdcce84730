"""A Ray cluster as a place that runs commands, through Ray's own Jobs API over HTTP. A door to ray.

A job's submission id is made of the board and the order's key, so that it is found again, and never started twice. Its
machine is held back by Ray's own bookkeeping: as many GPUs as the order needs, of the kind that it names.

Every node has this program at the same path. Secrets travel in the job's working directory, not in its runtime
environment, which the dashboard shows to everybody; the runner removes them before it starts the command.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from backend_jobs.launchers.ray_runner import BEGINS, SECRETS, TIMED_OUT
from backend_jobs.launchers.types import (
    ENDED,
    Launched,
    LauncherUnreachable,
    LaunchNotFound,
    LaunchRefused,
    LaunchState,
    Machine,
    Order,
)
from evaluator.devices import Devices
from evaluator.errors import PlanRejected
from evaluator.hardware import named_devices

BOARD, KEY, MACHINE = "open-r1-board", "open-r1-key", "open-r1-machine"
ACCELERATOR = "accelerator_type:"
CPU = "cpu"
A_LITTLE = 0.001  # of a node's accelerator_type: enough to be put there, and it never runs out
STATES = {
    "PENDING": LaunchState.WAITING,
    "RUNNING": LaunchState.RUNNING,
    "SUCCEEDED": LaunchState.FINISHED,
    "STOPPED": LaunchState.CANCELLED,
    "FAILED": LaunchState.FAILED,
}


class RayLauncher:
    """See `backend_jobs.launchers.types.Launcher`.

    `address` is the dashboard's, http://host:8265. `board` tells our jobs from others'. The program lies in `folder` on
    every node, with `python` as its interpreter.
    """

    def __init__(self, *, address: str, board: str, folder: str, python: str) -> None:
        self._address, self._board, self._folder, self._python = address.rstrip("/"), board, folder, python

    @property
    def name(self) -> str:
        """As settings and records call it."""
        return "ray"

    def machines(self) -> tuple[Machine, ...]:
        """The kinds of nodes that the cluster has now, those with GPUs first. Nobody bills for them."""
        with _told(f"the nodes of {self._address}"):
            nodes = _ray().util.state.list_nodes(
                address=self._address, filters=[("state", "=", "ALIVE")], detail=True, raise_on_missing_output=False
            )
        kinds: dict[str, Machine] = {}
        for node in nodes:
            machine = _machine(node.resources_total)
            if machine is not None and (machine.name not in kinds or _count(machine) > _count(kinds[machine.name])):
                kinds[machine.name] = machine
        return tuple(sorted(kinds.values(), key=lambda machine: machine.name == CPU))

    def start(self, order: Order) -> Launched:
        """Start a job, unless one with this key is there. Raises LaunchRefused."""
        job_id = self._id(order.key)
        there = next((each for each in self.find() if each.id == job_id), None)
        if there is not None:
            return there
        command = [self._python, "-m", "backend_jobs.launchers.ray_runner", str(order.timeout_s), *order.arguments]
        with tempfile.TemporaryDirectory() as folder, _told(f"{job_id} on {order.machine}", starting=True):
            # Its engines run on the node whose GPUs it holds: asked of the cluster, they would wait for themselves.
            environment = {"OPEN_R1_RAY": "", **order.environment, "PYTHONPATH": self._folder}
            # With the key: nodes keep one folder per content, and each job removes its own.
            held = {"key": job_id, "environment": dict(order.secrets)}
            (Path(folder) / SECRETS).write_text(json.dumps(held), encoding="utf-8")
            self._client().submit_job(
                entrypoint=f"exec {shlex.join(command)}",
                submission_id=job_id,
                runtime_env={"working_dir": folder, "env_vars": environment},
                metadata={BOARD: self._board, KEY: order.key, MACHINE: order.machine},
                entrypoint_num_gpus=order.gpus or None,
                entrypoint_resources=None if order.machine == CPU else {f"{ACCELERATOR}{order.machine}": A_LITTLE},
            )
        return self.look(job_id)

    def look(self, launch_id: str) -> Launched:
        """Where a job stands. Raises LaunchNotFound."""
        with _told(launch_id):
            return _launched(self._client().get_job_info(launch_id))

    def follow(self, launch_id: str, *, skip: int = 0) -> Iterator[str]:
        """Its lines from number `skip` on, to its end: Ray sends a log from its beginning."""
        self.look(launch_id)
        seen, rest, begun = 0, "", False
        for part in self._parts(launch_id):
            *lines, rest = (rest + part).split("\n")
            for line in lines:
                if not begun:
                    begun = line == BEGINS
                    continue
                if seen >= skip:
                    yield line.rstrip("\r")
                seen += 1
        if begun and rest and seen >= skip:
            yield rest
        if self.look(launch_id).state not in ENDED:
            raise LauncherUnreachable(f"the log of {launch_id} broke off; read on from where it was")

    def cancel(self, launch_id: str) -> None:
        """End a job that has not ended."""
        if self.look(launch_id).state not in ENDED:
            with _told(launch_id):
                self._client().stop_job(launch_id)

    def find(self) -> tuple[Launched, ...]:
        """Every job of this board that the cluster still knows."""
        with _told(f"the jobs of {self._address}"):
            jobs = self._client().list_jobs()
        ours = [job for job in jobs if job.submission_id and (job.metadata or {}).get(BOARD) == self._board]
        return tuple(_launched(job) for job in ours)

    def _id(self, key: str) -> str:
        return f"{self._board}-{key}"

    def _client(self) -> Any:
        return _ray().job_submission.JobSubmissionClient(self._address)

    def _parts(self, launch_id: str) -> Iterator[str]:
        """The log as it comes, out of the asynchronous stream of Ray's client."""
        parts: SimpleQueue[str | BaseException | None] = SimpleQueue()

        async def read() -> None:
            async for part in self._client().tail_job_logs(launch_id):
                parts.put(part)

        def run() -> None:
            try:
                asyncio.run(read())
            except (OSError, RuntimeError) as error:
                parts.put(error)
            else:
                parts.put(None)

        threading.Thread(target=run, daemon=True).start()
        while (part := parts.get()) is not None:
            if isinstance(part, BaseException):
                raise LauncherUnreachable(f"the log of {launch_id} broke off ({part}); asked again later") from part
            yield part


def _machine(resources: dict[str, float]) -> Machine | None:
    """A node as a kind of machine; None for GPUs that plans know nothing of."""
    gpus = int(resources.get("GPU", 0))
    kind = next((name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)), None)
    if gpus and kind:
        try:
            return Machine(name=kind, devices=named_devices(f"{gpus}x{kind}"))
        except PlanRejected:
            return None
    cores, memory = int(resources.get("CPU", 0)), int(resources.get("memory", 0))
    return Machine(name=CPU, devices=Devices(kind="cpu", name=CPU, count=max(1, cores), memory_bytes=memory))


def _count(machine: Machine) -> int:
    return machine.devices.count


def _launched(job: Any) -> Launched:
    metadata, code = job.metadata or {}, job.driver_exit_code
    state = STATES[str(getattr(job.status, "value", job.status))]
    if state is LaunchState.FAILED and code == TIMED_OUT:
        state = LaunchState.TIMED_OUT
    reasons = {
        LaunchState.TIMED_OUT: "it was stopped at its time limit",
        LaunchState.FAILED: f"{job.message or 'Ray gives no reason'}; read its log",
    }
    began, ended = job.start_time, job.end_time
    return Launched(
        key=metadata.get(KEY, ""),
        id=job.submission_id,
        state=state,
        machine=metadata.get(MACHINE, ""),
        running_s=((ended or time.time() * 1000) - began) / 1000 if began and state is not LaunchState.WAITING else 0.0,
        exit_code=code,
        reason=reasons.get(state, ""),
    )


@contextmanager
def _told(what: str, *, starting: bool = False) -> Iterator[None]:
    """What Ray's client raises, RuntimeErrors with the HTTP status in their text, as what a launcher promises."""
    try:
        yield
    except (OSError, _ray().util.state.exception.RayStateApiException) as error:
        raise LauncherUnreachable(f"the Ray cluster cannot be reached for {what} ({error}); asked again") from error
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        if "status code 404" in text and not starting:
            raise LaunchNotFound(f"the Ray cluster knows no job {what}") from error
        if starting and "status code 5" not in text:
            raise LaunchRefused(f"the Ray cluster refuses {what}: {text}") from error
        raise LauncherUnreachable(f"the Ray cluster does not answer for {what} ({text}); asked again later") from error


def _ray() -> Any:
    """Ray with its Jobs and state clients, where it is installed."""
    try:
        import ray
        import ray.job_submission
        import ray.util.state
        import ray.util.state.exception
    except ImportError as error:
        raise LaunchRefused(
            "Ray is not installed: .venv/bin/pip install -r requirements-ray.txt -c locks/app.txt"
        ) from error
    return ray
