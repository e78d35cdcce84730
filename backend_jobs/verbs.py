"""What each verb of the command line does. Results are dicts for `--json`; progress goes to standard error."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

from backend_jobs.anchor import CONCURRENCY, anchor_table
from backend_jobs.anchor import anchor as run_anchor
from backend_jobs.checkpoints_out import to_the_board
from backend_jobs.clock import Clock
from backend_jobs.data_verbs import plan_generation
from backend_jobs.demo import recipe_submission
from backend_jobs.evaluate_job import (
    Ask,
    grading,
    prepare,
    run_evaluation,
)
from backend_jobs.hub_queue import HubQueue
from backend_jobs.jobs import as_line
from backend_jobs.launching import VISIBLE, Place
from backend_jobs.make_worker import make_worker
from backend_jobs.plan_recipe import describe_recipe
from backend_jobs.plan_verb import describe
from backend_jobs.progress import Bars, Events, events_to
from backend_jobs.queue import StoreQueue
from backend_jobs.recipe_files import recipe_data
from backend_jobs.recipes import Recipe, RecipeRejected, load_recipe
from backend_jobs.smoke import smoke_recipe, smoke_settings
from backend_jobs.train import run_folders
from backend_jobs.train import train as run_training
from backend_jobs.training.events import CheckpointReady, TrainEvent
from backend_jobs.types import PartlyDone, WrongUsage
from backend_jobs.weights import resolve_model
from evaluator.audit import FileAudit
from evaluator.benchmarks import benchmark
from evaluator.devices import Devices, find_devices, this_processor
from evaluator.errors import OpenR1Error, PlanRejected
from evaluator.grade_file import grade_file
from evaluator.hardware import named_devices
from evaluator.measure import report
from evaluator.prepare import Options
from evaluator.samples import load_samples
from evaluator.types import Checkpoint, Measurement, Progress, to_json
from leaderboard.board import Board
from leaderboard.compare import compare_results, comparison_lines, comparison_report
from leaderboard.priors import length_priors
from leaderboard.results import is_published, publish_changes
from leaderboard.store import Changes, Snapshot, Store, update
from leaderboard.stores import open_store
from leaderboard.submissions import check_submission
from settings import Settings

Result = dict[str, Any] | None
POLL_S = 1.0


def worker(options: argparse.Namespace, settings: Settings) -> Result:
    """Take jobs and run them until stopped; with `--once`, at most one."""
    settings = replace(settings, store=options.store)
    name = options.name or f"{socket.gethostname()}-{os.getpid()}"
    taking, queue = make_worker(settings, name, only=options.job)
    told: SimpleQueue[int] = SimpleQueue()

    def stop(number: int, _: object) -> None:
        # A signal handler may take no lock: a SimpleQueue needs none, an Event would.
        taking.stop()
        if isinstance(queue, HubQueue):
            threading.Thread(target=queue.stopping.set, daemon=True).start()
        told.put(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if options.once:
        taking.run_once()
        return None
    clock = Clock()
    clock.every(POLL_S, taking.run_once, name="take a job")
    clock.start()
    told.get()
    clock.stop()
    return None


def submit(options: argparse.Namespace, settings: Settings) -> Result:
    """Check a submission and add it to the queue."""
    queue = StoreQueue(open_store(options.store, settings))
    if options.recipe is not None:
        record = queue.submit(recipe_submission(options.recipe))
        return {"job": record.submission.id, "model": record.submission.model, "status": record.status.value}
    if not options.model or not options.benchmark:
        raise PlanRejected("submit wants a RECIPE, or --model and --benchmark")
    form = {"model": options.model, "revision": options.revision, "benchmarks": options.benchmark}
    submission = check_submission(form, local_mode=settings.space is None, resolve=_resolver(settings))
    record = queue.submit(submission)
    return {"job": record.submission.id, "model": record.submission.model, "status": record.status.value}


def plan(options: argparse.Namespace, settings: Settings) -> Result:
    """Print what would run, and run nothing."""
    if options.recipe is not None and recipe_data(options.recipe).get("kind") == "generate":
        return plan_generation(options, settings)
    if options.recipe is not None:
        here = _devices(options.gpus) or find_devices(dict(settings.child_environment).get(VISIBLE))
        gpu_bytes = here.memory_bytes if here.kind != "cpu" else None
        return describe_recipe(load_recipe(options.recipe), settings, gpu_bytes=gpu_bytes)
    if not options.model or not options.benchmark:
        raise WrongUsage("plan wants a RECIPE, or --model and --benchmark")
    devices = _devices(options.gpus)
    asked = replace(_ask(options), devices=devices, dollars_per_gpu_hour=options.gpu_price)
    return describe(prepare(asked, settings), settings)


def _devices(gpus: str | None) -> Devices | None:
    if gpus is None:
        return None
    return this_processor() if gpus.strip().lower() == "cpu" else named_devices(gpus)


def evaluate(options: argparse.Namespace, settings: Settings) -> Result:
    """Measure one checkpoint, here and now."""
    if options.store and options.limit:
        raise PlanRejected("a --limit run is never published; leave out --store, or --limit")
    # Opened before anything is asked: a path that is no store must not cost a measurement.
    store = open_store(options.store, settings) if options.store else None
    ask = _ask(options)
    if store is not None:
        ask = replace(ask, priors=length_priors(Board(store), ask.benchmarks))
    checkpoint, measurements, result = _measure(ask, options, settings)
    if store is not None:
        try:
            _publish(store, checkpoint, measurements)
        except OpenR1Error as error:
            raise PartlyDone(f"measured, but not published: {error}", result) from error
    return result


def _measure(
    ask: Ask, options: argparse.Namespace, settings: Settings
) -> tuple[Checkpoint, list[Measurement], dict[str, Any]]:
    """Run the evaluation with bars on the terminal and, where asked for, a stream of events; SIGTERM cancels it."""
    cancelled = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    bars = Bars()
    with events_to(options.events) as stream:
        events = Events(stream) if stream is not None else None

        def show(progress: Mapping[str, Progress]) -> None:
            bars.show(progress)
            if events is not None:
                events.show(progress)

        try:
            checkpoint, measurements = run_evaluation(ask, settings, on_progress=show, cancelled=cancelled)
        except OpenR1Error as error:
            if events is not None:
                events.write("failed", code=error.code, reason=str(error))
            raise
        bars.end()
        reports = [report(measurement) for measurement in measurements]
        if events is not None:
            for told in reports:
                events.write("finished", result=told)
    return checkpoint, measurements, reports[0] if len(reports) == 1 else {"measurements": reports}


def _publish(store: Store, checkpoint: Checkpoint, measurements: Sequence[Measurement]) -> None:
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")

    kept: list[str] = []

    def edit(stored: Snapshot) -> Changes:
        keys, changes = publish_changes(measurements, checkpoint=checkpoint, measured_at=measured_at, stored=stored)
        kept[:] = [
            key for key, done in zip(keys, measurements, strict=True) if is_published(done.plan.model, key, stored)
        ]
        return changes

    update(store, edit, message=f"measured {checkpoint.model}")
    for key in kept:
        print(f"result {key}: already published; kept", file=sys.stderr)


def grade(options: argparse.Namespace, settings: Settings) -> Result:
    """Grade recorded completions; reads the benchmark's targets only where a row brings no gold."""
    bench = benchmark(options.benchmark)

    def targets() -> Mapping[str, str]:
        samples = load_samples(bench, attempts=1, mirror=settings.benchmark_mirror)
        return {sample.problem_id: sample.target for sample in samples}

    with (
        grading(settings) as pool,
        FileAudit(scores=options.scores) if options.audit else nullcontext() as audited,
    ):
        summary = grade_file(
            options.completions,
            extraction=bench.extraction,
            targets=targets,
            pool=pool,
            scores_out=options.scores,
            graded_row=audited.row if audited else None,
        )
    result = {"rows": summary.rows, "verdicts": dict(summary.verdicts), "wall_seconds": round(summary.wall_seconds, 2)}
    return result | ({"audit": audited.counts} if audited else {})


