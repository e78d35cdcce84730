"""The run loop: ask for what is missing, grade as answers arrive, measure what is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from evaluator.client import Answered, StreamState, StreamSummary, stream
from evaluator.engine import RunningEngine
from evaluator.errors import Cancelled, JournalBusy
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.journal_parts import Parts, fetch_parts, keep_sending, send_all
from evaluator.lengths import expected_tokens
from evaluator.order import LengthOrder
from evaluator.prepare import Evaluation
from evaluator.retry import RetryPolicy
from evaluator.track import Track
from evaluator.types import Completion, Measurement, Progress, Request, StreamRecord

PROGRESS_EVERY_S = 1.0
CLAIM_POLL_S = 1.0

OpenEngine = Callable[[], AbstractAsyncContextManager[RunningEngine]]
OnProgress = Callable[[Mapping[str, Progress]], None]
Priors = Mapping[str, Mapping[str, float]]
"""Mean tokens of earlier models' answers, by benchmark name and problem id."""


async def evaluate(
    evaluations: Sequence[Evaluation],
    *,
    open_engine: OpenEngine,
    journal: Journal,
    grader: GraderPool,
    on_progress: OnProgress,
    cancel: asyncio.Event,
    concurrency: int | None = None,
    policy: RetryPolicy | None = None,
    priors: Priors | None = None,
    parts: Parts | None = None,
    retry: str | None = None,
    patient: bool = False,
) -> list[Measurement]:
    """Measure one checkpoint on every benchmark it asks for.

    All benchmarks share one queue. What the journal already holds is never asked again; where it holds everything, the
    engine is not even started. `concurrency` is requests in flight; None lets the servers' metrics decide. `priors`
    tell which answers will be long. `parts` is where answers are shared with other machines: what lies there is taken
    over, and what is answered here is sent there now and then (never of a private benchmark). `retry` names the
    occasion on which a person said that what was refused may be asked again; each occasion counts once. `patient`
    waits for another run of the same plan instead of raising JournalBusy.

    Raises:
        IncompleteMeasurement: an attempt was refused or could not be graded, so there is no score.
        EngineFailed, EngineRefused, Cancelled: the run stopped; what was answered stays in the journal.
    """
    with ExitStack() as claims:
        tracks = [Track(evaluation, journal, grader) for evaluation in evaluations]
        for track in tracks:
            await _claim(claims, journal, track.key, patient=patient, cancel=cancel)
            if parts is not None and not track.evaluation.bench.private:
                await fetch_parts(journal, parts, track.key)
            if retry is not None:
                journal.forget_refusals(track.key, because=retry)
            track.resume()
        asking = _Asking(
            open_engine=open_engine,
            concurrency=concurrency,
            policy=policy or RetryPolicy(),
            order=_order(tracks, priors or {}),
            cancel=cancel,
        )
        background = [_report(tracks, on_progress), *(track.grading.run() for track in tracks)]
        async with _shared(tracks, journal, parts) as sending:
            await _while([*background, sending], _carry_out(tracks, asking))
        return [await asyncio.to_thread(track.measurement) for track in tracks]


@asynccontextmanager
async def _shared(
    tracks: Sequence[Track], journal: Journal, parts: Parts | None
) -> AsyncIterator[Coroutine[None, None, None]]:
    """What sends parts while the block runs. Where it ends early, everything that was answered is sent."""
    keys = [track.key for track in tracks if not track.evaluation.bench.private]
    if parts is None:
        yield _nothing()
        return
    try:
        yield keep_sending(journal, parts, keys)
    except BaseException:
        await send_all(journal, parts, keys)
        raise


async def _nothing() -> None:
    await asyncio.Event().wait()


async def _while(background: Sequence[Coroutine[None, None, None]], main: Coroutine[None, None, None]) -> None:
    """Run `main` to its end while the others run; whatever any of them raises ends all."""
    body = asyncio.create_task(main)
    beside = [asyncio.create_task(each) for each in background]
    try:
        done, _ = await asyncio.wait([body, *beside], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (body, *beside):
            task.cancel()
        await asyncio.gather(body, *beside, return_exceptions=True)


async def _claim(claims: ExitStack, journal: Journal, key: str, *, patient: bool, cancel: asyncio.Event) -> None:
    """Be the one run of this plan. A worker that was taken over from may still hold on for a while."""
    while True:
        try:
            claims.enter_context(journal.claim(key))
        except JournalBusy:
            if cancel.is_set():
                raise Cancelled("cancelled while another run of the same plan was still going") from None
            if not patient:
                raise
            await asyncio.sleep(CLAIM_POLL_S)
        else:
            return


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asking:
    """How missing answers are asked for."""

    open_engine: OpenEngine
    concurrency: int | None
    policy: RetryPolicy
    order: LengthOrder
    cancel: asyncio.Event


async def _carry_out(tracks: Sequence[Track], asking: _Asking) -> None:
    missing = [request for track in tracks for request in track.missing()]
    if missing:
        await _ask(tracks, missing, asking)
    for track in tracks:
        await track.all_graded()


async def _ask(tracks: Sequence[Track], missing: Sequence[Request], asking: _Asking) -> None:
    by_key = {track.key: track for track in tracks}
    asked = [by_key[key] for key in dict.fromkeys(request.generation_key for request in missing)]
    for track in asked:
        track.asking = True
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")

    def keep(summary: StreamSummary) -> None:
        record = StreamRecord(started_at=started_at, wall_s=summary.wall_s, replicas=summary.replicas)
        for track in asked:
            track.journal.note_stream(track.key, record)

    async with asking.open_engine() as engine:
        for track in tracks:
            track.served_by(engine.facts)
        with engine.explained():
            await stream(
                missing,
                engine.servers(),
                concurrency=asking.concurrency,
                policy=asking.policy,
                order=asking.order,
                keep=lambda answers: _keep(by_key, answers),
                on_answer=lambda request, answer: by_key[request.generation_key].take(answer),
                on_state=lambda state: _tell(asked, state),
                on_summary=keep,
                cancel=asking.cancel,
            )


def _keep(by_key: Mapping[str, Track], answers: Sequence[Answered]) -> None:
    """Make answers durable in one commit, whichever of the plans they belong to."""
    for request, answer in answers:
        if isinstance(answer, Completion):
            by_key[request.generation_key].note_engine()
    journal = next(iter(by_key.values())).journal
    journal.add_many((request.generation_key, answer) for request, answer in answers)


def _order(tracks: Sequence[Track], priors: Priors) -> LengthOrder:
    """Longest first, by what earlier models needed for the same problems, and else for such benchmarks."""
    known = {
        (track.key, problem_id): tokens
        for track in tracks
        for problem_id, tokens in priors.get(track.evaluation.bench.name, {}).items()
    }
    means = {track.key: expected_tokens(track.evaluation.plan).mean for track in tracks}
    return LengthOrder(clock=monotonic, priors=known, means=means)


def _tell(asked: Sequence[Track], state: StreamState) -> None:
    for track in asked:
        track.follow(state)


async def _report(tracks: Sequence[Track], on_progress: OnProgress) -> None:
    """Report once a second, and once more when it is cancelled."""
    try:
        while True:
            _show(tracks, on_progress)
            await asyncio.sleep(PROGRESS_EVERY_S)
    finally:
        _show(tracks, on_progress)


def _show(tracks: Sequence[Track], on_progress: OnProgress) -> None:
    for track in tracks:
        track.count_time()
    on_progress({track.evaluation.bench.name: track.progress() for track in tracks})
