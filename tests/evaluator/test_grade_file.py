"""Files of completions, row by row."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from evaluator.errors import CompletionsRejected
from evaluator.grade_file import IN_FLIGHT, GradeSummary, grade_file
from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as started:
        yield started


def write(path: Path, rows: list[Any]) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def grade(path: Path, pool: GraderPool, **options: Any) -> GradeSummary:
    return grade_file(path, **{"extraction": Extraction.MATH, "targets": None, "pool": pool, **options})


ROWS: list[Any] = [
    {"problem_id": "a", "sample": 0, "completion": "\\boxed{42}", "gold": "42", "finish_reason": "stop"},
    {"problem_id": "a", "sample": 1, "completion": "\\boxed{\\frac{84}{2}}", "gold": "42", "finish_reason": "length"},
    {"problem_id": "b", "completion": "\\boxed{1}", "gold": "2"},
    {"problem_id": "a", "sample": 0, "completion": "", "gold": 42},
    {
        "problem_id": "c",
        "completion": "so \\boxed{42}",
        "gold": "42",
        "finish_reason": "length",
        "prompt_opens_thought": True,
    },
]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_every_row_gets_one_row_in_the_order_of_the_file(tmp_path: Path, pool: GraderPool, name: str) -> None:
    out = tmp_path / "new" / "scores.jsonl"
    summary = grade(write(tmp_path / name, ROWS), pool, scores_out=out)
    assert summary.rows == 5
    assert summary.verdicts == {"correct": 2, "incorrect": 1, "no_answer": 2, "ungraded": 0}
    assert summary.wall_seconds > 0
    scores = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert scores == [
        {"problem_id": "a", "sample": 0, "verdict": "correct", "answer": "42", "truncated": False},
        {"problem_id": "a", "sample": 1, "verdict": "correct", "answer": "\\frac{84}{2}", "truncated": True},
        {"problem_id": "b", "sample": None, "verdict": "incorrect", "answer": "1", "truncated": None},
        {"problem_id": "a", "sample": 0, "verdict": "no_answer", "answer": None, "truncated": None},
        {"problem_id": "c", "sample": None, "verdict": "no_answer", "answer": None, "truncated": True},
    ]


def test_a_rows_own_gold_wins_over_the_targets(tmp_path: Path, pool: GraderPool) -> None:
    rows = [
        {"problem_id": "a", "completion": "\\boxed{1}", "gold": "1"},
        {"problem_id": "a", "completion": "\\boxed{2}"},
    ]
    summary = grade(write(tmp_path / "rows.jsonl", rows), pool, targets={"a": "2"})
    assert summary.verdicts["correct"] == 2


def test_targets_are_fetched_only_where_a_row_needs_them(tmp_path: Path, pool: GraderPool) -> None:
    calls = 0

    def targets() -> Mapping[str, str]:
        nonlocal calls
        calls += 1
        return {"a": "42"}

    grade(write(tmp_path / "all.jsonl", ROWS), pool, targets=targets)
    assert calls == 0
    grade(write(tmp_path / "none.jsonl", [{"problem_id": "a", "completion": ""}] * 3), pool, targets=targets)
    assert calls == 1


def test_an_empty_file_has_no_rows(tmp_path: Path, pool: GraderPool) -> None:
    assert grade(write(tmp_path / "rows.jsonl", []), pool).rows == 0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{broken", ["line 2", "not JSON"]),
        ("[1]", ["line 2", "list", "an object"]),
        ({"completion": "x", "gold": "1"}, ["line 2", "problem_id"]),
        ({"problem_id": "p7", "gold": "1"}, ["line 2", "p7", "completion"]),
        ({"problem_id": "p7", "completion": "x"}, ["line 2", "p7", "gold"]),
        ({"problem_id": "p7", "completion": 5, "gold": "1"}, ["line 2", "completion is 5", "str"]),
        ({"problem_id": "p7", "completion": "x", "gold": ["1"]}, ["line 2", "gold is ['1']"]),
        ({"problem_id": "p7", "completion": "x", "gold": "1", "prompt_opens_thought": "no"}, ["line 2", "bool"]),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, pool: GraderPool, row: Any, words: list[str]) -> None:
    out = tmp_path / "scores.jsonl"
    with pytest.raises(CompletionsRejected) as caught:
        grade(write(tmp_path / "rows.jsonl", [ROWS[0], row]), pool, scores_out=out)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert list(tmp_path.glob("*scores*")) == []
    assert list(tmp_path.glob(".*")) == []


def test_a_file_that_is_missing_or_damaged_is_refused(tmp_path: Path, pool: GraderPool) -> None:
    with pytest.raises(CompletionsRejected, match="cannot read"):
        grade(tmp_path / "none.jsonl", pool)
    whole = write(tmp_path / "rows.jsonl.gz", ROWS * 50).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CompletionsRejected, match="damaged"):
        grade(tmp_path / "cut.jsonl.gz", pool)
    (tmp_path / "text.jsonl.gz").write_text("not gzip", encoding="utf-8")
    with pytest.raises(CompletionsRejected, match="cannot read"):
        grade(tmp_path / "text.jsonl.gz", pool)


def test_an_older_scores_file_is_replaced_only_by_a_whole_one(tmp_path: Path, pool: GraderPool) -> None:
    out = tmp_path / "scores.jsonl"
    out.write_text("older\n", encoding="utf-8")
    with pytest.raises(CompletionsRejected):
        grade(write(tmp_path / "bad.jsonl", [ROWS[0], "{"]), pool, scores_out=out)
    assert out.read_text(encoding="utf-8") == "older\n"
    grade(write(tmp_path / "good.jsonl", [ROWS[0]]), pool, scores_out=out)
    assert json.loads(out.read_text(encoding="utf-8"))["verdict"] == "correct"


def test_progress_counts_up_to_every_row_and_never_reads_far_ahead(tmp_path: Path, pool: GraderPool) -> None:
    seen: list[tuple[int, int]] = []
    rows = [{"problem_id": "a", "completion": f"\\boxed{{{n}}}", "gold": "7"} for n in range(2_000)]
    grade(write(tmp_path / "rows.jsonl", rows), pool, progress=lambda graded, read: seen.append((graded, read)))
    assert [graded for graded, _ in seen] == list(range(1, 2_001))
    assert max(read - graded for graded, read in seen) <= IN_FLIGHT


def test_letters_are_read_where_the_benchmark_asks_for_letters(tmp_path: Path, pool: GraderPool) -> None:
    rows = [{"problem_id": "a", "completion": "Answer: B", "gold": "B"}]
    summary = grade(write(tmp_path / "rows.jsonl", rows), pool, extraction=Extraction.LETTER)
    assert summary.verdicts["correct"] == 1
