"""What people do most with the board, in a real browser, and that nobody is kept out of any page."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
import uvicorn
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from app import build_site
from backend_jobs.queue import StoreQueue
from evaluator.grading import GRADER_VERSION
from evaluator.types import Checkpoint, Lineage, Measurement, ModelFacts, ModelKind
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.pages.site import ROUTES
from leaderboard.references import published_scores
from leaderboard.results import publish_changes
from leaderboard.site_routes import ASSETS
from leaderboard.sqlite_store import SqliteStore
from settings import read_settings
from tests.browser import CHROMIUM, FLAGS
from tests.leaderboard.page_content import COMMIT, measured

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: run scripts/install_browser.sh"),
]

MODELS = {
    "alpha/small-sft": (5, ModelFacts(parameters=1_500_000_000, kind=ModelKind.SFT, licence="mit")),
    "alpha/large-rl": (2, ModelFacts(parameters=32_000_000_000, kind=ModelKind.RL, licence="apache-2.0")),
    "beta/distilled": (4, ModelFacts(parameters=7_600_000_000, kind=ModelKind.DISTILLED, licence="mit")),
    "gamma/nobody-knows": (3, ModelFacts()),
}
"""Model -> (problems it always solves of 6, facts)."""
MANY = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A running board, its plan keys by model, and a tab that looks at it."""

    url: str
    keys: dict[str, str]
    tab: Page


def under_todays_grader(measurement: Measurement) -> Measurement:
    return replace(measurement, plan=replace(measurement.plan, grader_version=GRADER_VERSION))


def add(store: SqliteStore, measurement: Measurement, facts: ModelFacts, lineage: Lineage | None = None) -> str:
    weights = Checkpoint(model=measurement.plan.model, commit=COMMIT, facts=facts, lineage=lineage)
    keys, changes = publish_changes(
        [under_todays_grader(measurement)], checkpoint=weights, measured_at="2026-03-02T14:05:10+00:00"
    )
    store.commit(changes, parent=store.snapshot().version, message="published")
    return keys[0]


