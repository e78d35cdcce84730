"""What a person does on a fresh board, in a real browser: submit a checkpoint, see it finish, open a completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from evaluator.engine import free_port
from settings import ROOT
from tests.browser import CHROMIUM, FLAGS
from tests.waiting import until_it_answers

pytestmark = [
    pytest.mark.engine,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: run scripts/install_browser.sh"),
]
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
        until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)
        log.close()


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
        names, values = (tab.locator(f".facts {part}").all_inner_texts() for part in ("dt", "dd"))
        shown = dict(zip(names, values, strict=True))
        cut = shown["finish reason"] == "length: the server cut it at the answer budget"
        assert cut or shown["finish reason"] == "stop: the model ended by itself"
        assert shown["truncated"] == ("yes" if cut else "no")
        assert shown["tokens"].startswith("24") == cut
        browser.close()
