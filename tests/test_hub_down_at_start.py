"""A board that starts while the Hub is down says so everywhere, and is whole as soon as the Hub is back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from evaluator.engine import free_port
from settings import ROOT
from tests.fakes.hub_server import FakeHub
from tests.waiting import until, until_it_answers

pytestmark = pytest.mark.skipif(
    os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
    reason="HF_HUB_OFFLINE keeps the Hub's client from asking even a server on loopback",
)
REPO = "alice/board"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The whole program as a process, and the Hub that its store lies on."""

    hub: FakeHub
    url: str

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=90) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def check(self, name: str) -> tuple[bool, str]:
        checks = json.loads(self.get("ready")[1])["checks"]
        return next((each["ok"], each["detail"]) for each in checks if each["name"] == name)


@pytest.fixture(params=["1", "0"], ids=["with a worker", "page alone"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo(REPO, repo_type="dataset")
        hub.stop()
        port = free_port()
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.root,
            "HF_TOKEN": "hf_alice",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "OPEN_R1_WORKER": request.param,
            "ENGINE_PYTHON": sys.executable,
            "OPEN_R1_STORE": f"hf://datasets/{REPO}",
            "OPEN_R1_DATA": str(tmp_path / "board"),
        }
        with (tmp_path / "app.log").open("wb") as log:
            command = [sys.executable, "app.py", "--port", str(port)]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}/"
            until_it_answers(f"{url}health", process)
            yield Scene(hub=hub, url=url)
        finally:
            process.terminate()
            process.wait(90)


def test_it_is_alive_not_ready_and_recovers_by_itself(scene: Scene) -> None:
    assert scene.get("health")[0] == 200
    status, body = scene.get("ready")
    assert (status, json.loads(body)["ready"]) == (503, False)
    ok, said = scene.check("store")
    assert not ok
    assert "Hub" in said
    assert scene.get("api/v1/leaderboard")[0] == 503
    assert scene.get("site/data/board.json")[0] == 503
    assert scene.get("")[0] == 200, "the page is there, and says what its data answers"
    scene.hub.start()
    until(lambda: scene.get("ready")[0] == 200, every_s=0.5)
    assert scene.check("hub") == (True, "answers")
    until(lambda: scene.get("site/data/board.json")[0] == 200, every_s=0.5)
    assert scene.get("api/v1/leaderboard")[0] == 200


def test_a_hub_that_goes_away_later_leaves_the_board_readable_and_is_told(scene: Scene) -> None:
    scene.hub.start()
    until(lambda: scene.get("ready")[0] == 200, every_s=0.5)
    until(lambda: scene.get("api/v1/leaderboard")[0] == 200, every_s=0.5)
    scene.hub.stop()
    until(lambda: not scene.check("hub")[0], every_s=0.5)
    assert "what was known" in scene.check("hub")[1]
    assert scene.get("api/v1/leaderboard")[0] == 200
    scene.hub.start()
    until(lambda: scene.check("hub")[0], every_s=0.5)
