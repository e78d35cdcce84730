"""One evaluation from what was asked to measurements: find the weights, plan, serve, run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from backend_jobs.weights import Weights, download, find_weights, with_templates
from evaluator import template
from evaluator.checkpoint import board_name, prepare_serving_folder
from evaluator.client import Endpoint, run_async
from evaluator.devices import Devices, find_devices, machine_memory
from evaluator.engine import Launch, RunningEngine, given_engine, local_engine, prompt_text
from evaluator.engine_limits import engine_limits
from evaluator.engine_plan import EnginePlan, plan_engine
from evaluator.errors import CheckpointRejected
from evaluator.evaluate import Priors, evaluate
from evaluator.forecast import Forecast, forecast, work_of
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.journal_parts import Parts
from evaluator.placed_engine import placed_engine
from evaluator.plan import requests
from evaluator.prepare import Evaluation, Options, PromptFacts, load_all, local_prompt_facts, make_plans
from evaluator.process import NO_LIMITS, Limits
from evaluator.ray_cluster import joined, usual_devices
from evaluator.retry import RetryPolicy
from evaluator.types import Checkpoint, Measurement, Progress, Sample
from settings import Settings

COMMIT = re.compile(r"[0-9a-f]{40}|sha256:[0-9a-f]{64}")
CANCEL_POLL_S = 0.2

OnProgress = Callable[[Mapping[str, Progress]], None]


class EngineElsewhere(Protocol):
    """Engines on other hardware, from the Hub's own copy of the weights. `backend_jobs/rented_engine.py` rents one."""

    @property
    def devices(self) -> Devices:
        """The hardware to plan for."""
        ...

    def open(
        self, checkpoint: Checkpoint, plan: EnginePlan, say: Callable[[str], None], cancelled: threading.Event
    ) -> AbstractAsyncContextManager[RunningEngine]:
        """The engine that answers, for as long as the block lasts."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What somebody wants measured. `model` is a Hub id, a local folder, or with `endpoint` a name that it serves."""

    model: str
    benchmarks: tuple[str, ...]
    revision: str | None = None
    options: Options = field(default_factory=Options)
    endpoint: str | None = None
    more_endpoints: tuple[str, ...] = ()
    """Other servers of the same weights, behind the same queue."""
    devices: Devices | None = None
    """Hardware to plan for that is not here. None means what this machine has."""
    dollars_per_gpu_hour: float | None = None
    elsewhere: EngineElsewhere | None = None
    """What serves the weights instead of this machine, which then needs none of them."""
    priors: Priors = field(default_factory=dict)
    """How long earlier models thought about each problem."""
    parts: Parts | None = None
    """Where answers are shared with other machines that may take the work over."""
    journal: Path | None = None
    answer_timeout_s: float | None = None
    """How long one answer may take; None means the engine's own limit."""
    retry: str | None = None
    """The occasion on which a person said that what an engine refused may be asked once more; each counts once."""
    patient: bool = False
    """Wait for another run of the same plan: a worker that was taken over from may not have noticed yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Plans that are ready to run, and what will serve them: an `engine` that runs already, or else the `weights` as
    `engine_plan` says, which takes what `forecast` says.
    """

    checkpoint: Checkpoint
    evaluations: tuple[Evaluation, ...]
    weights: Weights | None = None
    engine_plan: EnginePlan | None = None
    forecast: Forecast | None = None
    limits: Limits = NO_LIMITS
    engine: RunningEngine | None = None
    elsewhere: EngineElsewhere | None = None


def run_evaluation(
    ask: Ask,
    settings: Settings,
    *,
    on_progress: OnProgress,
    cancelled: threading.Event,
    expected_commit: str | None = None,
    accept: Callable[[Prepared], None] = lambda _: None,
) -> tuple[Checkpoint, list[Measurement]]:
    """Measure one checkpoint on every benchmark that is asked for. Blocks; may run in any thread.

    `expected_commit` is what was promised when the job was submitted; other weights are refused. `accept` sees the
    plans before anything is asked or started, and raises to give up.

    Raises:
        OpenR1Error: with a message that says what to do; whatever was answered stays in the journal.
    """
    return run_async(_run(ask, settings, on_progress, cancelled, expected_commit, accept))


def prepare(ask: Ask, settings: Settings) -> Prepared:
    """Plans without running anything. Of a checkpoint on the Hub only its small files are downloaded."""
    return run_async(_prepare(ask, settings, lambda _: None))


