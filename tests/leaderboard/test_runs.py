"""Training runs on the board: gains over the parent, corrected for the many, and the page that shows them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.statistics import holm
from evaluator.types import Checkpoint, Lineage
from leaderboard.board import Board
from leaderboard.run_charts import LEFT, Over, number, runs_chart, small_chart, ticks_to
from leaderboard.runs import MeasuredRun, WatchedRun, WatchedSample, WatchedStep, measured_runs
from leaderboard.sqlite_store import SqliteStore
from leaderboard.views.runs import RunsChoice, best_in_words, read_choice, runs_page
from tests.leaderboard.measurements import COMMIT, checkpoint, measurement, publish

PROBLEMS = 60
HOSTILE = "<script>alert(1)</script>\u202egnp.exe"


def weights(run: str, step: int, *, parent: str | None = None, hours: float | None = 0.5) -> Checkpoint:
    lineage = Lineage(
        run=run,
        step=step,
        recipe_hash=f"recipe of {run}",
        parent=parent,
        tokens=step * 1000,
        data="arithmetic, seed 1",
        code="trl 1",
        device="cpu",
        hours=hours,
    )
    model, commit = f"local/{run}", f"sha256:{run}{step:03d}".ljust(71, "0")
    return Checkpoint(model=model, revision=f"{run}-step-{step:09d}", commit=commit, lineage=lineage)


def publish_run(store: SqliteStore, run: str, scores: dict[int, Sequence[int]], *, parent: str | None = None) -> None:
    for step, correct in scores.items():
        made = weights(run, step, parent=parent)
        publish(store, measurement(correct, model=made.model, commit=made.commit), weights=made)


def outcomes(share: float, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [sum(draw.random() < share for _ in range(4)) for _ in range(PROBLEMS)]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def of(store: SqliteStore, run: str) -> MeasuredRun:
    return next(found for found in measured_runs(Board(store)) if found.run == run)


def test_a_run_is_compared_with_the_checkpoint_that_it_began_with(store: SqliteStore) -> None:
    publish_run(store, "sft", {100: outcomes(0.3), 200: outcomes(0.5)})
    publish_run(store, "rl", {50: outcomes(0.5, 1), 100: outcomes(0.9)}, parent="local/sft@sft-step-000000200")
    run = of(store, "rl")
    assert [point.step for point in run.points] == [50, 100]
    assert [point.tokens for point in run.points] == [50_000, 100_000]
    assert run.points[0].hours == 0.5
    assert {gain.against.step for gain in run.gains} == {200}
    assert run.gains[0].against_name == "its parent, sft at step 200"
    assert [gain.significant for gain in run.gains] == [False, True]
    assert run.best is not None
    assert run.best.point.step == 100
    assert run.best.comparison.ci95 is not None
    assert run.best.comparison.ci95[0] > 0


def test_a_run_from_a_checkpoint_that_was_pushed_is_compared_with_its_revision_on_the_hub(store: SqliteStore) -> None:
    pushed = replace(weights("sft", 200), model="alice/sums", commit="d" * 40)
    publish(store, measurement(outcomes(0.5), model="alice/sums", commit="d" * 40), weights=pushed)
    publish_run(store, "rl", {100: outcomes(0.9)}, parent="local/sft@sft-step-000000200")
    assert of(store, "rl").gains[0].against_name == "its parent, sft at step 200"


def test_a_run_from_a_model_of_the_hub_is_compared_with_that_model(store: SqliteStore) -> None:
    publish(store, measurement(outcomes(0.5), model="owner/base"), weights=checkpoint("owner/base"))
    publish_run(store, "rl", {100: outcomes(0.9)}, parent=f"owner/base@{COMMIT}")
    run = of(store, "rl")
    assert run.gains[0].against_name == f"its parent, owner/base at {COMMIT[:12]}"
    assert run.gains[0].significant


def test_without_a_measured_parent_the_first_checkpoint_stands_for_the_beginning(store: SqliteStore) -> None:
    publish_run(store, "sft", {100: outcomes(0.3), 200: outcomes(0.9)}, parent="owner/base@abc")
    run = of(store, "sft")
    assert [gain.point.step for gain in run.gains] == [200]
    assert run.gains[0].against_name == "its first checkpoint, sft at step 100"


def test_the_best_of_many_equal_checkpoints_is_called_luck(store: SqliteStore) -> None:
    publish_run(store, "flat", {step: outcomes(0.5, seed=step) for step in range(1, 13)})
    run = of(store, "flat")
    assert run.best is not None
    assert run.best.comparison.difference > 0
    assert not any(gain.significant for gain in run.gains)
    assert "the best of 11" in best_in_words(run)
    assert "the best of many is partly luck" in best_in_words(run)


def test_a_real_gain_is_said_to_hold_after_the_correction(store: SqliteStore) -> None:
    publish_run(store, "good", {1: outcomes(0.2), 2: outcomes(0.5, 1), 3: outcomes(0.95, 2)})
    assert "That holds after Holm's correction for 2 comparisons" in best_in_words(of(store, "good"))


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([]) == []
    assert holm([0.05]) == [True]


def test_one_checkpoint_alone_claims_nothing(store: SqliteStore) -> None:
    publish_run(store, "one", {1: outcomes(0.5)})
    assert of(store, "one").gains == ()
    assert "nothing to compare it with" in best_in_words(of(store, "one"))


def watched(run: str = "rl") -> WatchedRun:
    steps = tuple(
        WatchedStep(step=n, tokens=n, hours=n / 10, loss=1 / n, metrics={"reward": n / 10, "reward/accuracy": n / 10})
        for n in range(1, 6)
    )
    sample = WatchedSample(
        step=5, prompt=HOSTILE, completion=HOSTILE, gold=HOSTILE, tokens=3, truncated=True, rewards={"accuracy": None}
    )
    return WatchedRun(
        run=run, steps_in_all=10, steps=steps, samples=(sample,), alarms=((4, HOSTILE),), notes=(HOSTILE,)
    )


def test_the_page_shows_curves_numbers_alarms_and_answers_and_obeys_none_of_them(store: SqliteStore) -> None:
    publish_run(store, "rl", {50: outcomes(0.5, 1), 100: outcomes(0.9)})
    html = runs_page(measured_runs(Board(store)), [watched()], RunsChoice())
    for shown in (
        "Training runs",
        "arithmetic: accuracy over training step",
        "Loss",
        "Reward, weighted",
        "step 5 of 10",
    ):
        assert shown in html
    assert "Reward: accuracy" in html
    assert 'role="alert"' in html
    assert "could not judge" in html
    assert "<script>" not in html
    assert "\u202e" not in html


def test_several_runs_share_a_chart_over_steps_tokens_or_hours(store: SqliteStore) -> None:
    publish_run(store, "a", {10: outcomes(0.3), 20: outcomes(0.4)})
    publish_run(store, "b", {10: outcomes(0.5), 30: outcomes(0.6)})
    runs = measured_runs(Board(store))
    for over in Over:
        chart = runs_chart("arithmetic", runs, over)
        assert chart.count('<g class="series') == 2
        assert "a: step 10" in chart
    without = [replace(run, points=tuple(replace(p, hours=None) for p in run.points)) for run in runs]
    assert '<g class="series' not in runs_chart("arithmetic", without, Over.HOURS)


def test_the_curve_begins_with_the_checkpoint_that_the_run_began_with(store: SqliteStore) -> None:
    publish_run(store, "sft", {200: outcomes(0.5)})
    publish_run(store, "rl", {50: outcomes(0.6, 1), 100: outcomes(0.9)}, parent="local/sft@sft-step-000000200")
    for over in Over:
        chart = runs_chart("arithmetic", [of(store, "rl")], over)
        assert chart.count('<circle class="dot"') == 3
        assert "rl: began with its parent, sft at step 200: " in chart
        assert f'<polyline class="line" points="{LEFT:.1f},' in chart


def test_the_address_chooses_runs_and_axis(store: SqliteStore) -> None:
    publish_run(store, "a", {10: outcomes(0.3)})
    publish_run(store, "b", {10: outcomes(0.5)})
    choice = read_choice({"runs": "a", "over": "tokens"})
    assert choice == RunsChoice(runs=("a",), over=Over.TOKENS)
    html = runs_page(measured_runs(Board(store)), [], choice)
    assert 'data-key="run-a"' in html
    assert 'data-key="run-b"' not in html
    assert read_choice({"over": "moons"}) == RunsChoice()


def test_an_empty_board_says_how_to_begin() -> None:
    assert "python -m backend_jobs train" in runs_page([], [], RunsChoice())


def test_ticks_are_round_and_reach_the_last_value() -> None:
    assert ticks_to(200) == [0, 50, 100, 150, 200]
    assert ticks_to(0.031)[-1] >= 0.031
    assert ticks_to(1) == [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]


def test_a_flat_line_is_drawn_too() -> None:
    assert "polyline" in small_chart("KL", [(1.0, 0.0), (2.0, 0.0)])
    assert number(1234.5) == "1,234"
