"""Stored attempts graded again: through the real store, grader and journal, and never through a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backend_jobs.regrade import Outcome, RegradeRefused, Sources, behind, regrade
from evaluator.benchmarks import GPQA_DIAMOND
from evaluator.errors import IncompleteMeasurement
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.measure import measure
from evaluator.plan import generation_key, problems_hash
from evaluator.samples import load_samples
from evaluator.types import Measurement, Progress
from leaderboard.board import Board, ResultNotFound
from leaderboard.results import attempts_file
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from leaderboard.table import attempts_parquet, read_attempts
from leaderboard.types import ProblemChange
from tests.evaluator.test_samples import gpqa_row, mirror_of
from tests.leaderboard.measurements import checkpoint, measurement, publish

AT = "2026-05-06T07:08:09+00:00"
NEWER = "2+math-verify-0.5.2"


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as pool:
        yield pool


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def again(store: SqliteStore, tmp_path: Path, grader: GraderPool) -> Again:
    return Again(store, tmp_path / "journals", grader)


class Again:
    """Regrades results of one store under a grader version, and remembers the progress it reported."""

    def __init__(self, store: SqliteStore, journals: Path, grader: GraderPool) -> None:
        self.store, self.sources, self.grader = store, Sources(journals=journals), grader
        self.seen: list[Progress] = []

    def __call__(self, key: str, version: str = NEWER) -> Outcome:
        return regrade(
            key,
            self.store,
            sources=self.sources,
            grader=self.grader,
            at=AT,
            on_progress=lambda states: self.seen.extend(states.values()),
            grader_version=version,
        )


def answered(recorded: Sequence[int], truly: Sequence[int], **given: object) -> Measurement:
    """A run that the first grader counted as `recorded` per problem while `truly` many of its texts are right."""
    made = measurement(recorded, grader_version="1", **given)  # type: ignore[arg-type]
    targets = {sample.problem_id: sample.target for sample in made.samples}

    def text(problem: str, attempt: int) -> str:
        return f"So \\boxed{{{targets[problem] if attempt < truly[int(problem[1:])] else '-7'}}}"

    return replace(made, completions=tuple(replace(c, text=text(c.problem_id, c.attempt)) for c in made.completions))


def test_a_regrade_publishes_a_new_row_and_keeps_the_old_one_linked(store: SqliteStore, again: Again) -> None:
    (key,) = publish(store, answered([4, 1, 0], [4, 3, 0], bench="math_500"))
    old_counts = Board(store).problems(key)
    outcome = again(key)
    board = Board(store)
    old, new = board.row(key), board.row(outcome.standing)
    assert outcome.new == new
    assert (old.superseded_by, old.statistics.score) == (new.plan_key, pytest.approx(100 * 5 / 12))
    assert new.statistics.score == pytest.approx(100 * 7 / 12)
    assert new.supersedes is not None
    assert (new.supersedes.plan_key, new.supersedes.grader_version, new.supersedes.at) == (key, "1", AT)
    assert new.supersedes.difference == pytest.approx(100 * 2 / 12)
    assert new.supersedes.changed == (ProblemChange(problem_id="p001", correct_before=1, correct_after=3),)
    assert board.problems(key) == old_counts
    assert (new.generation_key, new.measured_at, new.engine) == (old.generation_key, old.measured_at, old.engine)
    assert new.protocol_key != old.protocol_key
    assert {attempt.grader_version for attempt in board.attempts(new.plan_key)} == {NEWER}
    assert again.seen[-1].done == again.seen[-1].total == 12


def test_the_board_shows_the_newest_grader_and_the_old_row_says_what_replaced_it(
    store: SqliteStore, again: Again
) -> None:
    (key,) = publish(store, answered([1], [2], bench="arithmetic"))
    standing = again(key).standing
    (entry,) = Board(store).leaderboard()
    assert entry.scores["arithmetic"].plan_key == standing
    old = Board(store).row(key)
    assert not old.ranked
    assert standing in old.not_ranked_because


def test_a_curve_shows_each_checkpoint_once_after_a_regrade(store: SqliteStore, again: Again) -> None:
    measured = answered([1, 1], [2, 2])
    (key,) = publish(store, measured, weights=checkpoint(step=10))
    standing = again(key).standing
    assert [point.plan_key for point in Board(store).curves()["demo"]["arithmetic"]] == [standing]


def test_nothing_is_done_where_the_current_grader_gave_the_verdicts(store: SqliteStore, again: Again) -> None:
    (key,) = publish(store, answered([1], [1]))
    before = store.snapshot().version
    outcome = again(key, version="1")
    assert (outcome.new, outcome.standing) == (None, key)
    assert store.snapshot().version == before


def test_a_second_regrade_finds_nothing_left_to_do(store: SqliteStore, again: Again) -> None:
    (key,) = publish(store, answered([1], [2]))
    first = again(key)
    assert again(key) == Outcome(old=Board(store).row(first.standing), new=None, standing=first.standing)
    assert behind(Board(store).rows(), NEWER) == []


def test_regrades_form_a_chain_and_the_first_result_leads_to_the_last(store: SqliteStore, again: Again) -> None:
    (key,) = publish(store, answered([1], [2]))
    second = again(key).standing
    third = again(key, version="3+math-verify-0.5.2")
    assert third.new is not None
    assert third.new.supersedes is not None
    assert third.new.supersedes.plan_key == second
    assert third.new.supersedes.changed == ()


def test_a_result_of_a_newer_grader_is_left_alone(store: SqliteStore, again: Again) -> None:
    (key,) = publish(store, replace_version(answered([1], [1]), "10+math-verify-0.9.0"))
    with pytest.raises(RegradeRefused, match="update the program"):
        again(key)


def replace_version(made: Measurement, version: str) -> Measurement:
    return replace(made, plan=replace(made.plan, grader_version=version))


def test_moves_that_cancel_out_within_a_problem_are_listed_too(store: SqliteStore, again: Again) -> None:
    made = answered([1, 0], [1, 0])
    first, second, *others = made.completions
    swapped = replace(made, completions=(replace(first, text=second.text), replace(second, text=first.text), *others))
    (key,) = publish(store, swapped)
    row = again(key).new
    assert row is not None
    assert row.supersedes is not None
    assert row.supersedes.difference == 0
    assert row.supersedes.changed == (ProblemChange(problem_id="p000", correct_before=1, correct_after=1),)


def test_two_results_of_one_generation_are_regraded_apart_and_share_their_attempts(
    store: SqliteStore, again: Again
) -> None:
    few, many = answered([1, 0], [2, 1], attempts=2), answered([1, 0], [3, 1], attempts=4)
    assert generation_key(few.plan) == generation_key(many.plan)
    (many_key,) = publish(store, many)
    (few_key,) = publish(store, few)
    assert {row.plan_key for row in behind(Board(store).rows(), NEWER)} == {few_key, many_key}
    first, second = again(few_key).new, again(many_key).new
    assert first is not None
    assert second is not None
    assert (first.verdicts["correct"], second.verdicts["correct"]) == (3, 4)
    assert second.supersedes is not None
    assert [change.problem_id for change in second.supersedes.changed] == ["p000", "p001"]
    assert len(Board(store).attempts(second.plan_key)) == 8


def test_an_attempt_that_was_altered_is_never_graded(store: SqliteStore, again: Again) -> None:
    made = answered([1], [1])
    (key,) = publish(store, made)
    name = attempts_file(generation_key(made.plan))
    rows = read_attempts(store.snapshot(name).read(name))
    altered = [replace(rows[0], text="\\boxed{nonsense}"), *rows[1:]]
    update(store, lambda _: {name: attempts_parquet(altered)}, message="altered")
    with pytest.raises(RegradeRefused, match="attempt 0 at problem p000"):
        again(key)


def test_an_attempt_that_is_gone_is_missed(store: SqliteStore, again: Again) -> None:
    made = answered([1], [1])
    (key,) = publish(store, made)
    name = attempts_file(generation_key(made.plan))
    rows = read_attempts(store.snapshot(name).read(name))
    update(store, lambda _: {name: attempts_parquet(rows[1:])}, message="torn")
    with pytest.raises(RegradeRefused, match="holds 3 attempts"):
        again(key)


def test_an_answer_that_cannot_be_graded_publishes_nothing(store: SqliteStore, tmp_path: Path) -> None:
    made = answered([0], [0], bench="math_500")
    hard = "\\boxed{\\sqrt{2}+\\sqrt{3}}"
    (key,) = publish(store, replace(made, completions=tuple(replace(c, text=hard) for c in made.completions)))
    before = store.snapshot().version
    closed = GraderPool(workers=1)
    with closed:
        pass
    with pytest.raises(IncompleteMeasurement, match="grader_stopped"):
        Again(store, tmp_path, closed)(key)
    assert store.snapshot().version == before


def test_an_unknown_result_is_named(again: Again) -> None:
    with pytest.raises(ResultNotFound, match="nothing"):
        again("nothing")


def test_a_private_benchmark_says_that_its_journal_is_needed(store: SqliteStore, again: Again) -> None:
    (key,) = publish(store, measurement([1, 0], bench="gpqa_diamond"))
    with pytest.raises(RegradeRefused, match=r"private.*owner-model\.db is not there"):
        again(key)


def test_a_private_benchmark_is_graded_again_from_its_journal(store: SqliteStore, again: Again, gpqa: Path) -> None:
    made = gpqa_measurement(gpqa)
    (key,) = publish(store, made)
    with Journal(again.sources.journals / "owner-model.db") as journal:
        for completion in made.completions:
            journal.add(generation_key(made.plan), completion)
    again.sources = replace(again.sources, mirror=gpqa)
    row = again(key).new
    assert row is not None
    assert (made.verdicts["correct"], row.verdicts["correct"]) == (0, len(made.completions))
    assert all(attempt.text is None for attempt in Board(store).attempts(row.plan_key))


def test_other_questions_than_those_measured_are_refused(store: SqliteStore, again: Again, gpqa: Path) -> None:
    made = gpqa_measurement(gpqa)
    (key,) = publish(store, replace(made, plan=replace(made.plan, problems_hash="other")))
    Journal(again.sources.journals / "owner-model.db").close()
    again.sources = replace(again.sources, mirror=gpqa)
    with pytest.raises(RegradeRefused, match="other problems or wording"):
        again(key)


@pytest.fixture
def gpqa(tmp_path: Path) -> Path:
    """A folder that stands in for the Hub, with questions of GPQA's shape."""
    return mirror_of(tmp_path / "mirror", GPQA_DIAMOND, gpqa_row)


def gpqa_measurement(mirror: Path) -> Measurement:
    """A run in which every text names the right letter, and the first grader found none of them right."""
    samples = load_samples(GPQA_DIAMOND, attempts=2, mirror=mirror)
    scripted = measurement([0] * GPQA_DIAMOND.problems, bench="gpqa_diamond", attempts=2, grader_version="1")
    keys = [(sample.problem_id, sample.attempt or 0) for sample in samples]
    return measure(
        replace(scripted.plan, problems_hash=problems_hash(samples)),
        samples=samples,
        completions=[
            replace(c, problem_id=problem, attempt=attempt, text=f"Answer: {sample.target}")
            for c, (problem, attempt), sample in zip(scripted.completions, keys, samples, strict=True)
        ],
        refusals=(),
        scores=[
            replace(score, problem_id=problem, attempt=attempt)
            for score, (problem, attempt) in zip(scripted.scores, keys, strict=True)
        ],
        engine=scripted.engine,
        wall_seconds=1.0,
        equal=lambda a, b: a == b,
    )
