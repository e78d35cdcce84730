"""What a person does on a fresh board, in a real browser: submit a checkpoint, see it finish, open a completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from evaluator.engine import free_port
from settings import ROOT
from tests.browser import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.engine,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: run scripts/install_browser.sh"),
]
PAGE_UP_S = 60
EVALUATION_MS = 400_000


@pytest.fixture
def board(tmp_path: Path) -> Iterator[str]:
    """The address of the whole program as `make run` starts it, on an empty store, without the demonstration."""
    port = free_port()
    data = tmp_path / "data"
    environment = {**os.environ, "OPEN_R1_DATA": str(data), "OPEN_R1_DEMO": "0"}
    log = (tmp_path / "app.log").open("wb")
    command = [sys.executable, "app.py", "--store", str(data / "store.db"), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PAGE_UP_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the program ended by itself"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"{url} did not answer within {PAGE_UP_S} s")


def test_a_submitted_checkpoint_is_measured_and_opens_down_to_a_completion(board: str, checkpoint: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(board + "submit")
        tab.get_by_label("Model").fill(str(checkpoint))
        tab.get_by_label(re.compile("Arithmetic")).check()
        tab.get_by_text("Advanced").click()
        tab.get_by_label("Attempts per problem").fill("1")
        tab.get_by_label(re.compile("Answer budget")).fill("24")
        tab.get_by_role("button", name="Submit").click()
        tab.get_by_role("link", name="Watch job").click()
        expect(tab.locator("li.asked")).to_contain_text("local/untrained")
        expect(tab.locator("li.asked")).to_contain_text("finished", timeout=EVALUATION_MS)
        tab.goto(board)
        tab.get_by_role("link", name=re.compile(r"^\d+\.\d$")).first.click()
        expect(tab.get_by_role("heading", level=1)).to_contain_text("local/untrained")
        tab.get_by_role("link", name="arith-2-000", exact=True).click()
        expect(tab.get_by_role("heading", name="Problem arith-2-000, attempt 0")).to_be_visible()
        browser.close()
