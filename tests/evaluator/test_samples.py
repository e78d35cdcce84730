"""The lighteval tasks: what they make of a dataset is what reaches the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluator.benchmarks import AIME_2024, AIME_2025, ARITHMETIC, GPQA_DIAMOND, MATH_500
from evaluator.errors import DatasetChanged, DatasetUnavailable
from evaluator.samples import load_samples
from evaluator.types import Benchmark
from tests.fakes.openai_server import FakeOpenAI

ROOT = Path(__file__).resolve().parents[2]


def math_row(n: int) -> dict[str, Any]:
    return {"problem": f"What is {n} + {n}?", "answer": str(2 * n), "subject": "Algebra", "level": 1 + n % 5} | {
        "unique_id": f"test/algebra/{n}.json",
        "solution": "",
    }


def gpqa_row(n: int) -> dict[str, Any]:
    wrong = {f"Incorrect Answer {i}": f"wrong {i} of {n}" for i in (1, 2, 3)}
    return {"Record ID": f"rec{n:03d}", "Question": f"Question {n}?", "Correct Answer": f"right {n}", **wrong} | {
        "High-level domain": "Physics"
    }


def mirror_of(folder: Path, bench: Benchmark, row: Callable[[int], dict[str, Any]], rows: int | None = None) -> Path:
    place = folder / bench.dataset / (bench.subset if bench.subset != "default" else "")
    place.mkdir(parents=True)
    lines = (json.dumps(row(n)) for n in range(bench.problems if rows is None else rows))
    (place / f"{bench.split}.jsonl").write_text("\n".join(lines))
    return folder


def test_math_problems_carry_id_prompt_target_subject_and_level(tmp_path: Path) -> None:
    samples = load_samples(MATH_500, attempts=4, mirror=mirror_of(tmp_path, MATH_500, math_row))
    assert len(samples) == 500
    sample = next(s for s in samples if s.problem_id == "test/algebra/7.json")
    assert (sample.target, sample.subject, sample.level, sample.attempt) == ("14", "Algebra", "3", None)
    assert sample.prompt.startswith("Solve the following math problem efficiently and clearly.  The last line")
    assert "$\\boxed{ANSWER}$. I hope it is correct" in sample.prompt
    assert sample.prompt.endswith("\n\nWhat is 7 + 7?")


@pytest.mark.parametrize("bench", [AIME_2024, AIME_2025])
def test_aime_ids_come_from_the_uid_or_the_url(tmp_path: Path, bench: Benchmark) -> None:
    year = bench.name[-4:]

    def row(n: int) -> dict[str, Any]:
        part = "I" if n < 15 else "II"
        named = {"uid": f"aime{year[2:]}-{part}-{n % 15 + 1:02d}"} if n % 2 else {"uid": None}
        return {"problem": "p", "answer": "025", "url": f"x/{year}_AIME_{part}_Problems/Problem_{n % 15 + 1}", **named}

    samples = load_samples(bench, attempts=64, mirror=mirror_of(tmp_path, bench, row))
    expected = {f"aime{year[2:]}-{part}-{k:02d}" for part in ("I", "II") for k in range(1, 16)}
    assert {s.problem_id for s in samples} == expected
    assert {s.target for s in samples} == {"025"}


def test_gpqa_shows_each_attempt_its_own_option_order(tmp_path: Path) -> None:
    samples = load_samples(GPQA_DIAMOND, attempts=8, mirror=mirror_of(tmp_path, GPQA_DIAMOND, gpqa_row))
    assert len(samples) == 198 * 8
    for sample in samples:
        shown = [line[3:] for line in sample.prompt.splitlines() if line[1:3] == ") "]
        number = int(sample.problem_id[3:])
        assert shown[sample.options.index("0")] == f"right {number}"
        assert "ABCD"[sample.options.index("0")] == sample.target
    letters = Counter(s.target for s in samples)
    assert all(0.2 < count / len(samples) < 0.3 for count in letters.values())
    assert len({s.options for s in samples if s.problem_id == "rec000"}) > 1


def test_gpqas_option_order_depends_on_nothing_that_ran_before(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path, GPQA_DIAMOND, gpqa_row)
    few = load_samples(GPQA_DIAMOND, attempts=2, mirror=mirror)
    many = load_samples(GPQA_DIAMOND, attempts=4, mirror=mirror)
    assert set(few) == {s for s in many if s.attempt is not None and s.attempt < 2}


def test_the_arithmetic_benchmark_needs_no_network() -> None:
    samples = load_samples(ARITHMETIC, attempts=4)
    assert Counter(s.subject for s in samples) == {"2 terms": 50, "3 terms": 150, "4 terms": 200}


def test_a_dataset_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetChanged, match="499 distinct problems"):
        load_samples(MATH_500, attempts=4, mirror=mirror_of(tmp_path, MATH_500, math_row, rows=499))


def test_a_dataset_without_a_column_is_refused_naming_it(tmp_path: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        return {name: value for name, value in math_row(n).items() if name != "unique_id"}

    with pytest.raises(DatasetChanged, match="unique_id"):
        load_samples(MATH_500, attempts=4, mirror=mirror_of(tmp_path, MATH_500, row))


def test_a_mirror_without_the_dataset_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable, match=r"HuggingFaceH4/aime_2024/train\.jsonl"):
        load_samples(AIME_2024, attempts=8, mirror=tmp_path)


def test_a_word_changed_in_the_task_arrives_at_the_server(tmp_path: Path) -> None:
    """The task file is the only source of prompts: a copy of the program with one other word asks with that word."""
    copy = tmp_path / "program"
    for package in ("evaluator", "leaderboard", "backend_jobs"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "settings.py", copy)
    task = copy / "evaluator" / "tasks.py"
    task.write_text(task.read_text().replace("efficiently and clearly", "patiently and clearly"))
    mirror = mirror_of(tmp_path / "mirror", MATH_500, math_row)
    with FakeOpenAI(model="m") as server:
        flags = ["--model", "m", "--benchmark", "math_500", "--endpoint", server.base_url, "--limit", "2"]
        subprocess.run(
            [sys.executable, "-m", "backend_jobs", "evaluate", *flags, "--attempts", "1", "--max-tokens", "50"],
            cwd=copy,
            env={**os.environ, "BENCHMARK_MIRROR": str(mirror), "OPEN_R1_DATA": str(tmp_path / "data")},
            check=True,
            capture_output=True,
            timeout=300,
        )
        assert len(server.requests) == 2
        assert all("patiently and clearly" in asked.prompt for asked in server.requests)
