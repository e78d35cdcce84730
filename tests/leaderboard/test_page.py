"""The page in a real browser: what people do, what stays put while it updates, and what must never run."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from backend_jobs.run_log import FileTrainingLog
from evaluator.errors import OpenR1Error
from evaluator.types import Progress
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.contracts import LiveState
from leaderboard.pages.frame import ASSETS, PageContext
from leaderboard.pages.site import build_page
from leaderboard.pages.theme import launch_options
from leaderboard.references import published_scores
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import ResolvedModel, check_submission
from leaderboard.types import Failure, JobRecord, Status
from tests.browser import CHROMIUM, FLAGS
from tests.leaderboard.page_content import COMMIT, HOSTILE, MemoryLive, MemoryQueue, job, measured, publish

browser_only = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: run scripts/install_browser.sh"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A running page, what it shows, and the browser that looks at it."""

    url: str
    store: SqliteStore
    plan_key: str
    queue: MemoryQueue
    live: MemoryLive
    page: Page
    trouble: list[str]
    """What the browser complained of, and every dialog a script opened."""
    hosts: set[str]


def fixed_jobs() -> list[JobRecord]:
    return [
        job("j3", Status.RUNNING, worker="w1", started_at="2026-03-02T14:06:10+00:00"),
        job("j2", Status.PENDING, note=HOSTILE),
        job("j1", Status.FAILED, failure=Failure(code="engine_failed", reason=HOSTILE, log_tail=f"{HOSTILE}\n" * 40)),
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def site(browser: Browser, tmp_path: Path) -> Iterator[Site]:
    store = SqliteStore(tmp_path / "store.db")
    plan_key = publish(store, measured())
    queue, live = MemoryQueue(fixed_jobs()), MemoryLive()
    live.publish(running_state(done=10))

    def submit(form: dict[str, Any], by: str) -> JobRecord:
        return queue.submit(check_submission(form, local_mode=True, resolve=resolve, submitted_by=by))

    board = Board(store, published_scores())
    files = BoardFiles(board)
    context = PageContext(
        board=board,
        files=files,
        queue=queue,
        live=live,
        submit=submit,
        training=FileTrainingLog(tmp_path / "training"),
        local_mode=True,
    )
    blocks = build_page(context)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocks.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, **launch_options(files)
    )
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    trouble: list[str] = []
    hosts: set[str] = set()
    tab.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    tab.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
    yield Site(
        url=f"http://127.0.0.1:{port}/",
        store=store,
        plan_key=plan_key,
        queue=queue,
        live=live,
        page=tab,
        trouble=trouble,
        hosts=hosts,
    )
    tab.close()
    blocks.close()
    assert trouble == []
    assert hosts <= {"127.0.0.1"}


def resolve(model: str, revision: str | None) -> ResolvedModel:
    return ResolvedModel(model=model, source=model, revision=revision or "main", commit=COMMIT)


def running_state(*, done: int) -> LiveState:
    progress = Progress(phase="answering", done=done, total=2000, score=50.0, ci95=(40.0, 60.0), eta_s=60)
    return LiveState(job_id="j3", updated_at="", progress={"math_500": progress}, log_tail=f"{HOSTILE}\n" * 40)