def anchor(options: argparse.Namespace, _: Settings) -> Result:
    """Replay recorded completions through the whole evaluation; prints a table of our scores beside their authors'."""
    checked = run_anchor(
        options.completions,
        opened=options.opened,
        concurrency=options.concurrency or CONCURRENCY,
        say=lambda line: print(line, file=sys.stderr),
    )
    if options.json:
        return to_json(checked)
    print(anchor_table(checked))
    return None


def compare(options: argparse.Namespace, settings: Settings) -> Result:
    """Compare two published results over the same problems."""
    compared = compare_results(Board(open_store(options.store, settings)), *options.results)
    return comparison_report(compared) if options.json else comparison_lines(compared)


def train(options: argparse.Namespace, settings: Settings) -> Result:
    """Run a training recipe; with `--store`, every checkpoint is submitted to the board as it appears."""
    recipe = load_recipe(options.recipe)
    if options.smoke:
        return _smoke(recipe, settings)
    place = None
    if options.machines > 1:
        if options.main_address is None:
            raise RecipeRejected("several machines need --main-address HOST:PORT, the same on all: the first machine's")
        place = Place(machines=options.machines, rank=options.machine_rank, address=options.main_address)
    first = place is None or place.rank == 0
    queue = StoreQueue(open_store(options.store, settings)) if options.store and first else None

    def follow(event: TrainEvent) -> None:
        print(as_line(event), file=sys.stderr)
        if isinstance(event, CheckpointReady) and first:
            hand_out(event)

    # Of several machines only the first brings checkpoints anywhere.
    of = recipe if first else recipe.model_copy(update={"hub": None})
    with to_the_board(of, settings, queue, say=lambda line: print(line, file=sys.stderr)) as hand_out:
        result = run_training(recipe, settings=settings, on_event=follow, cancelled=threading.Event(), place=place)
    return {
        "run": result.run,
        "resumed_at": result.resumed_at,
        "wall_seconds": round(result.wall_seconds, 1),
        "checkpoints": [str(ready.path) for ready in result.checkpoints],
    }


