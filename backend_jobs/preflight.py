"""Looks at a submission while it is typed: does it exist, can it be served, was it measured, what will it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from backend_jobs.machine_choice import PROMPT_ALLOWANCE, work_for
from evaluator import template
from evaluator.benchmarks import BENCHMARKS, MATH_500
from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices, find_devices
from evaluator.engine_plan import plan_engine
from evaluator.errors import CheckpointRejected, OpenR1Error, PlanRejected
from evaluator.forecast import Work, forecast
from evaluator.hardware import named_devices
from evaluator.samples import load_samples
from evaluator.types import Benchmark
from leaderboard import hub
from leaderboard.board import Board
from leaderboard.contracts import JobQueue, LiveBoard
from leaderboard.inspection import Inspection, inspect_folder, inspect_revision
from leaderboard.preflight import Check, Cost, FirstPrompt, Fit, Mark, Preflight, cost_of, waiting
from leaderboard.submissions import SubmissionForm, field_faults, local_folder, resolve_folder
from leaderboard.types import ResultRow, Status
from settings import Settings

HASHED_AT_ONCE_BYTES = 2 * GIB
"""Local weights up to this size are hashed while somebody types; larger ones when they submit."""
USUAL_HARDWARE = ("rtx4090", "l40s", "h100", "h100x8", "h200x8")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """The weights behind a name as far as they were looked at. `commit` is None where hashing waits until later."""

    model: str
    commit: str | None
    licence: str | None
    inspection: Inspection


class Preflighter:
    """Checks forms for the page. Reads small files of a checkpoint, never its weights; keeps what it has read."""

    def __init__(self, settings: Settings, *, board: Board, queue: JobQueue, live: LiveBoard) -> None:
        self._settings, self._board, self._queue, self._live = settings, board, queue, live
        self._inspected = lru_cache(maxsize=64)(self._inspect_commit)

    def check(self, form: Mapping[str, Any]) -> Preflight:
        """What can be said of a form as it stands; an unfinished one is no error. Never raises for its content."""
        model = str(form.get("model") or "").strip()
        if not model:
            return Preflight(checks=())
        faults = field_faults(form, local_mode=self._local)
        if faults:
            return Preflight(checks=tuple(Check(name="form", mark=Mark.BAD, says=fault) for fault in faults))
        fields = SubmissionForm.model_validate({"benchmarks": [MATH_500.name], **form})
        chosen = [BENCHMARKS[name] for name in fields.benchmarks] if form.get("benchmarks") else []
        try:
            found = self._find(model, fields.revision)
        except OpenR1Error as refusal:
            return Preflight(checks=(Check(name="exists", mark=Mark.BAD, says=str(refusal)),))
        ahead, wait_s = self._waiting()
        costs = tuple(self._costs(fields, chosen))
        context = _context(found.inspection.shape, fields, chosen)
        fits = () if context.mark is Mark.BAD else tuple(self._fits(found.inspection.shape, fields, costs))
        return Preflight(
            checks=(*self._checks(found, fields, chosen), context), fits=fits, costs=costs, ahead=ahead, wait_s=wait_s
        )

    def first_prompt(self, form: Mapping[str, Any]) -> FirstPrompt | None:
        """The first problem of the first benchmark as this model would be asked it; None where nothing is chosen."""
        names = [name for name in form.get("benchmarks") or () if name in BENCHMARKS]
        model = str(form.get("model") or "").strip()
        if not model or not names or field_faults(form, local_mode=self._local):
            return None
        bench = BENCHMARKS[names[0]]
        try:
            found = self._find(model, str(form.get("revision") or "").strip() or None)
        except OpenR1Error:
            return None  # the checks say why
        try:
            prompt = _first_problem(bench.name, self._settings.benchmark_mirror)
            rendered = found.inspection.template.render([prompt])
            template.check_frame(rendered, [prompt])
        except OpenR1Error as refusal:
            return FirstPrompt(benchmark=bench.name, text=None, says=str(refusal))
        shown = rendered[0].replace(prompt, "‹the question, which is not published›") if bench.private else rendered[0]
        opens = template.opens_thought(rendered[0])
        return FirstPrompt(benchmark=bench.name, text=shown, says="", opens_thought=opens)

    @property
    def _local(self) -> bool:
        return self._settings.space is None

    def _find(self, model: str, revision: str | None) -> _Found:
        folder = local_folder(model) if self._local else None
        if folder is not None:
            inspection = inspect_folder(folder)
            small = inspection.shape.weight_bytes <= HASHED_AT_ONCE_BYTES
            weights = resolve_folder(folder) if small else None
            name = weights.model if weights else f"local/{folder.name}"
            return _Found(model=name, commit=weights.commit if weights else None, licence=None, inspection=inspection)
        found = hub.resolve_commit(model, revision, token=self._settings.hub_token)
        return _Found(model=model, commit=found.commit, licence=found.licence, inspection=self._inspected(found))

    def _inspect_commit(self, found: hub.HubRevision) -> Inspection:
        into = self._settings.data_dir / "hub" / found.model.replace("/", "--") / found.commit
        return inspect_revision(found, into, token=self._settings.hub_token)

    def _checks(self, found: _Found, fields: SubmissionForm, chosen: list[Benchmark]) -> Iterator[Check]:
        inspection, shape = found.inspection, found.inspection.shape
        known = found.commit[:19] if found.commit else "hashed when it is submitted"
        yield Check(name="exists", mark=Mark.GOOD, says=f"{found.model}, {known}")
        size = f"{_large(inspection.parameters)} numbers, {_large(shape.weight_bytes)}B"
        yield Check(name="weights", mark=Mark.GOOD, says=f"safetensors, {size}")
        heads = f"{shape.layers} layers, {shape.heads} heads"
        yield Check(name="architecture", mark=Mark.GOOD, says=f"{shape.architecture}, {heads}")
        yield _precision(inspection)
        yield Check(name="chat template", mark=Mark.GOOD, says=f"there, SHA-256 {inspection.template.hash[:12]}")
        yield _licence(found)
        if inspection.ignored or inspection.auto_map:
            yield _ignored(inspection)
        yield self._duplicate(found, fields, chosen)

    def _duplicate(self, found: _Found, fields: SubmissionForm, chosen: list[Benchmark]) -> Check:
        name = "measured before"
        if found.commit is None:
            return Check(name=name, mark=Mark.OPEN, says="known when its files are hashed, at submission")
        for job in self._queue.jobs():
            asked = job.submission
            same = (asked.commit, asked.trial, set(asked.benchmarks)) == (
                found.commit,
                fields.trial,
                {bench.name for bench in chosen},
            )
            if same and job.status in (Status.PENDING, Status.RUNNING):
                says = f"the same work is {job.status.lower()}"
                return Check(name=name, mark=Mark.BAD, says=says, link=f"queue?job={asked.id}")
        measured = [row for row in self._board.rows() if _same(row, found, fields, chosen)]
        if not measured:
            return Check(name=name, mark=Mark.GOOD, says="not yet under this protocol")
        names = ", ".join(dict.fromkeys(BENCHMARKS[row.benchmark].title for row in measured))
        says = f"{names}, under this protocol: the same answers are not asked for again"
        return Check(name=name, mark=Mark.CAREFUL, says=says, link=f"result?plan={measured[0].plan_key}")

    def _fits(self, shape: ModelShape, fields: SubmissionForm, costs: Sequence[Cost]) -> Iterator[Fit]:
        work = work_for(costs, _budget(fields, [BENCHMARKS[cost.benchmark] for cost in costs]))
        visible = dict(self._settings.child_environment).get("CUDA_VISIBLE_DEVICES")
        yield _fit(shape, find_devices(visible), work, fields.tensor_parallel_size, here=True)
        for name in USUAL_HARDWARE:
            yield _fit(shape, named_devices(name), work, fields.tensor_parallel_size)

    def _costs(self, fields: SubmissionForm, chosen: list[Benchmark]) -> Iterator[Cost]:
        rows = self._board.rows()
        for bench in chosen:
            yield cost_of(
                bench.name,
                problems=bench.problems,
                attempts=fields.attempts or bench.attempts,
                max_tokens=fields.max_tokens or bench.max_tokens,
                rows=rows,
                trial=fields.trial,
            )

    def _waiting(self) -> tuple[int, float | None]:
        jobs = self._queue.jobs()
        running = (job.submission.id for job in jobs if job.status is Status.RUNNING)
        return waiting(jobs, [state for job_id in running if (state := self._live.read(job_id)) is not None])


@lru_cache(maxsize=16)
def _first_problem(name: str, mirror: Path | None) -> str:
    return load_samples(BENCHMARKS[name], attempts=1, mirror=mirror)[0].prompt


def _same(row: ResultRow, found: _Found, fields: SubmissionForm, chosen: list[Benchmark]) -> bool:
    bench = next((bench for bench in chosen if bench.name == row.benchmark), None)
    if bench is None or row.commit != found.commit:
        return False
    asked = fields.attempts or bench.attempts, fields.max_tokens or bench.max_tokens, bench.version
    return (row.plan.attempts, row.plan.max_tokens, row.plan.benchmark_version) == asked


def _precision(inspection: Inspection) -> Check:
    largest = max(inspection.elements, key=lambda dtype: inspection.elements[dtype], default="unknown")
    if inspection.quantization:
        says = f"{inspection.quantization}: such a row is shown, not ranked, as the protocol serves bfloat16"
        return Check(name="number format", mark=Mark.CAREFUL, says=says)
    return Check(name="number format", mark=Mark.GOOD, says=f"{largest}, served as bfloat16")


def _licence(found: _Found) -> Check:
    if found.licence:
        return Check(name="licence", mark=Mark.GOOD, says=found.licence)
    return Check(name="licence", mark=Mark.OPEN, says="none is stated; the board measures it all the same")


def _ignored(inspection: Inspection) -> Check:
    names = ", ".join(inspection.ignored[:5]) + (" and more" if len(inspection.ignored) > 5 else "")
    code = "; its config asks for code of its own, which is removed" if inspection.auto_map else ""
    return Check(name="left aside", mark=Mark.OPEN, says=f"never downloaded or run: {names or 'nothing'}{code}")


def _context(shape: ModelShape, fields: SubmissionForm, chosen: Sequence[Benchmark]) -> Check:
    budget, most = _budget(fields, chosen), shape.context - PROMPT_ALLOWANCE
    if budget <= most:
        return Check(name="context", mark=Mark.GOOD, says=f"{shape.context:,} tokens")
    says = f"{shape.context:,} tokens, too few for a prompt and an answer of {budget:,}; "
    advice = f"set the answer budget to {most:,} or fewer (then shown, not ranked)" if most > 0 else "too few to ask"
    return Check(name="context", mark=Mark.BAD, says=says + advice)


def _budget(fields: SubmissionForm, chosen: Sequence[Benchmark]) -> int:
    return fields.max_tokens or max((bench.max_tokens for bench in chosen), default=MATH_500.max_tokens)


def _large(number: float) -> str:
    """A large number in three digits or so: `7.62 G`, `640`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.0f} "


def _fit(shape: ModelShape, devices: Devices, work: Work, size: int | None, *, here: bool = False) -> Fit:
    hardware = f"{devices.count} × {devices.name}"
    try:
        plan = plan_engine(
            shape,
            devices=devices,
            prompt_tokens=work.prompt_tokens,
            max_tokens=work.max_tokens,
            tensor_parallel_size=size,
            mean_tokens=work.each.mean or None,
        )
    except (PlanRejected, CheckpointRejected) as refusal:
        return Fit(hardware=hardware, tensor_parallel_size=None, answers=None, says=str(refusal), here=here)
    expected = forecast(work, plan, shape, devices) if work.attempts else None
    return Fit(
        hardware=hardware,
        tensor_parallel_size=plan.tensor_parallel_size,
        answers=plan.replicas * plan.kv_cache_tokens // plan.max_model_len,
        says="",
        here=here,
        hours=expected.hours if expected else None,
        dollars=expected.dollars if expected else None,
    )
