"""The program as a Space: people sign in at a local Hub, submit in their own name, and act on their own jobs only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from evaluator.engine import free_port
from settings import ROOT
from tests.checkpoints import sound_checkpoint
from tests.fakes.hub_server import FakeHub

STARTS_WITHIN_S = 120.0
FORM = {"model": "org/model", "benchmarks": ["aime_2024"]}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        for name in ("ada", "grace", "boss"):
            fake.account(name, token=f"hf_{name}")
        fake.add("org/model", sound_checkpoint())
        fake.add("org/other", sound_checkpoint())
        fake.add("org/third", sound_checkpoint())
        yield fake


@contextmanager
def space(hub: FakeHub, folder: Path) -> Iterator[str]:
    """The real program with a Space's environment."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")},
        "SPACE_ID": "owner/board",
        "OAUTH_CLIENT_ID": "client",
        "OAUTH_CLIENT_SECRET": "s3cret",
        "OPENID_PROVIDER_URL": hub.root,
        "HF_ENDPOINT": hub.root,
        "HF_HUB_DISABLE_XET": "1",
        "OPEN_R1_DATA": str(folder),
        "OPEN_R1_HOST": "127.0.0.1",
        "OPEN_R1_WORKER": "0",
        "OPEN_R1_MAINTAINERS": "boss",
        "OPEN_R1_JOBS_AT_ONCE": "2",
        "PORT": str(port),
    }
    with (folder / "app.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    root, started = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while not _answers(root):
            assert process.poll() is None, (folder / "app.log").read_text()
            assert time.monotonic() - started < STARTS_WITHIN_S, (folder / "app.log").read_text()
            time.sleep(0.1)
        yield root
    finally:
        process.terminate()
        process.wait(60)


def _answers(root: str) -> bool:
    try:
        return httpx.get(f"{root}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def signed_in_as(name: str, root: str, hub: FakeHub) -> httpx.Client:
    """A client with the session that signing in gives. The cookie is for https alone, so it is carried by hand."""
    begin = httpx.get(f"{root}/login", params={"back": "/queue"})
    assert begin.headers["location"].startswith(f"{hub.root}/oauth/authorize")
    consent = httpx.get(begin.headers["location"], cookies={"hub_user": name})
    end = httpx.get(consent.headers["location"], headers={"Cookie": _cookie(begin)})
    assert (end.status_code, end.headers["location"]) == (303, "/queue")
    assert "secure" in end.headers["set-cookie"].lower()
    return httpx.Client(base_url=root, headers={"Cookie": _cookie(end)}, timeout=60)


def _cookie(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].split(";")[0]


def test_people_submit_in_their_own_name_within_limits_and_act_on_their_own_jobs(hub: FakeHub, tmp_path: Path) -> None:
    with space(hub, tmp_path) as root:
        assert httpx.post(f"{root}/api/v1/submissions", json=FORM).status_code == 401
        assert "Sign in" in httpx.get(f"{root}/submit").text
        ada, grace, boss = (signed_in_as(name, root, hub) for name in ("ada", "grace", "boss"))
        sent = ada.post("/api/v1/submissions", json=FORM)
        assert sent.status_code == 201, sent.text
        job = sent.json()
        assert job["submitted_by"] == "ada"
        forged = ada.post("/api/v1/submissions", json={**FORM, "submitted_by": "grace"})
        assert forged.status_code == 422
        again = grace.post("/api/v1/submissions", json=FORM)
        assert (again.status_code, "already pending" in again.text) == (422, True)
        assert ada.post("/api/v1/submissions", json={**FORM, "model": "org/other"}).status_code == 201
        third = ada.post("/api/v1/submissions", json={**FORM, "model": "org/third"})
        assert (third.status_code, "as many as one person may" in third.text) == (422, True)
        cancel = f"/api/v1/submissions/{job['id']}/cancel"
        assert grace.post(cancel).status_code == 403
        assert ada.post(cancel, headers={"Origin": "https://evil.example"}).status_code == 403
        assert boss.post(cancel).json()["status"] == "CANCELLED"
        for folder in (str(tmp_path), "./tests", "local/x"):
            assert ada.post("/api/v1/submissions", json={**FORM, "model": folder}).status_code == 422
    log = (tmp_path / "app.log").read_text()
    assert "Traceback" not in log
    assert "s3cret" not in log
    assert "hf_ada" not in log
