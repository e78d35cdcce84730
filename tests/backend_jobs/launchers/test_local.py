"""What this machine as a launcher promises beyond the contract."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from backend_jobs.launchers.local import LocalLauncher
from backend_jobs.launchers.types import LaunchState, Order
from evaluator.devices import this_processor
from settings import whole_environment


def test_a_command_whose_watcher_is_killed_ends_and_counts_as_failed(tmp_path: Path) -> None:
    launcher = LocalLauncher(tmp_path / "launches", this_processor(), whole_environment())
    code = "import os, time; print(os.getppid(), os.getpid(), flush=True); time.sleep(600)"
    launched = launcher.start(Order(key="one", arguments=("-c", code), machine="here", timeout_s=300))
    runner, command = (int(pid) for pid in next(iter(launcher.follow(launched.id))).split())
    os.kill(runner, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (ended := launcher.look(launched.id)).state is LaunchState.RUNNING or Path("/proc", str(command)).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ended.state is LaunchState.FAILED
    assert "killed" in ended.reason
