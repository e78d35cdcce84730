"""An engine that is rented for one job: Inference Endpoints behind the job's queue, deleted in the end, always.

Each Endpoint is named after the board, the job and the job's attempt, and stands in the ledger before it is asked for.
So whoever finds one later can tell whose it is and whether that job still runs: `sweep` deletes what nobody needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from backend_jobs.launchers.endpoints import EndpointsApi, Instance, Rented, Wanted
from backend_jobs.launchers.types import LauncherUnreachable, LaunchNotFound, LaunchRefused
from backend_jobs.ledger import Ledger, budget_of
from backend_jobs.machine_choice import Choice, choose, need_of
from backend_jobs.queue import StoreQueue
from backend_jobs.types import JobNotFound
from evaluator.client import Endpoint, EngineUnreachable, fetch
from evaluator.devices import Devices
from evaluator.engine import RunningEngine, given_engine
from evaluator.engine_plan import EnginePlan
from evaluator.errors import Cancelled, EngineFailed, PlanRejected
from evaluator.server_line import server_command
from evaluator.types import Checkpoint, EngineFacts
from leaderboard.board import Board
from leaderboard.spending import Spent
from leaderboard.store import Store, StoreUnusable
from leaderboard.types import JobRecord, Status
from settings import Settings

LOG = logging.getLogger(__name__)
PLACE = "endpoint"
IDLE_MINUTES = 15
START_LIMIT_S = 3600.0
LOOK_EVERY_S = 5.0
DELETE_TRIES = 5
REPOSITORY = Path("/repository")  # where an Endpoint keeps the model, which its image knows
NAME = re.compile(r"or1-(?P<board>[0-9a-f]{6})-(?P<job>[0-9a-f]{8})-(?P<attempt>\d+)-\d+")
TROUBLE = (LauncherUnreachable, LaunchRefused, StoreUnusable)
BROKEN = frozenset({"failed", "updateFailed", "paused"})


def name_of(board: str, job_id: str, attempt: int, number: int) -> str:
    """The name of a job's Endpoint: at most 32 characters, unlike that of any other job or attempt."""
    return f"{prefix_of(board)}{_digest(job_id, 8)}-{attempt}-{number}"


