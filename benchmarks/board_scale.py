"""The board with ten thousand models: files, first byte, the table in a real browser, beside gr.Dataframe in one run.

python -m benchmarks.board_scale [--models 10000] [--store S]

The store is made where it is missing (minutes). Chromium is the system's; both pages are opened by the same browser,
one after the other, from servers in processes of their own on this machine.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import socket
import statistics as numbers
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.board_store import files_of, fill
from leaderboard.board import Board
from leaderboard.board_files import NAMES, BoardFiles
from leaderboard.references import published_scores
from leaderboard.sqlite_store import SqliteStore
from tests.browser import CHROMIUM, FLAGS

REPEATS = 5
READY_S = 900.0
OURS = """
import sys
from dataclasses import replace
from pathlib import Path
import app
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.references import published_scores
from leaderboard.sqlite_store import SqliteStore
from settings import read_settings
store, folder = SqliteStore(Path(sys.argv[1])), Path(sys.argv[1]).parent
settings = replace(read_settings(), data_dir=folder / "data", port=int(sys.argv[2]), host="127.0.0.1")
board, live = Board(store, published_scores()), FileLive(folder / "live")
app.serve(app.build_site(settings, board, StoreQueue(store), live), settings)
"""
PEER = """
import sys
import gradio as gr
import pandas as pd
frame = pd.read_parquet(sys.argv[1])
with gr.Blocks(analytics_enabled=False) as page:
    find = gr.Textbox(label="Find a model")
    table = gr.Dataframe(frame, interactive=False, show_search="filter")
    find.change(lambda text: frame[frame["model"].str.contains(text, case=False, regex=False)], find, table)
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[2]), quiet=True)
"""


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--store", type=Path, default=Path(".cache/board-scale/store.db"))
    parser.add_argument("--no-browser", action="store_true", help="files and server only")
    given = parser.parse_args()
    if not given.store.exists():
        timed("make the store", lambda: fill(given.store, given.models))
    prepare(given.store, given.models)
    if not given.no_browser:
        browse(given.store)


def say(what: str, *values: object) -> None:
    """One line of the table."""
    print(f"{what:<62}", *(f"{value:>14}" for value in values), flush=True)


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Do something, say how long it took, and return its result."""
    started = time.perf_counter()
    result = act()
    say(what, f"{time.perf_counter() - started:.2f} s")
    return result


def prepare(path: Path, models: int) -> None:
    """From a store to files: the first time, and after one more model was published."""
    store = SqliteStore(path)
    board = Board(store, published_scores())
    rows = timed("read every result", board.rows)
    say("results", len(rows))
    timed("read counts and compute all rank intervals", board.standings)
    files = BoardFiles(board)
    timed("make the files", lambda: files.get("board.json"))
    for name in NAMES:
        made = files.get(name)
        say(f"{name}, plain and compressed", f"{made.size / 1e3:.0f} kB", f"{len(made.content) / 1e3:.0f} kB")
    before = files.get("board.json")
    store.commit(dict(files_of(models + int(time.time()))), parent=store.version(), message="one more model")
    started = time.perf_counter()
    files.get("board.json")
    say("a reader's wait right after one more model on 5 benchmarks", f"{time.perf_counter() - started:.2f} s")
    while files.get("board.json") is before:
        time.sleep(0.02)
    say("until the new files are served", f"{time.perf_counter() - started:.2f} s")


@contextmanager
def server(code: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """(port, process id) of a server in a process of its own, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments, str(port)])
    try:
        deadline = time.monotonic() + READY_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not start")
            time.sleep(0.2)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        return ask(port, "/")[0] < 500
    except OSError:
        return False


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, float, int, str]:
    """(status, milliseconds to the first byte, bytes of the body, tag) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
    started = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": "gzip", **(headers or {})})
    response = connection.getresponse()
    first = (time.perf_counter() - started) * 1000
    body = response.read()
    connection.close()
    return response.status, first, len(body), response.headers.get("ETag", "")


def resident(pid: int) -> str:
    """The memory that a process holds, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return f"{pages * 4096 / 1e6:.0f} MB"


def browse(path: Path) -> None:
    """Ours, then the peer's, in one browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, "--enable-precise-memory-info"]
        )
        with server(OURS, str(path)) as (port, pid):
            served(port)
            ours(browser, f"http://127.0.0.1:{port}/")
            say("memory of our server", resident(pid))
            frame = peer_frame(port, path.parent / "frame.parquet")
        with server(PEER, str(frame)) as (port, pid):
            peers(browser, f"http://127.0.0.1:{port}/")
            say("memory of the peer's server", resident(pid))
        browser.close()


def served(port: int) -> None:
    """What the network sees: first bytes, and that a repeat costs nothing."""
    ask(port, "/site/data/board.json")
    answers = [ask(port, "/site/data/board.json") for _ in range(20)]
    say("first byte of board.json, warm, median of 20", f"{numbers.median(a[1] for a in answers):.1f} ms")
    again = [ask(port, "/site/data/board.json", {"If-None-Match": answers[0][3]}) for _ in range(20)]
    say("repeat: status, bytes, first byte", again[0][0], again[0][2], f"{numbers.median(a[1] for a in again):.1f} ms")
    pages = [ask(port, "/") for _ in range(20)]
    say("first byte of the page, warm, median of 20", f"{numbers.median(a[1] for a in pages):.1f} ms")


