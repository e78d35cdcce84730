"""The grader against completions of real models and against other graders' own test cases.

An author's verdict is not always the truth; the floors leave room for rows where the author's grader is wrong.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluator.grade_file import grade_file
from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction, GradeInput, Verdict

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded completions (../shared/data) are not here")


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=1, cpu_limit_s=20.0) as started:
        yield started


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize(
    ("name", "floor"),
    [
        ("thip_math500", 0.995),
        ("thip_aime", 0.995),
        ("skythought_math500", 0.98),
        ("skythought_aime24_checkpoints", 0.99),
        ("openai_gsm8k", 0.995),
    ],
)
def test_recorded_completions_are_graded_as_their_authors_did(
    tmp_path: Path, pool: GraderPool, name: str, floor: float
) -> None:
    path = DATA / "completions" / f"{name}.jsonl.gz"
    out = tmp_path / "scores.jsonl"
    summary = grade_file(path, extraction=Extraction.MATH, targets=None, pool=pool, scores_out=out)
    assert summary.verdicts["ungraded"] == 0
    agree = [
        (score["verdict"] == "correct") == row["author_verdict"]
        for row, score in zip(read(path), read(out), strict=True)
    ]
    assert sum(agree) / len(agree) >= floor


def test_a_prompt_that_opened_the_thought_costs_only_answers_that_were_cut_off(pool: GraderPool) -> None:
    rows = read(DATA / "completions" / "thip_math500.jsonl.gz")
    verdicts = []
    for opens in (False, True):
        futures = [
            pool.submit(
                GradeInput(
                    problem_id=row["problem_id"],
                    attempt=row["sample"],
                    text=row["completion"],
                    target=row["gold"],
                    extraction=Extraction.MATH,
                    finish_reason=row["finish_reason"],
                    prompt_opens_thought=opens,
                )
            )
            for row in rows
        ]
        verdicts.append([future.result().verdict for future in futures])
    changed = [row for row, plain, opened in zip(rows, *verdicts, strict=True) if plain is not opened]
    assert {row["finish_reason"] for row in changed} == {"length"}
    assert all("</think>" not in row["completion"] and "<\\/think>" not in row["completion"] for row in changed)


@pytest.mark.parametrize(
    ("suite", "floor"),
    [("math-verify", 0.95), ("lighteval", 0.94), ("trl-accuracy_reward", 1.0), ("open-r1-accuracy_reward", 1.0)],
)
def test_other_graders_own_cases_are_mostly_judged_alike(pool: GraderPool, suite: str, floor: float) -> None:
    cases = [case for case in read(DATA / "graders" / "triples.jsonl") if case["suite"] == suite]
    cases = [case for case in cases if isinstance(case["pred"], str) and isinstance(case["gold"], str)]
    futures = [
        pool.submit(
            GradeInput(
                problem_id=case["test"],
                attempt=0,
                text=case["pred"],
                target=case["gold"],
                extraction=Extraction.LETTER if case.get("kind") == "mcq" else Extraction.MATH,
                finish_reason="stop",
            )
        )
        for case in cases
    ]
    scores = [future.result() for future in futures]
    assert all(score.verdict is not Verdict.UNGRADED for score in scores)
    agree = [(score.verdict is Verdict.CORRECT) == case["expected"] for case, score in zip(cases, scores, strict=True)]
    assert sum(agree) / len(agree) >= floor
