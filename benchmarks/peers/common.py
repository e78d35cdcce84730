"""What every runner shares: its flags, the prompts, and the report of what the asking cost. Standard library only."""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """What a runner is to do: `attempts` answers to each of `prompts`, with `concurrency` requests in flight."""

    url: str
    model: str
    prompts: list[str]
    attempts: int
    concurrency: int
    max_tokens: int
    out: Path


def prompts(problems: int) -> list[str]:
    """The problems; the server draws an answer's length from the text."""
    return [f"Problem {number}: what is the smallest prime above {1000 * number}?" for number in range(problems)]


def run(body: Callable[[Task], object]) -> None:
    """Read the flags, do the work, print one line of JSON: CPU seconds of the asking alone, and the peak of memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="fake")
    parser.add_argument("--problems", type=int, required=True)
    parser.add_argument("--attempts", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--max-tokens", type=int, default=32_768)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    task = Task(
        given.url, given.model, prompts(given.problems), given.attempts, given.concurrency, given.max_tokens, given.out
    )
    before = cpu_s()
    body(task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": cpu_s() - before, "peak_mb": peak}), flush=True)


def cpu_s() -> float:
    """User and system seconds of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