def prefix_of(board: str) -> str:
    """What the names of all Endpoints of a board begin with."""
    return f"or1-{_digest(board, 6)}-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rent:
    """What is rented for one attempt at a job: `count` Endpoints on `instance`, planned as `choice` says."""

    board: str
    job: JobRecord
    instance: Instance
    choice: Choice
    image: str
    count: int = 1

    @property
    def names(self) -> list[str]:
        """The Endpoints' names."""
        return [name_of(self.board, self.job.submission.id, self.job.attempt, number) for number in range(self.count)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Landlord:
    """Where Endpoints are rented, and who keeps count. `token` opens those that run."""

    api: EndpointsApi
    ledger: Ledger
    token: str | None
    look_every_s: float = LOOK_EVERY_S
    start_limit_s: float = START_LIMIT_S

    @asynccontextmanager
    async def engine(
        self,
        rent: Rent,
        checkpoint: Checkpoint,
        plan: EnginePlan,
        say: Callable[[str], None],
        cancelled: threading.Event,
    ) -> AsyncIterator[RunningEngine]:
        """The Endpoints, waited for, as one engine; deleted however the block is left.

        Raises:
            BudgetReached: another machine would be more than the month's budget.
            LaunchRefused: Inference Endpoints do not take the order.
            EngineFailed: one did not come up within its limit; Cancelled: somebody said so meanwhile.
        """
        await asyncio.to_thread(self._delete_earlier, rent)
        records: list[Spent] = []
        try:
            for name in rent.names:
                # Noted before it is asked for: whatever happens to us then, the sweep knows whose it is.
                records.append(await asyncio.to_thread(self.ledger.open, _record(rent, name), alone=False))
                await asyncio.to_thread(self.api.create, _wanted(rent, name, checkpoint, plan))
            waiting = [self._running(name, checkpoint.model, say, cancelled) for name in rent.names]
            first, *others = await asyncio.gather(*waiting)
            engine = await given_engine(first, *others)
            yield replace(engine, facts=_facts(engine.facts, rent, plan), alive=_until(rent.choice.timeout_s))
        finally:
            await asyncio.shield(asyncio.to_thread(self._delete, records))

    async def _running(self, name: str, model: str, say: Callable[[str], None], cancelled: threading.Event) -> Endpoint:
        """Wait until an Endpoint answers. Raises EngineFailed, Cancelled."""
        clock = asyncio.get_running_loop().time
        began, state = clock(), "asked for"
        while clock() - began < self.start_limit_s:
            if cancelled.is_set():
                raise Cancelled("the run was cancelled while its Endpoint started; run it again to continue")
            try:
                rented = await asyncio.to_thread(self.api.look, name)
            except LauncherUnreachable as silent:
                LOG.warning("%s", silent)
            except LaunchNotFound as gone:
                raise EngineFailed(f"the Endpoint {name} was deleted while it started; retry the job") from gone
            else:
                state = rented.state
                if state in BROKEN:
                    raise EngineFailed(f"the Endpoint {name} is {state}: {rented.message or 'no reason is given'}")
                endpoint = Endpoint(base_url=f"{(rented.url or '').rstrip('/')}/v1", model=model, api_key=self.token)
                if rented.url and await _answers(endpoint):
                    return endpoint
                say(f"the Endpoint {name} is {state}, {clock() - began:.0f} s: {rented.message}"[:200])
            await asyncio.sleep(self.look_every_s)
        raise EngineFailed(
            f"the Endpoint {name} did not answer within {self.start_limit_s:.0f} s (it is {state}); retry the job, or "
            "run it where the hardware is free"
        )

    def _delete_earlier(self, rent: Rent) -> None:
        """End what an earlier attempt at this job left behind."""
        theirs = f"{prefix_of(rent.board)}{_digest(rent.job.submission.id, 8)}-"
        try:
            left = [
                each.name for each in self.api.all() if each.name.startswith(theirs) and each.name not in rent.names
            ]
        except LauncherUnreachable as silent:
            LOG.warning("whether an earlier attempt left an Endpoint is not known, the sweep will see: %s", silent)
            return
        self._delete([record for record in self.ledger.running(PLACE) if record.key in left])

    def _delete(self, records: Sequence[Spent]) -> None:
        """End Endpoints and note what they took. One that cannot be deleted now stays noted: the sweep comes back."""
        for record in records:
            for turn in range(DELETE_TRIES):
                if turn:
                    sleep(self.look_every_s)
                try:
                    end(self.api, self.ledger, record, state="deleted")
                    break
                except TROUBLE as trouble:
                    LOG.error("the Endpoint %s could not be deleted, the sweep will: %s", record.key, trouble)


@dataclass(frozen=True, kw_only=True, slots=True)
class RentedEngine:
    """What an evaluation asks for its engine: see `EngineElsewhere`."""

    landlord: Landlord
    rent: Rent

    @property
    def devices(self) -> Devices:
        """The hardware of one Endpoint."""
        return self.rent.instance.machine.devices

    def open(
        self, checkpoint: Checkpoint, plan: EnginePlan, say: Callable[[str], None], cancelled: threading.Event
    ) -> AbstractAsyncContextManager[RunningEngine]:
        """The Endpoints, for as long as the block lasts."""
        return self.landlord.engine(self.rent, checkpoint, plan, say, cancelled)


def rented_engine(settings: Settings, store: Store, job: JobRecord) -> RentedEngine | None:
    """The Endpoints of an evaluation, on the instance that its plan fits and that costs least; None where it is served
    here.

    Raises:
        LaunchRefused: a setting is missing.
        PlanRejected: no instance holds the model, or the weights are a folder of this machine.
    """
    if settings.engine != PLACE:
        return None
    submission = job.submission
    if submission.source and submission.source != submission.model:
        raise PlanRejected(
            f"{submission.source} is a folder of this machine, which an Endpoint cannot read: push it to the Hub and "
            "submit it under its name there"
        )
    api = endpoints_api(settings)
    instances = {instance.machine.name: instance for instance in api.instances()}
    need = need_of(submission, settings, Board(store))
    choice = choose([instance.machine for instance in instances.values()], need, longest_h=settings.machine_hours)
    count = settings.endpoint_count
    return RentedEngine(
        landlord=Landlord(api=api, ledger=Ledger(store, budget_of(settings)), token=settings.hub_token),
        rent=Rent(
            board=settings.store,
            job=job,
            instance=instances[choice.machine.name],
            choice=choice,
            image=settings.endpoint_image,
            count=count,
        ),
    )


def endpoints_api(settings: Settings) -> EndpointsApi:
    """Inference Endpoints of the account that pays. Raises LaunchRefused where a setting is missing."""
    wanted = {"HF_TOKEN": settings.hub_token, "OPEN_R1_RENT_NAMESPACE": settings.rent_namespace}
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise LaunchRefused(f"Inference Endpoints need {', '.join(missing)}; docs/machines.md says what each is")
    return EndpointsApi(
        token=settings.hub_token, namespace=settings.rent_namespace or "", address=settings.endpoints_api
    )


def sweep_here(settings: Settings, store: Store) -> list[str]:
    """Delete the Endpoints of this board that no running job needs; returns their names."""
    return sweep(endpoints_api(settings), Ledger(store, budget_of(settings)), store, StoreQueue(store))


def sweep_quietly(settings: Settings, store: Store) -> None:
    """As `sweep_here`, for the clock: what does not work now is tried again at the next turn.

    Nothing is asked where this board never rented an Endpoint, or noted the end of each.
    """
    try:
        if settings.engine == PLACE or Ledger(store, budget_of(settings)).running(PLACE):
            sweep_here(settings, store)
    except TROUBLE as trouble:
        LOG.warning("orphaned Endpoints are looked for again later: %s", trouble)


def end(api: EndpointsApi, ledger: Ledger, record: Spent, *, state: str) -> None:
    """Delete one Endpoint and close its record. It is paid for from the order on, as the Endpoint's start is."""
    api.delete(record.key)
    ledger.close(record, running_s=_since(record.started_at), state=state)


def sweep(api: EndpointsApi, ledger: Ledger, store: Store, queue: StoreQueue) -> list[str]:
    """Delete every Endpoint of this board that no running job needs; returns their names.

    Those of this board are in its ledger, which had them before they were made: others in the account are left alone.
    An Endpoint is listed before its job is looked at, and its job was running before it was made: one of a job that
    runs, in the attempt that it was made for, is never taken for an orphan.

    Raises:
        LauncherUnreachable, LaunchRefused, StoreUnusable: of one that could not be deleted, after all were tried.
    """
    listed = api.all()
    store.refresh()
    records = {record.key: record for record in ledger.records() if record.place == PLACE}
    deleted, troubles = [], []
    for rented in listed:
        record = records.get(rented.name)
        if record is None or _is_live(rented.name, record, queue):
            continue
        LOG.warning("the Endpoint %s belongs to no running job: deleted", rented.name)
        try:
            api.delete(rented.name)
            deleted.append(rented.name)
            if not record.ended_at:
                ledger.close(record, running_s=_lived(rented), state="swept")
        except TROUBLE as trouble:
            troubles.append(trouble)
    if troubles:
        raise troubles[0]
    there = {each.name for each in listed}
    for record in ledger.running(PLACE):
        if record.key not in there and not _is_live(record.key, record, queue):
            ledger.close(record, running_s=min(_since(record.started_at), record.timeout_s), state="gone")
    return deleted


def _is_live(name: str, record: Spent, queue: StoreQueue) -> bool:
    try:
        job = queue.find(record.job_id)
    except JobNotFound:
        return False
    told = NAME.fullmatch(name)
    return job.status is Status.RUNNING and told is not None and int(told["attempt"]) == job.attempt


def _record(rent: Rent, name: str) -> Spent:
    choice, submission = rent.choice, rent.job.submission
    return Spent(
        key=name,
        job_id=submission.id,
        submitted_by=submission.submitted_by,
        place=PLACE,
        machine=rent.instance.machine.name,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        timeout_s=choice.timeout_s,
        dollars_per_hour=choice.machine.dollars_per_hour,
        expected_dollars=None if choice.dollars is None else choice.dollars / rent.count,
        retried=rent.job.retried,
        gpus=choice.gpus,
    )


def _wanted(rent: Rent, name: str, checkpoint: Checkpoint, plan: EnginePlan) -> Wanted:
    assert checkpoint.commit is not None
    return Wanted(
        name=name,
        instance=rent.instance,
        model=checkpoint.model,
        commit=checkpoint.commit,
        image=rent.image,
        arguments=arguments(plan, checkpoint.model),
        tensor_parallel_size=plan.tensor_parallel_size,
        idle_minutes=IDLE_MINUTES,
        tags=("open-r1", prefix_of(rent.board).rstrip("-"), rent.job.submission.id),
    )


def arguments(plan: EnginePlan, served_name: str) -> list[str]:
    """The server line of a local engine from its sizes on: the image brings the model's folder, address and port."""
    line = server_command(plan, python="", folder=REPOSITORY, served_name=served_name, port=0)
    several = ["--data-parallel-size", str(plan.replicas)] if plan.replicas > 1 else []
    return ["--served-model-name", served_name, *line[line.index("--max-model-len") :], *several]


def _facts(told: EngineFacts, rent: Rent, plan: EnginePlan) -> EngineFacts:
    """What the servers tell, and what was ordered for them."""
    price = rent.instance.machine.dollars_per_hour
    return replace(
        told,
        machine=f"{PLACE} {rent.instance.machine.name}",
        image=rent.image,
        tensor_parallel_size=plan.tensor_parallel_size,
        device=plan.device,
        dtype="bfloat16",
        replicas=rent.count * plan.replicas,
        dollars_per_hour=None if price is None else rent.count * price,
    )


def _until(limit_s: float) -> Callable[[], None]:
    """What ends the run once the Endpoints have had their time: a budget must know what is the most they take."""
    until = monotonic() + limit_s

    def check() -> None:
        if monotonic() > until:
            raise EngineFailed(
                f"its Endpoints had their {limit_s / 3600:.1f} hours, twice what was forecast; retry the job: it "
                "continues from the journal"
            )

    return check


async def _answers(endpoint: Endpoint) -> bool:
    try:
        status, _ = await fetch(f"{endpoint.root}/health", api_key=endpoint.api_key)
    except EngineUnreachable:
        return False
    return status == 200


def _since(moment: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())


def _lived(rented: Rented) -> float:
    return max(0.0, (datetime.now(UTC) - rented.created_at).total_seconds())


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
