"""From nothing to a curve on the board: SFT, then GRPO from one of its checkpoints, every checkpoint measured.

    python -m benchmarks.train_and_measure --data DIR

Trains the two arithmetic recipes, whose checkpoints submit themselves, then runs the queue until it is empty: a real
vLLM serves each one. Prints the scores, GRPO's gain over its SFT parent with the paired interval, and the time of each
part. `--part` runs one of: sft, grpo, measure, report. The board to look at: OPEN_R1_DATA=DIR python app.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from backend_jobs.queue import StoreQueue
from backend_jobs.run_log import FileTrainingLog
from leaderboard.board import Board
from leaderboard.runs import MeasuredRun, measured_runs
from leaderboard.stores import open_store
from leaderboard.types import Status
from leaderboard.views.runs import best_in_words
from settings import ROOT, read_settings

PARTS = ("sft", "grpo", "measure", "report")
TIMES = "times.json"


def main() -> int:
    """Run the parts that are asked for; 1 where GRPO's gain is not above zero."""
    parser = argparse.ArgumentParser(description="SFT, GRPO and measurement of the arithmetic demonstration.")
    parser.add_argument("--data", type=Path, required=True, help="an empty folder for store, runs and logs")
    parser.add_argument("--part", choices=PARTS, help="only this one")
    options = parser.parse_args()
    settings = replace(read_settings(), data_dir=options.data.resolve(), store=str(options.data.resolve() / "store.db"))
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    for part in [options.part] if options.part else PARTS:
        began = time.monotonic()
        if part == "report":
            return _report(settings.data_dir, settings.store)
        if part == "measure":
            _measure(settings.data_dir, settings.store)
        else:
            _run(["train", f"recipes/{part}/arithmetic.yaml", "--store", settings.store], settings.data_dir)
        _note(settings.data_dir, part, time.monotonic() - began)
    return 0


def _run(arguments: list[str], data: Path) -> None:
    command = ["env", f"OPEN_R1_DATA={data}", sys.executable, "-m", "backend_jobs", *arguments]
    subprocess.run(command, cwd=ROOT, check=True)


def _measure(data: Path, store: str) -> None:
    queue = StoreQueue(open_store(store))
    while any(job.status in (Status.PENDING, Status.RUNNING) for job in queue.jobs()):
        _run(["worker", "--once", "--store", store], data)
    for job in queue.jobs():
        if job.failure is not None:
            print(f"{job.submission.model}: {job.failure.code}: {job.failure.reason}", file=sys.stderr)


def _report(data: Path, store: str) -> int:
    runs = measured_runs(Board(open_store(store)))
    for run in sorted(runs, key=lambda run: run.parent is not None):
        _table(run)
    log = FileTrainingLog(data / "training")
    for name in sorted(log.runs()):
        watched = log.read(name)
        print(f"{name}: alarms: {'; '.join(said for _, said in watched.alarms) if watched else ''} ")
    times = json.loads((data / TIMES).read_text(encoding="utf-8")) if (data / TIMES).exists() else {}
    print(
        f"{', '.join(f'{part} {s / 60:.1f} min' for part, s in times.items())}; {sum(times.values()) / 60:.1f} in all"
    )
    after = next((run for run in runs if run.parent is not None), None)
    low = after.gains[-1].comparison.ci95 if after and after.gains else None
    return int(low is None or low[0] <= 0)


def _table(run: MeasuredRun) -> None:
    print(f"\n{run.run} on {run.benchmark}, began with {run.parent or 'fresh weights'}")
    print(f"{'step':>6} {'tokens':>12} {'hours':>7} {'score':>6}   {'95 % interval':<14} against {_base(run)}")
    gains = {gain.point.step: gain for gain in run.gains}
    for point in run.points:
        gain = gains.get(point.step)
        bounds = gain.comparison.ci95 if gain else None
        said = ""
        if gain is not None and bounds is not None:
            corrected = "holds" if gain.significant else "could be chance"
            said = f"{gain.comparison.difference:+.1f} ({bounds[0]:+.1f} to {bounds[1]:+.1f}), {corrected}"
        interval = f"{point.ci95[0]:.1f} to {point.ci95[1]:.1f}"
        tokens = 0 if point.tokens is None else point.tokens
        print(f"{point.step:>6} {tokens:>12,} {point.hours or 0:>7.3f} {point.score:>6.1f}   {interval:<14} {said}")
    print(best_in_words(run))


def _base(run: MeasuredRun) -> str:
    return run.gains[0].against_name if run.gains else "nothing"


def _note(data: Path, part: str, seconds: float) -> None:
    path = data / TIMES
    times = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(times | {part: seconds}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
