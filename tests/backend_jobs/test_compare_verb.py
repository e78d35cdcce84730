"""`compare` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend_jobs.cli import main
from evaluator.types import Sampling
from leaderboard.sqlite_store import SqliteStore
from tests.leaderboard.measurements import measurement, publish

STRONG, WEAK = [4, 4, 3, 4, 2, 4, 3, 4, 4, 4], [1, 0, 2, 3, 0, 1, 0, 2, 1, 0]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def published(path: Path) -> tuple[str, str, str]:
    store = SqliteStore(path)
    (strong,) = publish(store, measurement(STRONG, model="owner/strong"))
    (weak,) = publish(store, measurement(WEAK, model="owner/weak"))
    (greedy,) = publish(store, measurement(STRONG, model="owner/strong", sampling=Sampling(temperature=0.0)))
    return strong, weak, greedy


def test_two_results_are_compared_in_words(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strong, weak, _ = published(store)
    assert main(["compare", strong, weak, "--store", str(store)]) == 0
    shown = capsys.readouterr().out
    assert f"first: owner/strong ({strong}): 90.0" in shown
    assert "conclusion: The first scores higher than the second by 65.0 points" in shown
    assert "power: Could this benchmark have shown it?" in shown
    assert "protocols differ in: nothing" in shown


def test_the_comparison_for_programs_is_one_json_object(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strong, weak, _ = published(store)
    assert main(["compare", strong, weak, "--store", str(store), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["difference"] == pytest.approx(65)
    assert report["shown"] is True
    assert report["ci95"][0] < 65 < report["ci95"][1]
    assert report["model_differences"] == ["model owner/strong vs owner/weak"]
    assert report["mixes_protocols"] is False


def test_other_settings_are_said_and_warned_of(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strong, _, greedy = published(store)
    assert main(["compare", strong, greedy, "--store", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "protocols differ in:\n  temperature 0.6 vs 0.0" in shown
    assert "beware: These results were measured under different protocols" in shown


def test_what_cannot_be_compared_is_an_error_of_one_line(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strong, _, _ = published(store)
    for other, said in ((strong, "is one result; choose two"), ("nowhere", "no result 'nowhere' is published")):
        assert main(["compare", strong, other, "--store", str(store)]) == 1
        assert said in capsys.readouterr().err


def test_compare_wants_two_results() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "only-one"])
    assert stopped.value.code == 2