def filled(store: SqliteStore) -> dict[str, str]:
    keys = {}
    for model, (correct, facts) in MODELS.items():
        keys[model] = add(store, measured(model=model, attempts=4, correct_problems=correct), facts)
    add(store, measured(model="alpha/small-sft", attempts=1, correct_problems=6), MODELS["alpha/small-sft"][1])
    for step in (10, 20):
        trained = measured("arithmetic", model=f"local/run-{step}", attempts=4, correct_problems=step // 10)
        add(store, trained, ModelFacts(), Lineage(run="run", step=step, recipe_hash="r" * 8))
    return keys


@contextmanager
def served(store: SqliteStore, folder: Path) -> Iterator[str]:
    """The whole application over a store, as `python app.py` serves it."""
    settings = replace(read_settings(), data_dir=folder / "data", space=None)
    site = build_site(settings, Board(store, published_scores()), StoreQueue(store), FileLive(folder / "live"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(site, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = server.force_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("board")
    store = SqliteStore(folder / "store.db")
    keys = filled(store)
    with served(store, folder) as url:
        yield url, keys


@pytest.fixture
def site(browser: Browser, board: tuple[str, dict[str, str]]) -> Iterator[Site]:
    trouble: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    tab.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    yield Site(url=board[0], keys=board[1], tab=tab)
    context.close()
    assert trouble == []


def grid(tab: Page) -> Locator:
    return tab.get_by_role("grid", name="Measured here")


def models(tab: Page) -> list[str]:
    """The models listed, from top to bottom, pinned ones left out."""
    expect(grid(tab)).to_be_visible()
    return [name or "" for name in grid(tab).locator("tbody:not(.pins) a.name").all_text_contents()]


def query(tab: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(tab.url).query)


def expect_models(tab: Page, wanted: list[str]) -> None:
    names = grid(tab).locator("tbody:not(.pins) a.name")
    expect(names).to_have_text(wanted)


BY_SCORE = ["small-sft", "distilled", "nobody-knows", "large-rl"]


def test_a_model_is_found_by_parts_of_its_name_and_the_view_is_a_link(site: Site) -> None:
    site.tab.goto(site.url)
    expect_models(site.tab, BY_SCORE)
    site.tab.keyboard.press("/")
    site.tab.keyboard.type("RL alpha")
    expect_models(site.tab, ["large-rl"])
    assert query(site.tab)["q"] == ["RL alpha"]
    site.tab.get_by_role("searchbox").fill("no such model")
    site.tab.get_by_role("button", name="Clear the filters").click()
    expect_models(site.tab, BY_SCORE)


def test_models_are_filtered_by_kind_size_and_licence_and_unknown_is_a_choice(site: Site) -> None:
    site.tab.goto(site.url)
    site.tab.locator("#filter-kind > summary").click()
    site.tab.get_by_role("checkbox", name=re.compile("RL")).check()
    expect_models(site.tab, ["large-rl"])
    site.tab.get_by_role("checkbox", name=re.compile("unknown")).check()
    expect_models(site.tab, ["nobody-knows", "large-rl"])
    site.tab.keyboard.press("Escape")
    site.tab.locator("#filter-size > summary").click()
    site.tab.get_by_role("checkbox", name=re.compile("10 to 40 B")).check()
    expect_models(site.tab, ["large-rl"])
    assert query(site.tab)["kind"] == ["rl,unknown"]


def test_a_heading_sorts_and_with_shift_it_sorts_within(site: Site) -> None:
    site.tab.goto(f"{site.url}?facts=kind,licence")
    expect_models(site.tab, BY_SCORE)
    head = grid(site.tab).get_by_role("columnheader", name="Score")
    expect(head).to_have_attribute("aria-sort", "descending")
    head.get_by_role("button").click()
    expect_models(site.tab, BY_SCORE[::-1])
    grid(site.tab).get_by_role("columnheader", name="Licence").get_by_role("button").click()
    grid(site.tab).get_by_role("columnheader", name="Score").get_by_role("button").click(modifiers=["Shift"])
    expect_models(site.tab, ["small-sft", "distilled", "large-rl", "nobody-knows"])
    assert query(site.tab)["sort"] == ["-licence,-math_500.score"]


def test_columns_come_and_go_as_the_reader_chooses(site: Site) -> None:
    site.tab.goto(site.url)
    expect_models(site.tab, BY_SCORE)
    site.tab.locator("#column-menu > summary").click()
    site.tab.get_by_role("checkbox", name=re.compile("^Tokens")).check()
    expect(grid(site.tab).get_by_role("columnheader", name="Tokens")).to_be_visible()
    site.tab.get_by_role("checkbox", name=re.compile("^Rank")).uncheck()
    expect(grid(site.tab).get_by_role("columnheader", name="Rank")).to_have_count(0)
    site.tab.reload()
    expect(grid(site.tab).get_by_role("columnheader", name="Tokens")).to_be_visible()


def test_a_shared_link_shows_the_same_view_with_its_pinned_models(site: Site, browser: Browser) -> None:
    site.tab.goto(f"{site.url}?licence=mit&sort=-model")
    expect_models(site.tab, ["distilled", "small-sft"])
    row = grid(site.tab).get_by_role("row").filter(has_text="distilled").first
    row.get_by_role("button", name="Pin").click()
    expect(grid(site.tab).locator("tbody.pins a.name")).to_have_text(["distilled"])
    other = browser.new_page()
    other.goto(site.tab.url)
    expect_models(other, ["distilled", "small-sft"])
    expect(grid(other).locator("tbody.pins a.name")).to_have_text(["distilled"])
    other.close()


@pytest.mark.parametrize(("kind", "read"), [("CSV", pd.read_csv), ("Parquet", pd.read_parquet)])
def test_what_is_shown_is_downloaded_in_its_order(site: Site, kind: str, read: Callable[[Any], pd.DataFrame]) -> None:
    site.tab.goto(f"{site.url}?licence=mit")
    expect_models(site.tab, ["small-sft", "distilled"])
    with site.tab.expect_download() as download:
        site.tab.get_by_role("button", name=kind, exact=True).click()
    table = read(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert table["model"].tolist() == ["alpha/small-sft", "beta/distilled"]
    assert table["plan_key"].tolist() == [site.keys["alpha/small-sft"], site.keys["beta/distilled"]]


def test_another_protocol_has_a_section_of_its_own_whatever_its_score(site: Site) -> None:
    site.tab.goto(f"{site.url}?protocol=all")
    expect(site.tab.get_by_role("note")).to_contain_text("Different protocols are not sorted or ranked together")
    # The one attempt of small-sft scored highest of all, and still stands below the whole standard section.
    expect_models(site.tab, [*BY_SCORE, "small-sft"])
    expect(grid(site.tab).locator("tr.section")).to_contain_text(["Standard protocol", "1 attempt per problem"])


def test_the_demonstration_is_never_beside_the_other_benchmarks(site: Site) -> None:
    site.tab.goto(site.url)
    expect_models(site.tab, BY_SCORE)
    site.tab.get_by_role("button", name="Demonstration").click()
    expect_models(site.tab, ["run-20", "run-10"])
    expect(grid(site.tab).get_by_role("columnheader", name="MATH-500")).to_have_count(0)


def test_the_table_is_walked_and_used_by_keys_alone(site: Site) -> None:
    site.tab.goto(site.url)
    expect_models(site.tab, BY_SCORE)
    expect(grid(site.tab).locator("a.value").first).to_be_visible()
    site.tab.locator("#column-menu > summary").focus()
    site.tab.keyboard.press("Tab")
    expect(grid(site.tab).get_by_role("columnheader", name="Model")).to_be_focused()
    site.tab.keyboard.press("ArrowDown")
    site.tab.keyboard.press("p")
    expect(grid(site.tab).locator("tbody.pins a.name")).to_have_text(["small-sft"])
    site.tab.keyboard.press("Control+End")
    site.tab.keyboard.press("Home")
    site.tab.keyboard.press("ArrowRight")
    site.tab.keyboard.press("Enter")
    site.tab.wait_for_url(re.compile("result"))
    assert query(site.tab)["plan"] == [site.keys["alpha/large-rl"]]


def test_only_rows_in_sight_exist_and_the_last_is_one_key_away(browser: Browser, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    changes: dict[str, bytes | None] = {}
    for i in range(MANY):
        run = under_todays_grader(measured(model=f"many/model-{i:03d}", attempts=4, correct_problems=i % 6))
        weights = Checkpoint(model=run.plan.model, commit=COMMIT)
        changes |= publish_changes([run], checkpoint=weights, measured_at="2026-03-02T14:05:10+00:00")[1]
    store.commit(changes, parent=store.snapshot().version, message="published")
    with served(store, tmp_path) as url:
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        tab.goto(f"{url}?sort=model")
        expect(grid(tab)).to_have_attribute("aria-rowcount", str(MANY + 2))
        assert grid(tab).locator("tbody tr:not(.spacer)").count() < 60
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        grid(tab).get_by_role("columnheader", name="Model").focus()
        tab.keyboard.press("Control+End")
        expect(grid(tab).get_by_text(f"model-{MANY - 1:03d}")).to_be_visible()
        tab.close()


def test_a_chart_is_kept_as_picture_and_numbers_and_read_as_a_table(site: Site) -> None:
    site.tab.goto(f"{site.url}charts")
    chart = site.tab.locator("figure#tokens")
    expect(chart.get_by_role("img")).to_have_attribute("aria-label", re.compile("alpha/small-sft"))
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("CSV", b"model,")):
        with site.tab.expect_download() as download:
            chart.get_by_role("button", name=kind).click()
        assert Path(download.value.path()).read_bytes().startswith(start)
    chart.get_by_text("The numbers as a table").click()
    expect(chart.get_by_role("row")).to_have_count(len(MODELS) + 1)


def test_light_or_dark_is_the_readers_choice_and_stays(site: Site) -> None:
    site.tab.goto(site.url)
    site.tab.get_by_role("button", name="Dark colours").click()
    expect(site.tab.locator("body")).to_have_class(re.compile("dark"))
    site.tab.goto(f"{site.url}about")
    expect(site.tab.locator("body")).to_have_class(re.compile("dark"))


ADDRESSES = ("", "?tab=published", "?protocol=all", *ROUTES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out(browser: Browser, board: tuple[str, dict[str, str]], scheme: Any) -> None:
    url, keys = board
    axe = package_files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    plan = keys["alpha/small-sft"]
    opened = (f"result?plan={plan}", "model?name=alpha/small-sft", f"compare?a={plan}&b={keys['beta/distilled']}")
    found = {}
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    for address in (*ADDRESSES, *opened):
        tab.goto(url + address)
        expect(tab.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
        expect(tab.locator(".skeleton, .waiting, p.loading")).to_have_count(0)
        tab.evaluate(axe)
        found |= {f"{address} {rule}": where for rule, where in violations(tab)}
    context.close()
    assert found == {}


def violations(tab: Page) -> list[tuple[str, list[str]]]:
    result = tab.evaluate("axe.run()")
    return [
        (f"{rule['id']}: {rule['help']}", [node["html"][:160] for node in rule["nodes"]])
        for rule in result["violations"]
    ]


UNTRANSLATED = """() => {
    const kept = '[translate="no"], bdi, code, pre, script, style, textarea, math, time, noscript, title';
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = new Set();
    while (texts.nextNode()) {
        const node = texts.currentNode;
        if (!node.parentElement.closest(kept) && /[A-Za-z]{3,}/.test(node.data)) found.add(node.data.trim());
    }
    return [...found];
}"""


def test_the_board_its_charts_and_its_explanations_are_wholly_there_in_chinese(
    browser: Browser, board: tuple[str, dict[str, str]]
) -> None:
    url, _ = board
    tab = browser.new_page(locale="zh-CN")
    words = json.loads((ASSETS / "zh.json").read_text(encoding="utf-8"))
    drawn = {"": "[role=grid] a.value", "charts": "figure#drift svg", "about": ".about-page"}
    for address, heading in {"": "排行榜", "charts": "图表", "about": "关于本榜"}.items():
        tab.goto(url + address)
        expect(tab.get_by_role("heading", level=1)).to_have_text(heading, timeout=30_000)
        expect(tab.locator(".skeleton, .waiting, p.loading")).to_have_count(0)
        expect(tab.locator(drawn[address]).first).to_be_visible(timeout=30_000)
        left = [text for text in tab.evaluate(UNTRANSLATED) if not has_chinese(text) and words.get(text) != text]
        assert left == [], address
    assert tab.evaluate("document.documentElement.lang") == "zh-CN"
    tab.close()


def has_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None
