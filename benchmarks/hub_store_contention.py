"""Many processes commit to one store on the Hub at once, while the Hub fails at random: is anything lost or doubled?

    python -m benchmarks.hub_store_contention --processes 8 --commits 100

Each commit raises one counter and adds a file of its own. At the end counter, files and history must all say
processes x commits. The Hub is the local server of the tests, asked by the real huggingface_hub client.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

from huggingface_hub import HfApi

from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore, Waits
from leaderboard.store import update
from tests.fakes.hub_faults import COMMIT_CHAOS, Chaos
from tests.fakes.hub_server import FakeHub

REPO, TOKEN = "alice/board", "hf_alice"
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    """Run it and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.2, help="share of commits that fail (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name, value in contention(given.processes, given.commits, given.rate, given.seed).items():
        print(f"{name:34} {value}")


def contention(processes: int, commits: int, rate: float, seed: int) -> dict[str, Any]:
    """What came of it. Raises AssertionError where anything was lost or doubled."""
    with FakeHub() as hub, tempfile.TemporaryDirectory() as folder:
        hub.account("alice", token=TOKEN)
        HfApi(endpoint=hub.root, token=TOKEN).create_repo(REPO, repo_type="dataset")
        _open(hub.root, Path(folder) / "first").commit({"sum": b"0"}, parent=_head(hub), message="begin")
        hub.faults.chaos = Chaos(kinds=COMMIT_CHAOS, rate=rate, seed=seed)
        began = time.monotonic()
        children = [
            SPAWN.Process(target=_work, args=(hub.root, folder, number, commits)) for number in range(processes)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
        seconds = time.monotonic() - began
        hub.faults.chaos = None
        told = [json.loads((Path(folder) / f"{number}.json").read_text()) for number in range(processes)]
        snapshot = _open(hub.root, Path(folder) / "last").snapshot()
        repository = hub.repositories[f"datasets/{REPO}"]
        history = [made.message for _, made in repository.history(repository.refs["main"])]
        expected = processes * commits
        notes = Counter(message for message in history if message)
        files = len([name for name in snapshot.names if name.startswith("by/")])
        assert [child.exitcode for child in children] == [0] * processes
        assert int(snapshot.read("sum")) == files == expected
        assert len(notes) == expected + 1
        assert set(notes.values()) == {1}
    return {
        "processes x commits": f"{processes} x {commits}",
        "counter, files, commits in history": f"{expected}, {files}, {len(notes) - 1}",
        "lost, doubled": "0, 0",
        "faults of the Hub": ", ".join(f"{kind} {count}" for kind, count in sorted(hub.faults.happened.items())),
        "tries again because of the Hub": sum(each["retries"] for each in told),
        "lost races (read again, applied again)": sum(each["tries"] for each in told) - expected,
        "requests": len(hub.requests),
        "seconds": f"{seconds:.0f}",
    }


def _work(root: str, folder: str, number: int, commits: int) -> None:
    store = _open(root, Path(folder) / f"cache{number}")
    tries = 0
    for done in range(commits):

        def edit(snapshot: Any, name: str = f"by/{number}/{done}") -> dict[str, bytes | None]:
            nonlocal tries
            tries += 1
            return {"sum": b"%d" % (int(snapshot.read("sum")) + 1), name: b"done"}

        update(store, edit, message=f"{number} counts {done}")
    (Path(folder) / f"{number}.json").write_text(json.dumps({"tries": tries, "retries": store.retries}))


def _open(root: str, cache: Path) -> HubStore:
    waits = Waits(first_s=0.05, longest_s=2.0, patience_s=120)
    return HubStore(HubRepository(REPO, token=TOKEN, endpoint=root), cache, refresh_s=0, waits=waits)


def _head(hub: FakeHub) -> str:
    return hub.repositories[f"datasets/{REPO}"].refs["main"]


if __name__ == "__main__":
    main()