class TestInABrowser:
    pytestmark = browser_only

    def test_every_address_shows_its_heading_fits_a_telephone_and_asks_no_other_machine(self, site: Site) -> None:
        site.page.set_viewport_size({"width": 390, "height": 800})
        addresses = {
            "": "Leaderboard",
            "submit": "Submit a model",
            "queue": "Queue",
            "compare": "Compare results",
            "runs": "Training runs",
            "runs?runs=demo&over=tokens": "Training runs",
            "datasets": "Datasets",
            f"compare?a={site.plan_key}&b={site.plan_key}": "Compare results",
            f"result?plan={site.plan_key}&problem=p3&attempt=1": "MATH-500 of open-r1/OpenR1-Distill-7B",
            "result?plan=<script>": "Result",
        }
        for address, heading in addresses.items():
            site.page.goto(site.url + address)
            expect(site.page.get_by_role("heading", level=1)).to_have_text(heading)
            assert site.page.evaluate("document.documentElement.scrollWidth") <= 390, address

    def test_a_score_opens_down_to_the_wrong_answers_behind_it(self, site: Site) -> None:
        tab = site.page
        tab.goto(site.url)
        tab.get_by_role("grid", name="Measured here").get_by_role("link", name=re.compile(r"^\d+\.\d$")).click()
        tab.get_by_role("link", name="Wrong 3").click()
        tab.get_by_role("link", name="p3", exact=True).click()
        expect(tab.get_by_role("heading", name="Problem p3, attempt 1")).to_be_focused()
        expect(tab.get_by_text("The answer of p3 a1: <script>alert('x')</script>")).to_be_visible()
        expect(tab.get_by_text("Let me think.")).to_be_hidden()
        tab.locator("summary", has_text="Thinking").click()
        expect(tab.get_by_text("Let me think.")).to_be_visible()
        tab.get_by_role("link", name="Next →").click()
        tab.get_by_role("link", name="Next →").click()
        expect(tab.get_by_role("heading", name="Problem p4, attempt 1")).to_be_visible()
        assert urlsplit(tab.url).query == f"plan={site.plan_key}&show=wrong&problem=p4"
        tab.go_back()
        expect(tab.get_by_role("heading", name="Problem p3, attempt 2")).to_be_visible()

    def test_results_of_one_benchmark_are_chosen_from_a_list_and_their_completions_read_side_by_side(
        self, site: Site
    ) -> None:
        other = publish(site.store, measured(model="other/weaker", correct_problems=1))
        publish(site.store, measured("aime_2024", model="other/elsewhere"))
        tab = site.page
        tab.goto(f"{site.url}result?plan={site.plan_key}")
        tab.get_by_role("link", name="compare with another result").click()
        tab.get_by_label("Results").click()
        expect(tab.get_by_role("option", name=re.compile("elsewhere"))).to_have_count(0)
        tab.get_by_role("option", name=re.compile("weaker")).click()
        expect(tab.get_by_text("Could this benchmark have shown it?")).to_be_visible()
        expect(tab.get_by_text("The same protocol")).to_be_visible()
        assert urlsplit(tab.url).query == f"a={site.plan_key}&b={other}"
        matrix = tab.get_by_role("region", name="Problems by results")
        expect(matrix.locator("tbody tr").first).to_contain_text("p1")
        matrix.get_by_role("link", name="1 of 3 right, other/weaker on p1").click()
        expect(tab.get_by_role("heading", name="Problem p1, side by side")).to_be_focused()
        expect(tab.locator(".side-by-side article")).to_have_count(2)
        expect(tab.locator(".side-by-side article").first).to_contain_text("The answer of p1 a0")
        tab.keyboard.press("j")
        expect(tab.get_by_role("heading", name="Problem p2, side by side")).to_be_visible()
        assert "problem=p2" in tab.url
        tab.go_back()
        expect(tab.get_by_role("heading", name="Problem p1, side by side")).to_be_visible()
        tab.goto(f"{site.url}compare?a={site.plan_key}&b=<script>")
        expect(tab.get_by_role("alert")).to_contain_text("no result '<script>'")

    def test_the_queue_moves_by_itself_and_leaves_folds_and_scrolling_alone(self, site: Site) -> None:
        tab = site.page
        tab.set_viewport_size({"width": 1280, "height": 400})
        tab.goto(site.url + "queue")
        log = tab.locator("li[data-key=j1] details")
        log.locator("summary").click()
        tab.mouse.wheel(0, 300)
        tab.wait_for_function("scrollY > 0")
        before = log.bounding_box()
        site.live.publish(running_state(done=1234))
        expect(tab.get_by_text("1,234 of 2,000 attempts")).to_be_attached(timeout=8000)
        assert log.get_attribute("open") is not None
        assert log.bounding_box() == before
        site.queue.submit(job("j4", Status.PENDING).submission)
        expect(tab.locator("li[data-key=j4]")).to_contain_text("position 2", timeout=8000)
        assert log.get_attribute("open") is not None

    def test_cancelling_a_running_job_asks_first_and_a_waiting_one_does_not(self, site: Site) -> None:
        tab = site.page
        tab.goto(site.url + "queue")
        tab.get_by_role("button", name="Cancel job j3").click()
        tab.get_by_role("dialog").get_by_role("button", name="Keep it running").click()
        assert site.queue.find("j3").status is Status.RUNNING
        tab.get_by_role("button", name="Cancel job j2").click()
        expect(tab.locator("li[data-key=j2]")).to_contain_text("cancelled")
        tab.get_by_role("button", name="Cancel job j3").click()
        tab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(tab.locator("li[data-key=j3]")).to_contain_text("cancelled")
        tab.get_by_role("button", name="Try again job j1").click()
        expect(tab.locator("li[data-key=j1]")).to_contain_text("waiting")

    def test_a_refused_submission_says_why_and_a_taken_one_leads_to_the_queue(self, site: Site) -> None:
        tab = site.page
        tab.goto(site.url + "submit")
        tab.get_by_label("Model").fill("<img src=x onerror=alert(1)>")
        tab.get_by_label("MATH-500").check()
        tab.get_by_role("button", name="Submit").click()
        expect(tab.get_by_role("alert")).to_contain_text("<img src=x onerror=alert(1)>")
        tab.get_by_label("Model").fill("open-r1/OpenR1-Distill-7B")
        tab.get_by_text("Advanced").click()
        tab.get_by_label("Attempts per problem").fill("2")
        tab.get_by_role("button", name="Submit").click()
        tab.get_by_role("link", name="Watch job").click()
        expect(tab.locator("li.asked")).to_contain_text("open-r1/OpenR1-Distill-7B")
        submission = list(site.queue.records.values())[-1].submission
        assert submission.benchmarks == ("math_500",)
        assert (submission.attempts, submission.max_tokens, submission.tensor_parallel_size) == (2, None, None)

    def test_what_cannot_be_shown_says_why_instead_of_staying_empty(self, site: Site) -> None:
        def lost() -> list[JobRecord]:
            raise OpenR1Error("the store is locked by <b>another</b> process; try again in a minute")

        site.queue.jobs = lost  # type: ignore[method-assign]
        site.page.goto(site.url + "queue")
        expect(site.page.get_by_role("alert")).to_contain_text("the store is locked by <b>another</b> process")


# What needs no browser


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, from 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [":root", r"\.dark"])
def test_every_colour_of_text_can_be_read_on_both_grounds(scheme: str) -> None:
    css = (ASSETS / "page.css").read_text(encoding="utf-8")
    block = re.search(scheme + r" \{(.*?)\}", css, re.DOTALL)
    assert block
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))
    for name in ("ink", "quiet", "link", "good", "bad", "warn", "odd"):
        for ground in ("ground", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, f"--{name} on --{ground}"
    for frame in ("field", "accent"):
        assert contrast(colours[frame], colours["ground"]) >= 3, f"--{frame} on --ground"


def test_the_stylesheet_has_no_selector_that_gradio_would_break() -> None:
    css = re.sub(r"/\*.*?\*/", "", (ASSETS / "page.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert ":is(" not in css
    assert ":where(" not in css
    assert "url(" not in css