async def _run(
    ask: Ask,
    settings: Settings,
    on_progress: OnProgress,
    cancelled: threading.Event,
    expected_commit: str | None,
    accept: Callable[[Prepared], None],
) -> tuple[Checkpoint, list[Measurement]]:
    news = _News(ask.benchmarks, on_progress)
    prepared = await _prepare(ask, settings, news.say)
    if expected_commit is not None and prepared.checkpoint.commit != expected_commit:
        raise CheckpointRejected(
            f"{ask.model} has changed since it was submitted ({expected_commit[:19]} then, "
            f"{(prepared.checkpoint.commit or 'unknown')[:19]} now); submit it again"
        )
    accept(prepared)
    checkpoint = prepared.checkpoint
    if prepared.weights is not None:
        checkpoint = await asyncio.to_thread(with_templates, checkpoint, settings)
        if prepared.elsewhere is None:
            await asyncio.to_thread(download, prepared.weights, settings, news.say, cancelled)
    cancel = asyncio.Event()
    watcher = asyncio.create_task(watch(cancelled, cancel))
    journal_path = ask.journal or default_journal(settings, prepared.checkpoint)
    journal_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Journal(journal_path) as journal, grading(settings) as grader:
            measurements = await evaluate(
                prepared.evaluations,
                open_engine=lambda: _open_engine(prepared, settings, news.say, cancelled),
                journal=journal,
                grader=grader,
                concurrency=ask.options.concurrency,
                policy=RetryPolicy(answer_timeout_s=ask.answer_timeout_s) if ask.answer_timeout_s else RetryPolicy(),
                priors=ask.priors,
                parts=ask.parts,
                on_progress=news.show,
                cancel=cancel,
                retry=ask.retry,
                patient=ask.patient,
            )
    finally:
        watcher.cancel()
    return checkpoint, measurements


async def _prepare(ask: Ask, settings: Settings, say: Callable[[str], None]) -> Prepared:
    say("reading the benchmarks")
    loaded = await asyncio.to_thread(load_all, ask.benchmarks, ask.options, settings.benchmark_mirror)
    samples = [sample for _, _, these in loaded for sample in these]
    if ask.endpoint:
        endpoint, *others = [
            Endpoint(base_url=url.rstrip("/"), model=ask.model, api_key=settings.endpoint_api_key)
            for url in (ask.endpoint, *ask.more_endpoints)
        ]
        engine = await given_engine(endpoint, *others)
        facts = await _endpoint_prompt_facts(endpoint, samples)
        checkpoint = Checkpoint(model=ask.model, revision=ask.revision, commit=known_commit(ask.revision))
        plans = tuple(make_plans(checkpoint, loaded, options=ask.options, facts=facts, endpoint=endpoint.base_url))
        return Prepared(checkpoint=checkpoint, evaluations=plans, engine=engine)
    say("reading the checkpoint")
    weights = await asyncio.to_thread(find_weights, ask.model, ask.revision, settings)
    checkpoint = weights.checkpoint
    assert checkpoint.path is not None
    facts = await asyncio.to_thread(local_prompt_facts, checkpoint.path, samples)
    plans = tuple(make_plans(checkpoint, loaded, options=ask.options, facts=facts))
    work = work_of([(each.plan, len(requests(each.plan, each.samples))) for each in plans], facts.tokens or 0)
    devices = ask.elsewhere.devices if ask.elsewhere is not None else ask.devices
    if devices is None:
        devices = await asyncio.to_thread(devices_of, settings)
    engine_plan = plan_engine(
        weights.shape,
        devices=devices,
        prompt_tokens=work.prompt_tokens,
        max_tokens=work.max_tokens,
        tensor_parallel_size=ask.options.tensor_parallel_size,
        replicas=ask.options.replicas,
        mean_tokens=work.each.mean,
    )
    expected = forecast(work, engine_plan, weights.shape, devices, dollars_per_gpu_hour=ask.dollars_per_gpu_hour)
    return Prepared(
        checkpoint=checkpoint,
        evaluations=plans,
        weights=weights,
        engine_plan=engine_plan,
        forecast=expected,
        limits=engine_limits(engine_plan, weights.shape, machine_memory(), work, expected),
        elsewhere=ask.elsewhere,
    )


