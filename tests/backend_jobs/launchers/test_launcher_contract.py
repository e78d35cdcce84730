"""What every launcher promises, written once. A place joins by a line in `PLACES`."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from backend_jobs.launchers.hf_jobs import HfJobsLauncher
from backend_jobs.launchers.local import LocalLauncher
from backend_jobs.launchers.ray import RayLauncher
from backend_jobs.launchers.types import (
    ENDED,
    Launched,
    Launcher,
    LauncherUnreachable,
    LaunchNotFound,
    LaunchState,
    Order,
)
from evaluator.devices import this_processor
from settings import ROOT, whole_environment
from tests.fakes.hub_jobs import Machine
from tests.fakes.hub_server import FakeHub
from tests.ray_nodes import Nodes, ray_nodes

LIMIT_S = 60.0
KEYS = (f"order-{os.getpid()}-{number}" for number in itertools.count())
ANSWER = "print('forty'); print('two')"
OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
ENDLESS = "import time; print('begun', flush=True); time.sleep(600)"

MakeLauncher = Callable[[], Launcher]
"""Makes a launcher of one and the same place, as a process that was started anew would."""


@contextmanager
def local(folder: Path) -> Iterator[MakeLauncher]:
    """This machine."""
    yield lambda: LocalLauncher(folder / "launches", this_processor(), whole_environment())


@contextmanager
def hf_jobs(_: Path) -> Iterator[MakeLauncher]:
    """Hugging Face Jobs, by the Hub's own client, on the local Hub; its log streams break now and then."""
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        hub.jobs.machine = Machine(environment=whole_environment(), folder=ROOT)
        hub.jobs.cut_after = [1]
        yield lambda: HfJobsLauncher(
            token="hf_alice", namespace="alice", board="board", image="img", folder=str(ROOT), endpoint=hub.root
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with ray_nodes(0, gpus=0, dashboard=True) as nodes:
        yield nodes


@contextmanager
def ray(nodes: Nodes) -> Iterator[MakeLauncher]:
    """A Ray cluster, through its own Jobs API and client."""
    yield lambda: RayLauncher(address=nodes.dashboard, board="board", folder=str(ROOT), python=sys.executable)


PLACES: list[Callable[..., AbstractContextManager[MakeLauncher]]] = [local, ray]
ON_THE_HUB = pytest.param(hf_jobs, marks=pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the client offline"))


@pytest.fixture(params=[*PLACES, ON_THE_HUB], ids=lambda place: place.__name__)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLauncher]:
    where = request.getfixturevalue("cluster") if request.param is ray else tmp_path
    with request.param(where) as make_launcher:
        yield make_launcher


def order(launcher: Launcher, code: str, *, timeout_s: float = 300.0, **secrets: str) -> Order:
    """A new order to run some Python on the first machine that the place has."""
    machine = launcher.machines()[0].name
    return Order(key=next(KEYS), arguments=("-c", code), machine=machine, timeout_s=timeout_s, secrets=secrets)


def until(launcher: Launcher, launch_id: str, *states: LaunchState) -> Launched:
    """Wait until it has one of these states; another end fails."""
    deadline = time.monotonic() + LIMIT_S
    while (seen := launcher.look(launch_id)).state not in states:
        assert seen.state not in ENDED, seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


def lines(launcher: Launcher, launch_id: str, *, skip: int = 0) -> list[str]:
    """All lines to the end, taken up again wherever the stream breaks."""
    seen: list[str] = []
    while True:
        try:
            for line in launcher.follow(launch_id, skip=skip + len(seen)):
                seen.append(line)
        except LauncherUnreachable:
            continue
        return seen


def test_a_command_runs_to_its_end_and_its_lines_are_read(make: MakeLauncher) -> None:
    launcher = make()
    asked = order(launcher, ANSWER)
    launched = launcher.start(asked)
    assert launched.key == asked.key
    assert lines(launcher, launched.id) == ["forty", "two"]
    assert lines(launcher, launched.id, skip=1) == ["two"]
    ended = until(launcher, launched.id, LaunchState.FINISHED)
    assert ended.exit_code in (0, None)
    assert ended.machine == asked.machine


def test_a_command_that_fails_says_how(make: MakeLauncher) -> None:
    launcher = make()
    launched = launcher.start(order(launcher, "import sys; print('alas'); sys.exit(3)"))
    ended = until(launcher, launched.id, LaunchState.FAILED)
    assert lines(launcher, launched.id) == ["alas"]
    assert ended.exit_code in (3, None)
    assert ended.reason


def test_a_command_is_stopped_at_its_time_limit(make: MakeLauncher) -> None:
    launcher = make()
    launched = launcher.start(order(launcher, ENDLESS, timeout_s=2))
    ended = until(launcher, launched.id, LaunchState.TIMED_OUT)
    assert ended.running_s >= 1.5
    assert ended.reason


def test_a_cancelled_command_ends_with_all_that_it_started(make: MakeLauncher, tmp_path: Path) -> None:
    launcher = make()
    pids = tmp_path / "pids"
    code = (
        "import subprocess, sys, os, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(pids)!r} + '.part', 'w').write(f'{{os.getpid()}} {{child.pid}}'); "
        f"os.rename({str(pids)!r} + '.part', {str(pids)!r}); time.sleep(600)"
    )
    launched = launcher.start(order(launcher, code))
    deadline = time.monotonic() + LIMIT_S
    while not pids.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launcher.cancel(launched.id)
    launcher.cancel(launched.id)
    until(launcher, launched.id, LaunchState.CANCELLED)
    while any(Path("/proc", pid).exists() and not _zombie(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_that_is_made_anew_finds_what_runs_and_follows_it_on(make: MakeLauncher, tmp_path: Path) -> None:
    first, gate = make(), tmp_path / "gate"
    code = (
        "import os, time; print('one', flush=True)\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)\nprint('two')"
    )
    launched = first.start(order(first, code))
    assert next(iter(first.follow(launched.id))) == "one"
    second = make()
    found = {each.key: each for each in second.find()}
    assert found[launched.key].id == launched.id
    assert found[launched.key].state is LaunchState.RUNNING
    gate.touch()
    assert lines(second, found[launched.key].id, skip=1) == ["two"]
    until(second, launched.id, LaunchState.FINISHED)


def test_an_order_is_carried_out_once_however_often_it_is_started(make: MakeLauncher, tmp_path: Path) -> None:
    launcher, runs = make(), tmp_path / "runs"
    asked = order(launcher, f"open({str(runs)!r}, 'a').write('run ')")
    ids = {launcher.start(asked).id, launcher.start(asked).id, make().start(asked).id}
    assert len(ids) == 1
    until(launcher, ids.pop(), LaunchState.FINISHED)
    launcher.start(asked)
    assert runs.read_text() == "run "


def test_secrets_reach_the_command_and_are_shown_nowhere(make: MakeLauncher, tmp_path: Path) -> None:
    launcher, got = make(), tmp_path / "got"
    asked = order(
        launcher, f"import os; open({str(got)!r}, 'w').write(os.environ['KEY_OF_TEST'])", KEY_OF_TEST="s3cr3t"
    )
    assert "s3cr3t" not in repr(asked)
    launched = launcher.start(asked)
    ended = until(launcher, launched.id, LaunchState.FINISHED)
    assert got.read_text() == "s3cr3t"
    assert "s3cr3t" not in repr((ended, launcher.find(), lines(launcher, launched.id)))
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path != got]
    assert not [path for path in kept if b"s3cr3t" in path.read_bytes()]


def test_a_ray_cluster_shows_and_keeps_no_secret_of_a_job(cluster: Nodes, tmp_path: Path) -> None:
    with ray(cluster) as make_launcher:
        launcher, got = make_launcher(), tmp_path / "got"
        code = f"import os; open({str(got)!r}, 'w').write(os.environ['KEY_OF_TEST'] + os.environ['OPEN_R1_RAY'])"
        launched = launcher.start(order(launcher, code, KEY_OF_TEST="s3cr3t-of-ray"))
        until(launcher, launched.id, LaunchState.FINISHED)
    assert got.read_text() == "s3cr3t-of-ray"
    for route in ("/api/jobs/", "/api/v0/runtime_envs?detail=1", "/api/v0/actors?detail=1"):
        with urlopen(f"{cluster.dashboard}{route}", timeout=30) as answer:
            assert b"s3cr3t-of-ray" not in answer.read()
    kept = [path for path in cluster.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert kept
    assert not [path for path in kept if b"s3cr3t-of-ray" in path.read_bytes()]


def test_nothing_is_known_of_what_was_never_started(make: MakeLauncher) -> None:
    launcher = make()
    for ask in (launcher.look, launcher.cancel, lambda launch_id: list(launcher.follow(launch_id))):
        with pytest.raises(LaunchNotFound):
            ask("0123456789abcdef01234567")


def _zombie(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
