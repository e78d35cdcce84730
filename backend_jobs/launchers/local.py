"""This machine as a place that runs commands: each in a process that outlives whoever started it."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backend_jobs.launchers import local_runner
from backend_jobs.launchers.types import (
    ENDED,
    Launched,
    LaunchNotFound,
    LaunchRefused,
    LaunchState,
    Machine,
    Order,
)
from evaluator.devices import Devices
from settings import ROOT

LOOK_EVERY_S = 0.2
HERE = "here"


class LocalLauncher:
    """See `backend_jobs.launchers.types.Launcher`. One folder per order under `folder` holds all there is to know.

    `environment` is what every process gets beside its order's own. Nobody bills for this machine.
    """

    def __init__(self, folder: Path, devices: Devices, environment: Mapping[str, str]) -> None:
        self._folder, self._devices, self._environment = folder, devices, dict(environment)

    @property
    def name(self) -> str:
        """As settings and records call it."""
        return "local"

    def machines(self) -> tuple[Machine, ...]:
        """This one."""
        return (Machine(name=HERE, devices=self._devices),)

    def start(self, order: Order) -> Launched:
        """Start it in a session of its own. Where its key was started before, nothing happens."""
        place = self._folder / order.key
        try:
            place.mkdir(parents=True, exist_ok=True)
            runner = [sys.executable, "-I", "-S", local_runner.__file__, str(place), str(order.timeout_s)]
            # A second runner of the same key finds the lock taken, or the notes of the first, and ends at once.
            process = subprocess.Popen(
                [*runner, sys.executable, *order.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**self._environment, **order.environment, **order.secrets},
                cwd=ROOT,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchRefused(
                f"{order.key} cannot be started here ({error}): check {self._folder} and its disk"
            ) from error
        while process.poll() is None and not (place / "began.json").exists():
            time.sleep(LOOK_EVERY_S / 10)
        return self.look(order.key)

    def look(self, launch_id: str) -> Launched:
        """Where it stands. Raises LaunchNotFound."""
        place = self._place(launch_id)
        # In this order: a runner takes the lock before it notes that it began, and lets go after its last note.
        began, alive, ended = _noted(place / "began.json"), _locked(place / "lock"), _noted(place / "ended.json")
        if ended is not None:
            return _launched(launch_id, ended)
        if began is None:
            state = LaunchState.CANCELLED if (place / "cancel").exists() else LaunchState.WAITING
            return Launched(key=launch_id, id=launch_id, state=state, machine=HERE)
        running_s = max(0.0, time.time() - began["at"])
        if alive:
            return Launched(key=launch_id, id=launch_id, state=LaunchState.RUNNING, machine=HERE, running_s=running_s)
        reason = "the process that watched over it was killed, or the machine went down"
        return Launched(
            key=launch_id, id=launch_id, state=LaunchState.FAILED, machine=HERE, running_s=running_s, reason=reason
        )

    def follow(self, launch_id: str, *, skip: int = 0) -> Iterator[str]:
        """Its lines from number `skip` on, until it has ended."""
        log, seen, rest = self._place(launch_id) / "log", 0, b""
        offset, over = 0, False
        while not over:
            over = self.look(launch_id).state in ENDED
            new = _read_from(log, offset)
            offset += len(new)
            *lines, rest = (rest + new).split(b"\n")
            for line in [*lines, rest] if over and rest else lines:
                if seen >= skip:
                    yield line.decode("utf-8", errors="replace").rstrip("\r")
                seen += 1
            if not over and not new:
                time.sleep(LOOK_EVERY_S)

    def cancel(self, launch_id: str) -> None:
        """Ask its runner to end it, and wait until it has."""
        (self._place(launch_id) / "cancel").touch()
        while self.look(launch_id).state not in ENDED:
            time.sleep(LOOK_EVERY_S)

    def find(self) -> tuple[Launched, ...]:
        """Every order that was ever started here."""
        places = sorted(self._folder.iterdir()) if self._folder.exists() else []
        return tuple(self.look(place.name) for place in places if place.is_dir())

    def _place(self, launch_id: str) -> Path:
        place = self._folder / launch_id
        if "/" in launch_id or not place.is_dir():
            raise LaunchNotFound(f"nothing was started here as {launch_id!r}")
        return place


def _launched(launch_id: str, ended: Mapping[str, Any]) -> Launched:
    state, code = LaunchState(ended["state"]), ended["exit_code"]
    reason = f"the command ended with exit status {code}" if state is LaunchState.FAILED else ""
    return Launched(
        key=launch_id,
        id=launch_id,
        state=state,
        machine=HERE,
        running_s=ended["running_s"],
        exit_code=code,
        reason=reason or ("it was stopped at its time limit" if state is LaunchState.TIMED_OUT else ""),
    )


def _read_from(log: Path, offset: int) -> bytes:
    if not log.exists():
        return b""
    with log.open("rb") as stream:
        stream.seek(offset)
        return stream.read()


def _locked(path: Path) -> bool:
    """Whether a runner lives that holds this lock."""
    if not path.exists():
        return False
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
