"""Verdicts per second and core: ours beside math-verify called plainly on the same rows, in one run.

    .venv/bin/python -m benchmarks.grading_speed --data DIR

DIR holds `completions/*.jsonl.gz`. Ours is everything from the whole completion to the score, with a new pool of one
worker per file that has answered one question; time is CPU time of this process and the worker together.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path
from typing import Any

import math_verify

from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction, GradeInput, Verdict

FILES = {
    "MATH-500": ("thip_math500", "skythought_math500"),
    "AIME": ("thip_aime", "skythought_aime24_checkpoints"),
}
CLOCK_TICKS_PER_S = 100


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    print(f"{'rows of':32}{'rows':>6}{'ours /s/core':>14}{'math-verify':>13}{'times':>7}{'ungraded':>10}")
    for benchmark, names in FILES.items():
        total = [0, 0.0, 0.0]
        for name in names:
            with gzip.open(data / "completions" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
                rows = [json.loads(line) for line in lines]
            ours_s, ungraded = ours(rows)
            plain_s = plainly(rows)
            total = [total[0] + len(rows), total[1] + ours_s, total[2] + plain_s]
            line(name, len(rows), ours_s, plain_s, ungraded)
        line(f"{benchmark} together", int(total[0]), total[1], total[2], 0)


def line(name: str, rows: int, ours_s: float, plain_s: float, ungraded: int) -> None:
    """One line of the table."""
    print(f"{name:32}{rows:6}{rows / ours_s:14.0f}{rows / plain_s:13.0f}{plain_s / ours_s:7.1f}{ungraded:10}")


def ours(rows: list[dict[str, Any]]) -> tuple[float, int]:
    """CPU seconds from completions to scores, and how many rows got no verdict."""
    with GraderPool(workers=1) as pool:
        pool.submit(grade_input(rows[0] | {"completion": "\\boxed{\\frac{6}{8}}", "gold": "0.75"})).result()
        before = cpu_s()
        scores = [future.result() for future in [pool.submit(grade_input(row)) for row in rows]]
        spent_s = cpu_s() - before
    return spent_s, sum(score.verdict is Verdict.UNGRADED for score in scores)


def cpu_s() -> float:
    """CPU seconds so far of this process and of its child processes that still run."""
    children = Path("/proc/self/task").glob("*/children")
    pids = {pid for path in children for pid in path.read_text(encoding="ascii").split()}
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / CLOCK_TICKS_PER_S


def plainly(rows: list[dict[str, Any]]) -> float:
    """CPU seconds of math-verify, as its README calls it, on the whole completions."""
    before = time.process_time()
    for row in rows:
        math_verify.verify(math_verify.parse(f"${row['gold']}$"), math_verify.parse(row["completion"]))
    return time.process_time() - before


def grade_input(row: dict[str, Any]) -> GradeInput:
    """A recorded completion as our grader is asked about it."""
    return GradeInput(
        problem_id=row["problem_id"],
        attempt=0,
        text=row["completion"],
        target=row["gold"],
        extraction=Extraction.MATH,
        finish_reason=row.get("finish_reason"),
    )


if __name__ == "__main__":
    main()
