"""What publication writes, what it never writes, and who is ranked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.benchmarks import ARITHMETIC, BENCHMARKS
from evaluator.plan import generation_key, plan_key
from evaluator.types import Sampling, Verdict
from leaderboard.results import (
    PublicationRefused,
    ResultUnreadable,
    attempts_file,
    not_ranked_because,
    problem_rows,
    publish_changes,
    read_row,
    result_file,
    result_row,
    row_bytes,
    store_folder,
)
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import checked_name, update
from leaderboard.table import read_attempts, read_problems
from leaderboard.types import JobKind, ResultRow, Submission
from tests.leaderboard.measurements import checkpoint, measurement, publish

AT = "2026-01-02T03:04:05+00:00"
SUBMISSION = Submission(
    id="job-1", kind=JobKind.EVALUATE, model="owner/model", submitted_at=AT, submitted_by="ada", revision="v1"
)


def row(**plan: Any) -> ResultRow:
    return result_row(measurement([4, 2, 0], **plan), checkpoint=checkpoint(), measured_at=AT, submission=SUBMISSION)


def test_publication_is_three_files_named_by_the_plan() -> None:
    m = measurement([4, 2, 0])
    names, changes = publish_changes([m], checkpoint=checkpoint(), measured_at=AT)
    key = plan_key(m.plan)
    assert names == (key,)
    assert sorted(changes) == [
        f"attempts/{generation_key(m.plan)}.parquet",
        f"problems/{key}.parquet",
        f"results/owner/model/{key}.json",
    ]


def test_several_benchmarks_are_published_together() -> None:
    names, changes = publish_changes(
        [measurement([4, 0]), measurement([1, 2], bench="math_500")], checkpoint=checkpoint(), measured_at=AT
    )
    assert len(set(names)) == 2
    assert len(changes) == 6


def test_a_row_says_what_was_measured_how_by_whom_and_where_it_comes_from() -> None:
    m = measurement([4, 2, 0])
    made = result_row(m, checkpoint=checkpoint(step=300), measured_at=AT, submission=SUBMISSION)
    assert made.statistics.score == 50
    assert (made.job_id, made.submitted_by, made.measured_at) == ("job-1", "ada", AT)
    assert (made.revision, made.commit) == ("v1", "a" * 40)
    assert result_row(m, checkpoint=checkpoint(step=300), measured_at=AT).revision == "step-000000300"
    assert made.lineage is not None
    assert made.lineage.step == 300
    assert (made.plan, made.engine, made.problems, made.attempts_per_problem) == (m.plan, m.engine, 3, 4)


def test_of_a_checkpoint_that_was_pushed_the_lineage_comes_with_the_job_that_its_training_submitted() -> None:
    lineage = checkpoint(step=300).lineage
    submission = replace(SUBMISSION, lineage=lineage)
    made = result_row(measurement([4]), checkpoint=checkpoint(), measured_at=AT, submission=submission)
    assert made.lineage == lineage
    assert result_row(measurement([4]), checkpoint=checkpoint(), measured_at=AT, submission=SUBMISSION).lineage is None


def test_a_row_comes_back_from_its_bytes_as_it_was() -> None:
    for made in (row(), result_row(measurement([1], attempts=1), checkpoint=checkpoint(step=7), measured_at=AT)):
        assert read_row(row_bytes(made)) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("plan_key"), "plan_key"),
        (lambda d: d.update(problems="3"), "problems"),
        (lambda d: d["statistics"].update(score=None), "statistics.score"),
        (lambda d: d.update(colour="red"), "does not know: colour"),
        (lambda d: d["plan"]["sampling"].update(beams=4), "sampling.beams"),
        (lambda d: d.update(schema=99), "update the board"),
    ],
)
def test_a_file_that_is_not_exactly_a_row_is_refused(change: Any, message: str) -> None:
    data = json.loads(row_bytes(row()))
    change(data)
    with pytest.raises(ResultUnreadable, match=message):
        read_row(json.dumps(data).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_object_are_refused(data: bytes) -> None:
    with pytest.raises(ResultUnreadable):
        read_row(data)


def test_a_limited_run_is_never_published() -> None:
    with pytest.raises(PublicationRefused, match=r"limit 3"):
        publish_changes([measurement([4, 2, 0], limit=3)], checkpoint=checkpoint(), measured_at=AT)


# Attempts


def test_every_attempt_is_stored_with_what_led_to_its_verdict() -> None:
    m = measurement([2, 0], bench="math_500")
    _, changes = publish_changes([m], checkpoint=checkpoint(), measured_at=AT)
    stored = read_attempts(changes[attempts_file(generation_key(m.plan))] or b"")
    assert [(a.problem_id, a.attempt) for a in stored] == [(p, n) for p in ("p000", "p001") for n in range(4)]
    first = stored[0]
    assert (first.prompt, first.text, first.reasoning) == ("What is p000?", "answer 0 to p000", "a thought")
    assert (first.seed, first.finish_reason, first.completion_tokens, first.retries) == (1000, "stop", 10, 1)
    assert (first.answer, first.target, first.verdict, first.grader_version) == ("000", "000", "correct", "1")
    assert len(first.prompt_sha256) == len(first.text_sha256) == 64


def test_a_private_benchmark_is_stored_as_hashes_and_verdicts_only() -> None:
    m = measurement([8, 4], bench="gpqa_diamond", attempts=8)
    _, changes = publish_changes([m], checkpoint=checkpoint(), measured_at=AT)
    for stored in read_attempts(changes[attempts_file(generation_key(m.plan))] or b""):
        assert (stored.prompt, stored.text, stored.reasoning, stored.target) == (None, None, None, None)
        assert len(stored.prompt_sha256) == len(stored.text_sha256) == 64
        assert stored.verdict in ("correct", "incorrect")
        assert "secret" not in repr(stored)
    assert b"secret" not in (changes[result_file("owner/model", plan_key(m.plan))] or b"")
    assert "secret" not in repr(read_problems(changes[f"problems/{plan_key(m.plan)}.parquet"] or b""))


def test_of_a_private_benchmark_only_single_letters_are_kept_as_answers() -> None:
    m = measurement([0], bench="gpqa_diamond", attempts=4)
    leaking = replace(m, scores=tuple(replace(s, answer="the secret option's whole text") for s in m.scores))
    _, changes = publish_changes([leaking], checkpoint=checkpoint(), measured_at=AT)
    assert {a.answer for a in read_attempts(changes[attempts_file(generation_key(m.plan))] or b"")} == {None}


def test_the_problems_of_a_result_keep_subject_and_level() -> None:
    m = measurement([4, 0])
    named = replace(m, samples=tuple(replace(s, subject="Algebra", level="3") for s in m.samples))
    assert [(row.subject, row.level, row.letters) for row in problem_rows(named)] == [("Algebra", "3", "")] * 2


def test_the_problems_of_multiple_choice_keep_the_letters_chosen_and_right() -> None:
    m = measurement([2], bench="gpqa_diamond", attempts=4)
    scores = (*m.scores[:3], replace(m.scores[3], answer=None, verdict=Verdict.NO_ANSWER))
    (row,) = problem_rows(replace(m, scores=scores))
    assert (row.letters, row.right_letters) == ("ABZ-", "ABCD")


def test_a_private_benchmark_keeps_no_word_of_its_rows() -> None:
    m = measurement([2], bench="gpqa_diamond", attempts=4)
    named = replace(m, samples=tuple(replace(s, subject="Physics", level="hard") for s in m.samples))
    (row,) = problem_rows(named)
    assert (row.subject, row.level) == ("", "")


def test_a_run_with_fewer_attempts_keeps_those_that_are_already_stored(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    many, few = measurement([8, 2], attempts=8), measurement([2, 2], attempts=2)
    publish(store, many)
    publish(store, few)
    name = attempts_file(generation_key(many.plan))
    stored = read_attempts(store.snapshot().read(name))
    assert len(stored) == 16
    assert sorted({a.attempt for a in stored}) == list(range(8))


def test_a_published_result_is_never_written_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    first = measurement([1, 1])
    (key,) = publish(store, first)
    name = result_file("owner/model", key)
    linked = row_bytes(replace(read_row(store.snapshot().read(name)), superseded_by="newer"))
    update(store, lambda _: {name: linked}, message="linked")
    before = {name: store.snapshot().read(name) for name in store.snapshot().names}
    assert publish(store, measurement([4, 4]), at="2027-01-01T00:00:00+00:00") == (key,)
    assert {name: store.snapshot().read(name) for name in store.snapshot().names} == before


def test_a_stored_answer_is_never_replaced_by_another(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    publish(store, measurement([2, 2], attempts=2))
    more = measurement([4, 4], grader_version="2")
    publish(store, replace(more, completions=tuple(replace(c, text=f"other {c.text}") for c in more.completions)))
    stored = read_attempts(store.snapshot().read(attempts_file(generation_key(more.plan))))
    assert len(stored) == 8
    assert all((a.text or "").startswith("other") == (a.attempt >= 2) for a in stored)


def test_a_better_grader_replaces_the_verdicts_and_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    publish(store, measurement([1, 1]))
    (key,) = publish(store, regraded := measurement([4, 4], grader_version="2"))
    stored = read_attempts(store.snapshot().read(attempts_file(generation_key(regraded.plan))))
    assert {(a.verdict, a.grader_version) for a in stored} == {("correct", "2")}
    assert len([name for name in store.snapshot("results/").names if name.endswith(".json")]) == 2
    assert result_file("owner/model", key) in store.snapshot().names


# Problems


def test_problem_counts_are_enough_to_recompute_the_score() -> None:
    m = measurement([4, 2, 0, 1])
    _, changes = publish_changes([m], checkpoint=checkpoint(), measured_at=AT)
    stored = read_problems(changes[f"problems/{plan_key(m.plan)}.parquet"] or b"")
    assert stored == problem_rows(m)
    assert [(p.problem_id, p.n, p.correct) for p in stored] == [
        ("p000", 4, 4),
        ("p001", 4, 2),
        ("p002", 4, 0),
        ("p003", 4, 1),
    ]
    assert sum(p.correct / p.n for p in stored) / 4 * 100 == m.statistics.score
    assert stored[0].majority == "000"
    assert stored[0].mean_tokens == 10


# Who is ranked


def test_the_whole_protocol_with_known_weights_is_ranked() -> None:
    for bench in BENCHMARKS.values():
        assert not_ranked_because(measurement([1], bench=bench.name, attempts=bench.attempts).plan) == ""
    assert row(commit="sha256:" + "b" * 64).ranked


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"commit": None}, "commit of the weights is unknown"),
        ({"benchmark_version": 0}, "version 0"),
        ({"limit": 3}, "only 3 of 400 problems"),
        ({"attempts": 2}, "measured with 2 attempts, the protocol has 4"),
        ({"max_tokens": 64}, "an answer budget of 64 tokens, the protocol's is 128"),
        ({"max_tokens": 256}, "256 tokens"),
        ({"system_prompt": ""}, "system prompt"),
        ({"sampling": Sampling(temperature=0.0)}, "sampling"),
        ({"dtype": "float32"}, "float32"),
        ({"quantization": "fp8"}, "fp8"),
    ],
)
def test_whatever_departs_from_the_protocol_is_shown_with_its_reason(change: dict[str, Any], reason: str) -> None:
    made = row(**change)
    assert not made.ranked
    assert reason in made.not_ranked_because


def test_every_reason_is_named() -> None:
    assert not_ranked_because(row(commit=None, max_tokens=1, attempts=1).plan).count(";") == 2


def test_more_attempts_than_the_protocol_has_are_shown_but_not_ranked() -> None:
    assert row(attempts=8).not_ranked_because == f"measured with 8 attempts, the protocol has {ARITHMETIC.attempts}"


# Paths


@pytest.mark.parametrize("model", ["owner/model", "local/step-1", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "a/b"])
def test_hub_ids_are_their_own_folder(model: str) -> None:
    assert store_folder(model) == model


@given(st.text(min_size=1, max_size=200))
def test_no_model_name_can_leave_the_store(model: str) -> None:
    folder = store_folder(model)
    assert checked_name(f"results/{folder}/key.json")
    assert len(folder.split("/")) == 2


def test_names_that_a_server_made_up_are_kept_apart() -> None:
    names = ["demo", "../demo", "/demo", "demo/", "a/b/c", "a b/c", "..", "_/demo", "/models/a", "models/../a"]
    folders = {store_folder(name) for name in names}
    assert len(folders) == len(names)
    assert all(folder.startswith("_/") for folder in folders)
