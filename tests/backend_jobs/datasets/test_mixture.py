"""Mixtures: the same recipe makes the same set; weights, caps and licences mean what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.cli import main
from backend_jobs.datasets.convert import convert_dataset, measure_dataset
from backend_jobs.datasets.mixture import MixtureRecipe, mix
from backend_jobs.datasets.parquet import read_columns, row_of
from backend_jobs.datasets.types import DatasetRejected, ReasoningRow
from backend_jobs.recipe_files import RecipeRejected
from settings import Settings
from tests.backend_jobs.datasets.rows import ANSWER, ROWS, THINK, THOUGHT, turns

FREE = "NovaSky-AI/Sky-T1_data_17k"
BOUND = "ServiceNow-AI/R1-Distill-SFT"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in (FREE, BOUND):
        folder = tmp_path / "mirror" / name
        folder.mkdir(parents=True)
        rows = (numbered(name, n) for n in range(400))
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Settings(benchmark_mirror=tmp_path / "mirror", data_dir=tmp_path)


def numbered(name: str, number: int) -> dict[str, Any]:
    row = json.loads(json.dumps(ROWS[name][0]))
    if name == BOUND:
        return row | {
            "problem": f"Problem {number}",
            "verified": number % 2 == 0,
            "reannotated_assistant_content": THINK,
        }
    row["conversations"][0]["value"] = f"Problem {number}"
    return row


def recipe(**parts: dict[str, Any]) -> MixtureRecipe:
    listed = [{"dataset": {"free": FREE, "bound": BOUND}[name]} | part for name, part in parts.items()]
    return MixtureRecipe.model_validate({"kind": "mixture", "run": "m", "seed": 3, "parts": listed})


def rows(folder: Path) -> list[ReasoningRow]:
    return [row_of(columns) for path in sorted(folder.glob("data/*.parquet")) for columns in read_columns(path)]


def test_the_same_recipe_makes_the_same_set_in_the_same_order(settings: Settings, tmp_path: Path) -> None:
    wanted = recipe(free={"weight": 0.5}, bound={"cap": 50})
    mix(wanted, tmp_path / "one", settings)
    mix(wanted, tmp_path / "two", settings)
    mix(wanted.model_copy(update={"seed": 4}), tmp_path / "three", settings)
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    assert rows(tmp_path / "one") != rows(tmp_path / "three")
    places = [row.license for row in rows(tmp_path / "one")]
    assert places not in (sorted(places), sorted(places, reverse=True))


def test_weights_draw_shares_and_caps_bound_them(settings: Settings, tmp_path: Path) -> None:
    report = mix(recipe(free={"weight": 0.5}, bound={"cap": 50, "verified": True}), tmp_path / "out", settings)
    by_source = report.licenses
    assert 160 <= by_source["apache-2.0"] <= 240
    assert by_source["cc-by-nc-sa-4.0"] == 50
    assert all(row.verified for row in rows(tmp_path / "out") if row.license != "apache-2.0")
    assert (
        len({row.problem for row in rows(tmp_path / "out") if row.license == "apache-2.0"}) == by_source["apache-2.0"]
    )


def test_mixed_licences_travel_and_warn(settings: Settings, tmp_path: Path) -> None:
    report = mix(recipe(free={}, bound={}), tmp_path / "out", settings)
    assert any("no commercial use" in warning for warning in report.warnings)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: other\n")
    assert "no commercial use" in card
    assert not mix(recipe(free={}), tmp_path / "free", settings).warnings


def test_a_folder_that_holds_something_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetRejected, match="is not empty"):
        mix(recipe(free={}), tmp_path / "out", settings)


def test_a_part_that_gives_nothing_is_said(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatasetRejected, match="gives no row to this mixture"):
        mix(recipe(free={"most_tokens": 1}), tmp_path / "out", settings)


def test_a_dataset_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stands twice"):
        MixtureRecipe.model_validate(
            {"kind": "mixture", "run": "m", "seed": 0, "parts": [{"dataset": FREE}, {"dataset": FREE}]}
        )
    assert issubclass(RecipeRejected, Exception)


def test_statistics_of_a_known_dataset(settings: Settings) -> None:
    report = measure_dataset(BOUND, settings)
    [source] = report.sources
    assert (report.rows, report.estimated) == (400, 400)
    assert (source.name, source.right, source.wrong) == ("cn_k12", 200, 200)
    assert report.tokens == 400 * round((len(THOUGHT) + len(ANSWER)) / 2.75)


def test_a_converted_dataset_is_ours(settings: Settings, tmp_path: Path) -> None:
    convert_dataset(FREE, tmp_path / "ours", settings)
    report = measure_dataset(str(tmp_path / "ours"), settings)
    assert (report.name, report.rows, dict(report.licenses)) == ("ours", 400, {"apache-2.0": 400})


def test_a_thousand_long_rows_are_counted_as_long(tmp_path: Path) -> None:
    name = "NovaSky-AI/Sky-T1_data_17k"
    folder = tmp_path / "mirror" / name
    folder.mkdir(parents=True)
    text = "<|begin_of_thought|>" + "so " * 30_000 + "<|end_of_thought|><|begin_of_solution|>6<|end_of_solution|>"
    lines = [json.dumps({"system": None, "conversations": turns(text)})] * 10
    lines += [json.dumps(numbered(FREE, n)) for n in range(30)]
    (folder / "train.jsonl").write_text("\n".join(lines))
    report = measure_dataset(name, Settings(benchmark_mirror=tmp_path / "mirror", data_dir=tmp_path))
    assert (report.rows, report.long_rows) == (40, 10)
    assert report.lengths[-1].rows == 10


def test_the_command_line_shows_and_publishes_statistics(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mix(recipe(bound={}), tmp_path / "out", settings)
    assert main(["data", "stats", str(tmp_path / "out"), "--store", str(tmp_path / "store.db"), "--json"]) == 0
    told = capfd.readouterr()
    assert json.loads(told.out.splitlines()[-1])["rows"] == 400
    assert "no commercial use" in told.err
    assert main(["data", "stats", str(tmp_path / "nothing.jsonl")]) == 1
