"""Verdicts per second and core: ours beside math-verify called plainly on the same rows, in one run.

    .venv/bin/python -m benchmarks.grading_speed --data DIR

DIR holds `completions/*.jsonl.gz`. Ours is everything from the whole completion to the score, with a new pool of one
worker per file that has answered one question; time is CPU time of this process and the worker together.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
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
HUNG_S = 20
"""Wall-clock seconds after which a row of math-verify's counts as hung: its own limits are 3 s for each step."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one file took. `ended` rows of math-verify's took `plain_s`; the others hung."""

    rows: int
    ours_s: float
    ungraded: int
    ended: int
    plain_s: float


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    print(f"{'rows of':32}{'rows':>6}{'ours /s/core':>14}{'ungraded':>10}{'math-verify':>13}{'hung':>6}", flush=True)
    for benchmark, names in FILES.items():
        parts = [measure(data / "completions" / f"{name}.jsonl.gz") for name in names]
        for name, part in zip([*names, f"{benchmark} together"], [*parts, sum_of(parts)], strict=True):
            print(
                f"{name:32}{part.rows:6}{part.rows / part.ours_s:14.0f}{part.ungraded:10}"
                f"{part.ended / part.plain_s:13.0f}{part.rows - part.ended:6}",
                flush=True,
            )


def measure(path: Path) -> Part:
    """Both ways on one file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    ours_s, ungraded = ours(rows)
    ended, plain_cpu_s = plainly(rows)
    return Part(rows=len(rows), ours_s=ours_s, ungraded=ungraded, ended=ended, plain_s=plain_cpu_s)


def sum_of(parts: list[Part]) -> Part:
    """Several files as one."""
    return Part(
        rows=sum(part.rows for part in parts),
        ours_s=sum(part.ours_s for part in parts),
        ungraded=sum(part.ungraded for part in parts),
        ended=sum(part.ended for part in parts),
        plain_s=sum(part.plain_s for part in parts),
    )


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


def plainly(rows: list[dict[str, Any]]) -> tuple[int, float]:
    """Rows that math-verify ends, called as its README does on whole completions, and the CPU seconds they take.

    Some rows never end, its own time limits notwithstanding: their process is killed and their time not counted.
    """
    spent: list[float] = []
    asked, process = _start()
    for row in rows:
        asked.send((row["gold"], row["completion"]))
        if asked.poll(HUNG_S):
            spent.append(asked.recv())
        else:
            process.kill()
            asked, process = _start()
    process.kill()
    return len(spent), sum(spent)


def _start() -> tuple[Connection, BaseProcess]:
    """A process that answers (gold, completion) with the CPU seconds of math-verify's verdict, warm."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs,), daemon=True)
    process.start()
    ours.send(("0.5", "\\boxed{\\frac{1}{2}}"))
    ours.recv()
    return ours, process


def _answer(asked: Connection) -> None:
    while True:
        asked.send(plain_s(*asked.recv()))


def plain_s(gold: str, completion: str) -> float:
    """CPU seconds of one verdict."""
    before = time.process_time()
    math_verify.verify(math_verify.parse(f"${gold}$"), math_verify.parse(completion))
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
