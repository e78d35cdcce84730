"""The way of a submission through the real page: checked while typed, tried once, followed, opened to a wrong answer.

Queue, worker, evaluation, journal, grader, store and page are the real ones; the model is a fake OpenAI server.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from app import build_site
from backend_jobs.evaluate_job import Ask, run_evaluation
from backend_jobs.queue import StoreQueue
from backend_jobs.types import Outcome
from backend_jobs.worker import JobContext, Worker
from evaluator.engine import free_port
from evaluator.plan import plan_key
from evaluator.prepare import Options
from leaderboard import trials
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.results import publish_changes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Changes, Snapshot
from leaderboard.types import JobRecord
from settings import Settings
from tests.browser import CHROMIUM, FLAGS
from tests.checkpoints import sound_checkpoint
from tests.fakes.openai_server import FakeOpenAI

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: run scripts/install_browser.sh"),
]
SOON_MS = 60_000
RunJob = Callable[[JobRecord, JobContext], Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-model"
    made.mkdir()
    for name, content in sound_checkpoint().items():
        (made / name).write_bytes(content)
    return made


@contextmanager
def served(settings: Settings, store: SqliteStore, live: FileLive) -> Iterator[str]:
    """The whole site on a port of its own."""
    port = free_port()
    site = build_site(settings, Board(store), StoreQueue(store), live)
    server = uvicorn.Server(uvicorn.Config(site, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def working(store: SqliteStore, live: FileLive, run_job: RunJob) -> Iterator[None]:
    """A worker that takes jobs until the block ends."""
    worker, over = Worker(StoreQueue(store), live, run_job, name="worker", beat_s=0.2), threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            worker.run_once()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        over.set()
        thread.join(60)


def asks(fake: FakeOpenAI, settings: Settings) -> RunJob:
    """What a worker does with a job, with the fake server in the place of an engine of its own."""

    def run(record: JobRecord, context: JobContext) -> Outcome:
        asked = record.submission
        limits = Options(attempts=1, limit=1 if asked.trial else None)
        ask = Ask(
            model="fake", benchmarks=asked.benchmarks, revision=asked.commit, endpoint=fake.base_url, options=limits
        )
        checkpoint, measurements = run_evaluation(
            ask, settings, on_progress=lambda p: context.report(progress=p), cancelled=context.cancelled
        )
        if asked.trial:
            return Outcome(changes=trials.trial_changes(measurements, asked.id))

        def changes(stored: Snapshot) -> Changes:
            return publish_changes(
                measurements, checkpoint=checkpoint, measured_at="2026-01-02T03:04:05+00:00", stored=stored
            )[1]

        return Outcome(results=tuple(plan_key(done.plan) for done in measurements), changes=changes)

    return run


def test_a_submission_is_checked_while_typed_tried_once_followed_and_opened(tmp_path: Path, folder: Path) -> None:
    settings = replace(Settings(), data_dir=tmp_path / "data", store=str(tmp_path / "store.db"))
    store, live = SqliteStore(tmp_path / "store.db"), FileLive(settings.data_dir / "live")
    with (
        FakeOpenAI() as fake,
        served(settings, store, live) as url,
        working(store, live, asks(fake, settings)),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(SOON_MS)
        expect.set_options(timeout=SOON_MS)
        try:
            type_and_see_the_checks(tab, url, folder)
            try_one_problem(tab)
            follow_the_full_run(tab, fake)
            open_a_wrong_answer(tab)
        finally:
            expect.set_options(timeout=5_000)
            browser.close()


def type_and_see_the_checks(tab: Page, url: str, folder: Path) -> None:
    tab.goto(url + "submit")
    checks = tab.locator(".form-checks")
    tab.get_by_label("Model").press_sequentially("nobody")
    expect(checks).to_contain_text("has no owner")
    tab.get_by_label("Model").fill(str(folder))
    expect(checks).to_contain_text("Qwen2ForCausalLM")
    tab.get_by_label(re.compile("Arithmetic")).check()
    expect(checks).to_contain_text("First prompt")
    expect(checks).to_contain_text("What is ")
    expect(checks).to_contain_text("Where it fits")


def try_one_problem(tab: Page) -> None:
    tab.get_by_role("button", name="Try one problem first").click()
    tab.get_by_role("link", name="Watch job").click()
    card = tab.locator("li.asked")
    expect(card).to_contain_text("finished")
    expect(card).to_contain_text("never ranked")
    expect(card.locator("div.trial")).to_contain_text("Arithmetic")
    card.get_by_role("link", name="Submit the full run").click()


def follow_the_full_run(tab: Page, fake: FakeOpenAI) -> None:
    """The model holds its answers back until the page has shown what there is to see at that moment."""
    fake.held_after = len(fake.requests) + 100
    expect(tab.get_by_label("Model")).to_have_value(re.compile("my-model"))
    expect(tab.get_by_label(re.compile("Arithmetic"))).to_be_checked()
    tab.get_by_role("button", name="Submit", exact=True).click()
    tab.get_by_role("link", name="Watch job").click()
    card = tab.locator("li.asked")
    expect(card).to_contain_text("provisional")
    fake.held_after += 100
    expect(card.get_by_role("img", name=re.compile("Score over attempts graded"))).to_be_visible()
    expect(card.get_by_role("img", name=re.compile("Tokens per second"))).to_be_visible()
    fake.held_after = None
    expect(card).to_contain_text("finished")


def open_a_wrong_answer(tab: Page) -> None:
    tab.locator("li.asked").get_by_role("link", name=re.compile("Arithmetic")).click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Arithmetic")
    tab.get_by_role("link", name=re.compile("^Wrong")).click()
    tab.locator(".split .list tbody a").first.click()
    expect(tab.locator(".opened .badge.incorrect")).to_be_visible()
    expect(tab.locator(".opened mark.answer math")).to_be_visible()
    before = tab.locator(".opened h3").inner_text()
    tab.keyboard.press("w")
    expect(tab.locator(".opened h3")).not_to_have_text(before)
    tab.keyboard.press("a")
    expect(tab.locator("mark.answer")).to_be_focused()
    tab.keyboard.press("r")
    expect(tab.locator(".opened pre mark.answer")).to_contain_text("boxed")
