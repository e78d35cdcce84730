"""How fast the completion viewer opens long answers, in a real Chromium.

python -m benchmarks.viewer_speed --store S

Opens the longest stored answers of a board one after another, as a reader does: the time from the click until the text
is on the screen and laid out, beside what the server needed to typeset it. Then counts how many formulas of all stored
answers are drawn.
"""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import replace
from statistics import median

import uvicorn
from playwright.sync_api import Page, sync_playwright

from app import build_site
from backend_jobs.queue import StoreQueue
from evaluator.engine import free_port
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.stores import open_store
from leaderboard.types import AttemptRow, ResultRow
from leaderboard.views.attempt import answer_text
from leaderboard.views.prose import FORMULA, typeset
from leaderboard.views.selection import Selection
from settings import read_settings
from tests.browser import CHROMIUM, FLAGS

LONGEST = 8
OPENED = """async ([id, attempt]) => {
	const begun = performance.now();
	const link = [...document.querySelectorAll(".split .list a[data-open]")].find((a) => a.textContent === id);
	link.click();
	const there = () => document.querySelector(".opened h3")?.textContent === `Problem ${id}, attempt ${attempt}`;
	while (!there()) await new Promise((done) => requestAnimationFrame(done));
	await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
	return performance.now() - begun;
}"""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, metavar="S", help="a board with stored answers")
    store = open_store(parser.parse_args().store)
    settings, port = replace(read_settings(), demo=False), free_port()
    board = Board(store)
    site = build_site(settings, board, StoreQueue(store), FileLive(settings.data_dir / "live"))
    server = uvicorn.Server(uvicorn.Config(site, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.1)
    print(f"{'answer':>9} {'server, ms':>11} {'click to text, ms':>18}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        clicks = [measured(page, f"http://127.0.0.1:{port}/", row, attempt) for row, attempt in longest(board)]
        browser.close()
    print(f"median of {len(clicks)} clicks: {median(clicks):.0f} ms")
    print("{:,} of {:,} formulas are drawn".format(*formulas_drawn(board)))
    server.should_exit = True


def longest(board: Board) -> list[tuple[ResultRow, AttemptRow]]:
    """The first attempts with the longest texts of the whole board, longest first."""
    found = [(row, attempt) for row in board.rows() for attempt in board.attempts(row.plan_key) if not attempt.attempt]
    return sorted(found, key=lambda pair: -len(pair[1].text or ""))[:LONGEST]


def formulas_drawn(board: Board) -> tuple[int, int]:
    """(formulas drawn, formulas found) in all stored answers."""
    texts = (attempt.text or "" for row in board.rows() for attempt in board.attempts(row.plan_key))
    drawn = [typeset(found[0]).count("<math") > 0 for text in texts for found in FORMULA.finditer(text)]
    return sum(drawn), len(drawn)


def measured(page: Page, url: str, row: ResultRow, attempt: AttemptRow) -> float:
    """Milliseconds from the click to the text; prints them beside the server's share."""
    begun = time.perf_counter()
    answer_text(attempt, row, raw=False)
    server_ms = (time.perf_counter() - begun) * 1e3
    page.goto(url + Selection(plan_key=row.plan_key).link())
    page.wait_for_selector(".split .list a[data-open]")
    click_ms = float(page.evaluate(OPENED, [attempt.problem_id, attempt.attempt]))
    print(f"{len(attempt.text or ''):9,} {server_ms:11.0f} {click_ms:18.0f}", flush=True)
    return click_ms


if __name__ == "__main__":
    main()
