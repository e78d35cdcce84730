"""Hugging Face Jobs as a place that runs commands. A door to huggingface_hub.

A Job carries three labels: whose it is, the key of its order, and its time limit. They are all that is needed to find
it again; nothing is kept here. Secrets go to the Hub with the order and never come back from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from huggingface_hub import HfApi, JobInfo, JobStage

from backend_jobs.launchers.hub_errors import told
from backend_jobs.launchers.types import (
    ENDED,
    Launched,
    LaunchState,
    Machine,
    Order,
)
from evaluator.devices import Devices
from evaluator.errors import PlanRejected
from evaluator.hardware import named_devices

_told = partial(told, place="Hugging Face Jobs", may="run Jobs")
BOARD, KEY, LIMIT = "open-r1-board", "open-r1-key", "open-r1-limit"
STATES = {
    JobStage.SCHEDULING: LaunchState.WAITING,
    JobStage.RUNNING: LaunchState.RUNNING,
    JobStage.COMPLETED: LaunchState.FINISHED,
    JobStage.CANCELED: LaunchState.CANCELLED,
    JobStage.DELETED: LaunchState.CANCELLED,
    JobStage.ERROR: LaunchState.FAILED,
}
HOURS = {"second": 3600.0, "minute": 60.0, "hour": 1.0}
EXIT_CODE = re.compile(r"exit (?:code|status):? (\d+)", re.IGNORECASE)


class HfJobsLauncher:
    """See `backend_jobs.launchers.types.Launcher`.

    `namespace` pays. `board` tells our Jobs from those of other boards in it. The `image` holds this program in
    `folder`, with an interpreter in `.venv/bin`: `deploy/Dockerfile.gpu` makes one.
    """

    def __init__(
        self, *, token: str | None, namespace: str, board: str, image: str, folder: str, endpoint: str | None = None
    ) -> None:
        self._api = HfApi(endpoint=endpoint, token=token or False)
        self._namespace, self._board, self._image, self._folder = namespace, board, image, folder.rstrip("/")

    @property
    def name(self) -> str:
        """As settings and records call it."""
        return "hf-jobs"

    def machines(self) -> tuple[Machine, ...]:
        """The flavors with GPUs that plans know, at the Hub's prices of now, cheapest first."""
        with _told(f"the flavors of {self._namespace}"):
            listed = self._api.list_jobs_hardware()
        found = []
        for flavor in listed:
            devices = _devices(flavor.accelerator.quantity, flavor.accelerator.model) if flavor.accelerator else None
            if devices is not None:
                dollars = flavor.unit_cost_usd * HOURS[flavor.unit_label]
                found.append(Machine(name=flavor.name, devices=devices, dollars_per_hour=dollars))
        return tuple(sorted(found, key=lambda machine: machine.dollars_per_hour or 0.0))

    def start(self, order: Order) -> Launched:
        """Start a Job, unless one with this key is there. Raises LaunchRefused."""
        there = self._labelled({BOARD: self._board, KEY: order.key})
        if there:
            return there[0]
        with _told(f"a Job on {order.machine} for {self._namespace}", making=True):
            job = self._api.run_job(
                image=self._image,
                command=[f"{self._folder}/.venv/bin/python", *order.arguments],
                env={**order.environment, "PYTHONPATH": self._folder},
                secrets=dict(order.secrets),
                flavor=order.machine,
                timeout=order.timeout_s,
                name=order.key,
                labels={BOARD: self._board, KEY: order.key, LIMIT: f"{order.timeout_s:.0f}"},
                namespace=self._namespace,
            )
        return _launched(job)

    def look(self, launch_id: str) -> Launched:
        """Where a Job stands. Raises LaunchNotFound."""
        with _told(launch_id):
            return _launched(self._api.inspect_job(job_id=launch_id, namespace=self._namespace))

    def follow(self, launch_id: str, *, skip: int = 0) -> Iterator[str]:
        """Its lines from number `skip` on, to its end: the Hub sends a stream again from its beginning.

        The client takes a stream that broke for whole where the Job has ended meanwhile, so what it may have missed is
        read once more.
        """
        seen = skip
        with _told(launch_id):
            for follow in (True, False):
                lines = self._api.fetch_job_logs(job_id=launch_id, namespace=self._namespace, follow=follow)
                for number, line in enumerate(lines):
                    if number >= seen:
                        seen = number + 1
                        yield line.rstrip("\r\n")

    def cancel(self, launch_id: str) -> None:
        """End a Job that has not ended."""
        if self.look(launch_id).state in ENDED:
            return
        with _told(launch_id):
            self._api.cancel_job(job_id=launch_id, namespace=self._namespace)

    def find(self) -> tuple[Launched, ...]:
        """Every Job of this board."""
        return self._labelled({BOARD: self._board})

    def _labelled(self, labels: dict[str, str]) -> tuple[Launched, ...]:
        with _told(f"the Jobs of {self._namespace}"):
            jobs = self._api.list_jobs(labels=labels, namespace=self._namespace)
            return tuple(_launched(job) for job in jobs if KEY in (job.labels or {}))


def _devices(quantity: str, model: str) -> Devices | None:
    """The GPUs of a flavor; None for a kind that plans know nothing of."""
    try:
        return named_devices(f"{quantity}x{model}")
    except PlanRejected:
        return None


def _launched(job: JobInfo) -> Launched:
    labels, message = job.labels or {}, job.status.message or ""
    state = STATES.get(job.status.stage, LaunchState.WAITING)
    running_s = float(job.durations.running_secs or 0) if job.durations else _between(job)
    limit_s = float(labels.get(LIMIT, "inf"))
    if state is LaunchState.FAILED and ("timeout" in message.lower() or running_s >= limit_s):
        state, message = LaunchState.TIMED_OUT, message or f"it was stopped at its time limit of {limit_s:.0f} s"
    told = EXIT_CODE.search(message)
    reason = message or ("the Hub gives no reason; read its log" if state is LaunchState.FAILED else "")
    return Launched(
        key=labels.get(KEY, ""),
        id=job.id,
        state=state,
        machine=str(getattr(job.flavor, "value", job.flavor) or ""),
        running_s=running_s,
        exit_code=int(told[1]) if told else None,
        reason=reason if state in (LaunchState.FAILED, LaunchState.TIMED_OUT) else "",
    )


def _between(job: JobInfo) -> float:
    """Seconds that a Job ran, where the Hub names only the moments."""
    if job.started_at is None or job.finished_at is None:
        return 0.0
    return (job.finished_at - job.started_at).total_seconds()
