"""The browser's modules without a browser: what they decode, filter, sort and write, beside the board's own numbers."""

from __future__ import annotations

import gzip
import json
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import playwright
import pytest

from benchmarks.board_store import files_of
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.site_routes import ASSETS
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import Standing

NODE = Path(playwright.__file__).parent / "driver" / "node"
MODULES = ASSETS / "js"
PAGE = "globalThis.location = { search: '', href: 'http://board/' };"
pytestmark = pytest.mark.skipif(not NODE.exists(), reason="playwright brings no node on this system")


def node(script: str, *arguments: str) -> Any:
    """What a script gives back as JSON; `load(name)` imports one of our modules."""
    prelude = f"{PAGE} const load = (name) => import('{MODULES.as_uri()}/' + name); const args = process.argv.slice(1);"
    whole = f"{prelude} const give = (value) => console.log(JSON.stringify(value));\n{script}"
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", whole, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@lru_cache(maxsize=1)
def published(folder: Path) -> tuple[tuple[Standing, ...], str, str]:
    """The rows of a board of thirty models, and its two files."""
    store = SqliteStore(folder / "store.db")
    changes: dict[str, bytes | None] = {}
    for number in range(30):
        changes |= dict(files_of(number))
    store.commit(changes, parent=store.version(), message="thirty models")
    files = BoardFiles(Board(store))
    paths = []
    for name in ("board.json", "details.json"):
        path = folder / name
        path.write_bytes(gzip.decompress(files.get(name).content))
        paths.append(str(path))
    return files.standings()[1], paths[0], paths[1]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Standing, ...], str, str]:
    return published(tmp_path_factory.mktemp("board"))


OPEN = """
import { readFileSync } from "node:fs";
const { addDetails, cell, decodeBoard } = await load("data.js");
const { listed, protocolsOf } = await load("query.js");
const { readState, writeState } = await load("state.js");
const board = decodeBoard(JSON.parse(readFileSync(args[0])));
addDetails(board, JSON.parse(readFileSync(args[1])));
const view = (search) => listed(board, readState(search), protocolsOf(board, "models"));
const rows = (search) => view(search).items.filter((item) => item.row !== undefined).map((item) => item.row);
"""


def test_the_browser_reads_every_number_as_the_board_has_it(board: tuple[tuple[Standing, ...], str, str]) -> None:
    standings, *paths = board
    read = node(f"{OPEN} give(board.model.map((_, row) => cell(board, row, 'aime_2024')));", *paths)
    for standing, shown in zip(standings, read, strict=True):
        score = standing.scores["aime_2024"]
        assert f"{shown['score']:.1f}" == f"{score.score:.1f}"
        assert [f"{shown['low']:.1f}", f"{shown['high']:.1f}"] == [f"{bound:.1f}" for bound in score.ci95]
        assert (shown["best"], shown["worst"]) == score.rank


def test_a_view_is_sorted_by_several_columns_with_unknown_values_last(
    board: tuple[tuple[Standing, ...], str, str],
) -> None:
    standings, *paths = board
    shown = node(f"{OPEN} give(rows('?sort=licence,-math_500.score'));", *paths)
    expected = sorted(
        range(len(standings)),
        key=lambda row: (
            standings[row].facts.licence is None,
            standings[row].facts.licence or "",
            -round(standings[row].scores["math_500"].score, 2),
        ),
    )
    assert shown == expected


def test_a_view_holds_what_matches_every_filter(board: tuple[tuple[Standing, ...], str, str]) -> None:
    standings, *paths = board
    shown = node(f"{OPEN} give(rows('?kind=rl,unknown&size=2-10&q=b&since=2026-02-01'));", *paths)
    expected = {
        row
        for row, s in enumerate(standings)
        if (s.facts.kind is None or s.facts.kind.value == "rl")
        and 2e9 <= (s.facts.parameters or 0) < 10e9
        and "b" in s.model.lower()
        and max(score.measured_at for score in s.scores.values())[:10] >= "2026-02-01"
    }
    assert set(shown) == expected


@pytest.mark.parametrize(
    "address",
    [
        "",
        "?q=qwen+7b&kind=rl,sft",
        "?tab=demo&sort=-arithmetic.score,model",
        "?on=aime_2024&show=score,tokens&facts=licence&pin=a/b&pin=c/d",
        "?protocol=all&size=40,unknown&licence=mit&since=2026-01-01",
    ],
)
def test_a_view_and_its_address_are_the_same_thing(address: str) -> None:
    script = """
    const { readState, writeState } = await load("state.js");
    give([writeState(readState(args[0])), readState(writeState(readState(args[0]))), readState(args[0])]);
    """
    written, again, state = node(script, address)
    assert written == address
    assert again == state


def test_the_pareto_front_is_what_no_other_beats() -> None:
    script = """
    const { paretoFront } = await load("charts_frontier.js");
    const pairs = [[100, 50], [50, 40], [60, 30], [200, 50], [100, 45], [400, 60]];
    const points = pairs.map(([tokens, score]) => ({ tokens, score }));
    give(paretoFront(points, "tokens").map((p) => [p.tokens, p.score]));
    """
    assert node(script) == [[50, 40], [100, 50], [400, 60]]


def test_a_chart_as_csv_runs_nothing_in_a_spreadsheet() -> None:
    script = """
    const { csv } = await load("figure.js");
    give(csv({ head: ["model", "score"], rows: [["=HYPERLINK(1)", 1.5], ['a, "b"', null], [" @x\\ny", 0]] }));
    """
    assert node(script) == 'model,score\n\'=HYPERLINK(1),1.5\n"a, ""b""",\n\' @x y,0\n'


def test_chinese_takes_the_place_of_whole_texts_lists_and_texts_with_numbers() -> None:
    script = """
    const { translated } = await load("language.js");
    const words = { "# rows": "# 行", Size: "规模", "temperature # vs #": "温度 # 对 #", "# of #": "#2 之 #1" };
    give([" 1,234 rows ", "Size", "temperature 0.6 vs 0.0; other words", "Size (3)", "3 of 9", "unknown"]
        .map((text) => translated(text, words)));
    """
    assert node(script) == [" 1,234 行 ", "规模", "温度 0.6 对 0.0;other words", "规模 (3)", "9 之 3", None]


def test_the_dictionary_keeps_every_gap_of_every_text() -> None:
    words: dict[str, str] = json.loads((ASSETS / "zh.json").read_text(encoding="utf-8"))
    for english, chinese in words.items():
        assert chinese.strip(), english
        if "#" in english:
            assert english.count("#") == chinese.count("#"), english


def test_ticks_are_round_and_inside_the_axis() -> None:
    script = """
    const { logTicks, roundTicks, scoreBounds } = await load("plot.js");
    give([roundTicks(0, 98), logTicks(900, 34000), logTicks(0.02, 3), scoreBounds([41.2, 44.9]), scoreBounds([])]);
    """
    steps, thousands, small, bounds, empty = node(script)
    assert steps == [0, 20, 40, 60, 80]
    assert thousands == [1000, 2000, 5000, 10000, 20000]
    assert small[0] >= 0.02
    assert small[-1] <= 3
    assert (bounds["from"], bounds["to"]) == (30, 50)
    assert (empty["from"], empty["to"]) == (0, 100)
