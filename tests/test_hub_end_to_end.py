"""The whole of it on the Hub: submitted in a browser, measured by a worker elsewhere, read back as one number."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi
from playwright.sync_api import sync_playwright

from evaluator.engine import free_port
from settings import ROOT
from tests.browser import CHROMIUM, FLAGS
from tests.fakes.hub_server import FakeHub
from tests.waiting import until_it_answers

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: run scripts/install_browser.sh"),
    pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback"),
]
REPO, STORE = "alice/board", "hf://datasets/alice/board"
PATIENCE_S = 500
LOAD = """
import json, sys
from datasets import load_dataset
(row,) = load_dataset(sys.argv[1], sys.argv[2], split="train")
print(json.dumps({name: row[name] for name in ("plan_key", "score", "ci95_low", "ci95_high", "commit")}))
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A board and a worker, two processes that share nothing but a dataset on the local Hub and a token."""

    hub: FakeHub
    url: str
    environment: dict[str, str]

    def api(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}api/v1{path}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo(REPO, repo_type="dataset")
        port = free_port()
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.root,
            "HF_TOKEN": "hf_alice",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "OPEN_R1_DEMO": "0",
            "OPEN_R1_WORKER": "0",
            "OPEN_R1_STORE": STORE,
            "OPEN_R1_DATA": str(tmp_path / "board"),
            "WORKER_TOKEN": "shared-between-the-two",
        }
        worker = {**environment, "OPEN_R1_DATA": str(tmp_path / "worker"), "BOARD_URL": f"http://127.0.0.1:{port}"}
        url = f"http://127.0.0.1:{port}/"
        with (
            started(["app.py", "--port", str(port)], environment, tmp_path / "app.log") as board,
            started(["-m", "backend_jobs", "worker"], worker, tmp_path / "worker.log"),
        ):
            until_it_answers(url, board)
            yield Scene(hub=hub, url=url, environment=environment)


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(90)


def submit_in_a_browser(url: str, checkpoint: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(url + "submit")
        tab.get_by_label("Model").fill(str(checkpoint))
        tab.get_by_label(re.compile("Arithmetic")).check()
        tab.get_by_text("Advanced").click()
        tab.get_by_label("Attempts per problem").fill("1")
        tab.get_by_label(re.compile("Answer budget")).fill("24")
        tab.get_by_role("button", name="Submit").click()
        tab.get_by_role("link", name="Watch job").click()
        browser.close()


def test_what_the_worker_measured_reads_back_everywhere_as_the_same_number(scene: Scene, checkpoint: Path) -> None:
    submit_in_a_browser(scene.url, checkpoint)
    deadline = time.monotonic() + PATIENCE_S
    (job,) = scene.api("/submissions")["items"]
    seen_progress = False
    while job["status"] not in ("FINISHED", "FAILED"):
        assert time.monotonic() < deadline, job
        time.sleep(0.5)
        job = scene.api(f"/submissions/{job['id']}")
        seen_progress |= job["live"] is not None
    assert job["status"] == "FINISHED", job["failure"]
    assert seen_progress, "the worker's progress came through the board's API"

    (key,) = job["results"]
    result = scene.api(f"/results/{key}")
    low, high = result["statistics"]["ci95"]
    measured = {
        "plan_key": key,
        "score": result["statistics"]["score"],
        "ci95_low": low,
        "ci95_high": high,
        "commit": result["commit"],
    }
    scene.run("-m", "backend_jobs", "store", "compact", STORE)
    for config in ("results", "leaderboard"):
        assert json.loads(scene.run("-c", LOAD, REPO, config).splitlines()[-1]) == measured
    (row,) = scene.api("/leaderboard?exact=true")
    assert {name: row[name] for name in measured} == measured
    scene.run("-m", "backend_jobs", "store", "validate", STORE)

    repository = scene.hub.repositories[f"datasets/{REPO}"]
    titles = [made.title for _, made in repository.history(repository.refs["main"])]
    assert titles.count(f"finish {job['id']}") == 1
    assert len(titles) <= 8, f"few commits: {titles}"