def _smoke(recipe: Recipe, settings: Settings) -> Result:
    """Two steps of a recipe with a tiny model and a few rows; whatever an earlier one left is removed."""
    apart = smoke_settings(settings)
    folders = run_folders(apart, recipe.run)
    for folder in (folders.models, folders.work):
        shutil.rmtree(folder, ignore_errors=True)
    result = run_training(
        smoke_recipe(recipe),
        settings=apart,
        on_event=lambda event: print(as_line(event), file=sys.stderr),
        cancelled=threading.Event(),
        alone=True,
    )
    return {"run": result.run, "smoke": "passed", "wall_seconds": round(result.wall_seconds, 1)}


def as_text(result: dict[str, Any]) -> str:
    """A result for people: one line per value, lists indented."""
    lines = []
    for name, value in result.items():
        if isinstance(value, list):
            lines.append(f"{name}:")
            lines += [f"  {_inline(item)}" for item in value]
        else:
            lines.append(f"{name}: {_inline(value)}")
    return "\n".join(lines)


def _inline(value: Any) -> str:
    return ", ".join(f"{k} {_inline(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _ask(options: argparse.Namespace) -> Ask:
    chosen = Options(
        attempts=options.attempts,
        max_tokens=options.max_tokens,
        limit=options.limit,
        tensor_parallel_size=options.tensor_parallel_size,
        replicas=options.replicas,
        concurrency=options.concurrency,
    )
    endpoint, *others = options.endpoint or [None]
    return Ask(
        model=options.model,
        revision=options.revision,
        benchmarks=tuple(options.benchmark),
        options=chosen,
        endpoint=endpoint,
        more_endpoints=tuple(others),
        answer_timeout_s=getattr(options, "answer_timeout", None),
        journal=getattr(options, "journal", None),
        retry=f"by hand, {time.time_ns()}" if getattr(options, "retry_refused", False) else None,
    )


def _resolver(settings: Settings) -> Any:
    return lambda model, revision: resolve_model(model, revision, settings)