def devices_of(settings: Settings) -> Devices:
    """What engines are started on: this machine, or the nodes of the Ray cluster that the settings name."""
    if settings.ray_address is None:
        return find_devices(dict(settings.child_environment).get("CUDA_VISIBLE_DEVICES"))
    with joined(settings.ray_address) as cluster:
        return usual_devices(cluster.nodes())


def default_journal(settings: Settings, checkpoint: Checkpoint) -> Path:
    """Where the answers of one model are kept unless `--journal` says otherwise."""
    return settings.data_dir / "journals" / f"{board_name(checkpoint.model)}.db"


def grading(settings: Settings) -> GraderPool:
    """The grading processes of a run."""
    return GraderPool(workers=grading_workers(), cpu_limit_s=settings.grading_limit_s)


def grading_workers() -> int:
    """Half of the cores: the other half keeps the engine's answers flowing."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def serving_folder(settings: Settings, run: str) -> Path:
    """Where the copy of a checkpoint lies that the engine of one run may see. No two runs share one."""
    return _engine_work(settings, run) / "served"


def _engine_work(settings: Settings, run: str) -> Path:
    return settings.data_dir / "engines" / run


def _open_engine(
    prepared: Prepared, settings: Settings, say: Callable[[str], None], cancelled: threading.Event
) -> AbstractAsyncContextManager[RunningEngine]:
    if prepared.engine is not None:
        return _as_it_is(prepared.engine)
    checkpoint, engine_plan = prepared.checkpoint, prepared.engine_plan
    assert engine_plan is not None
    if prepared.elsewhere is not None:
        return prepared.elsewhere.open(checkpoint, engine_plan, say, cancelled)
    return serve(checkpoint, engine_plan, settings, say, cancelled, prepared.limits)


@asynccontextmanager
async def serve(
    checkpoint: Checkpoint,
    engine_plan: EnginePlan,
    settings: Settings,
    say: Callable[[str], None],
    cancelled: threading.Event,
    limits: Limits,
) -> AsyncIterator[RunningEngine]:
    """Our engine in a folder of this run alone. Where it fails, the log stays there."""
    assert checkpoint.path is not None
    run = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    work, served = _engine_work(settings, run), serving_folder(settings, run)
    try:
        launch = Launch(
            plan=engine_plan,
            folder=prepare_serving_folder(checkpoint.path, served),
            served_name=checkpoint.model,
            python=settings.engine_python,
            inherited=dict(settings.child_environment),
            work=work,
            home=settings.data_dir / "engines" / "home",
            on_progress=say,
            cancelled=cancelled.is_set,
            limits=limits,
        )
        where = placed_engine(launch, settings.ray_address) if settings.ray_address else local_engine(launch)
        async with where as engine:
            rented = replace(engine.facts, machine=settings.machine, dollars_per_hour=settings.dollars_per_hour)
            yield replace(engine, facts=rented)
    except BaseException:
        shutil.rmtree(served, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)


@asynccontextmanager
async def _as_it_is(engine: RunningEngine) -> AsyncIterator[RunningEngine]:
    yield engine


async def _endpoint_prompt_facts(endpoint: Endpoint, samples: Sequence[Sample]) -> PromptFacts:
    rendered = await prompt_text(endpoint, samples[0].prompt)
    return PromptFacts(opens_thought=rendered is not None and template.opens_thought(rendered))


def known_commit(revision: str | None) -> str | None:
    """A revision that names weights exactly; None for a branch or a tag."""
    return revision if revision and COMMIT.fullmatch(revision) else None


async def watch(cancelled: threading.Event, cancel: asyncio.Event) -> None:
    """Set `cancel` when `cancelled` is: the same word, from a thread to an event loop."""
    while not cancelled.is_set():
        await asyncio.sleep(CANCEL_POLL_S)
    cancel.set()


class _News:
    """What people see. Until the first answer, that is the last line of what is being prepared."""

    def __init__(self, benchmarks: Sequence[str], on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._progress: Mapping[str, Progress] = {name: Progress(phase="waiting") for name in benchmarks}
        self._message = ""

    def say(self, message: str) -> None:
        """Something is being prepared. From any thread."""
        self._message = message
        self.show(self._progress)

    def show(self, progress: Mapping[str, Progress]) -> None:
        """The newest counts."""
        self._progress = progress
        if all(state.phase == "waiting" for state in progress.values()):
            progress = {name: replace(state, message=self._message) for name, state in progress.items()}
        self._on_progress(progress)