def ours(browser: Browser, url: str) -> None:
    """Our table: usable, filtered, sorted, its memory."""
    usable = []
    for _ in range(3):
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        usable.append(until(tab, lambda t: t.goto(url), "table[role=grid] tbody a.name"))
        tab.close()
    say("ours: from the address to a usable table, median of 3", f"{numbers.median(usable):.0f} ms")
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.goto(url)
    tab.wait_for_selector("table[role=grid] a.value")
    filters = [
        in_page(
            tab,
            f"""(async () => {{ const f = document.querySelector("#board-search");
        f.value = "{word}"; f.dispatchEvent(new Event("input")); }})()""",
            debounce=60,
        )
        for word in ("zero", "7.6b", "river", "00", "")
    ]
    say("ours: filter 10,000 rows by text, median of 5 (without the 60 ms pause)", f"{numbers.median(filters):.0f} ms")
    heads = [
        in_page(tab, f"""document.querySelectorAll("th[aria-sort] button")[{place}].click()""")
        for place in (0, 1, 3, 5, 7)
    ]
    say("ours: sort by another column, median of 5", f"{numbers.median(heads):.0f} ms")
    say("ours: memory of the tab's scripts", f"{heap(tab):.0f} MB")
    tab.close()


def peers(browser: Browser, url: str) -> None:
    """gr.Dataframe with the same rows."""
    usable = []
    for _ in range(3):
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        usable.append(until(tab, lambda t: t.goto(url), CELL))
        tab.close()
    say("gr.Dataframe: from the address to a table, median of 3", f"{numbers.median(usable):.0f} ms")
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.goto(url)
    tab.wait_for_selector(CELL)
    tab.wait_for_timeout(1000)
    found = []
    for word in ("Zero", "Atlas", "Nova"):
        started = time.perf_counter()
        tab.get_by_label("Find a model").fill(word)
        tab.wait_for_function(FOUND, arg=word, timeout=60_000)
        found.append((time.perf_counter() - started) * 1000)
    say("gr.Dataframe: filter through its server, median of 3", f"{numbers.median(found):.0f} ms")
    say("gr.Dataframe: memory of the tab's scripts", f"{heap(tab):.0f} MB")
    tab.close()


CELL = '[data-testid="cell-0-0"]'
"""The first cell of gr.Dataframe."""
FOUND = """(word) => {
    const cells = [...document.querySelectorAll('[data-testid^="cell-"][data-testid$="-0"]')].slice(0, 5);
    const rows = cells.map((cell) => cell.innerText).filter(Boolean);
    return rows.length > 0 && rows.every((text) => text.includes(word));
}"""


def until(tab: Page, act: Callable[[Page], object], selector: str) -> float:
    """Milliseconds until something is there."""
    started = time.perf_counter()
    act(tab)
    tab.wait_for_selector(selector, timeout=120_000)
    return (time.perf_counter() - started) * 1000


def in_page(tab: Page, script: str, *, debounce: float = 0) -> float:
    """Milliseconds from an action to the frame that shows its result, measured by the browser itself."""
    measured = tab.evaluate(
        f"""async () => {{
            const body = document.querySelector("table[role=grid] tbody:last-of-type");
            const changed = new Promise((done) => {{
                const watcher = new MutationObserver(() => {{ watcher.disconnect(); done(); }});
                watcher.observe(body, {{ childList: true }});
            }});
            const started = performance.now();
            {script};
            await changed;
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            return performance.now() - started;
        }}"""
    )
    return float(measured) - debounce


def heap(tab: Page) -> float:
    """The memory that the tab's scripts hold, in MB."""
    return float(tab.evaluate("performance.memory.usedJSHeapSize")) / 1e6


def peer_frame(port: int, target: Path) -> Path:
    """The same rows as a wide table: model, facts, and score, bounds and ranks per benchmark."""
    import pandas as pd

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
    connection.request("GET", "/site/data/board.json", headers={"Accept-Encoding": "gzip"})
    board = json.loads(gzip.decompress(connection.getresponse().read()))
    columns: dict[str, list[Any]] = {"model": board["rows"]["model"], "parameters": board["rows"]["parameters"]}
    for name, cells in board["cells"].items():
        places, scores = summed(cells["row"]), summed(cells["score"])
        best, worst = summed(cells["best"]), summed(cells["worst"])
        text: list[str] = [""] * len(columns["model"])
        rank: list[str] = [""] * len(columns["model"])
        for i, place in enumerate(places):
            low, high = scores[i] / 100 - cells["low"][i] / 10, scores[i] / 100 + cells["high"][i] / 10
            text[place], rank[place] = f"{scores[i] / 100:.1f} ({low:.1f} to {high:.1f})", f"{best[i]} to {worst[i]}"
        columns |= {name: text, f"{name} rank": rank}
    pd.DataFrame(columns).to_parquet(target)
    return target


def summed(steps: list[int]) -> list[int]:
    """Values from the distances between them."""
    total, values = 0, []
    for step in steps:
        total += step
        values.append(total)
    return values


if __name__ == "__main__":
    main()
