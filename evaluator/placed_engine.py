"""Engines on the nodes of a Ray cluster, behind the same queue as those of this machine.

Each replica is an actor that Ray puts wherever there is room. The run begins with the first one that answers; the
others join when they can. A lost node takes its actor and its engine with it: the queue gives what was unfinished there
to the others, and a new actor is asked for, which joins when it has found a place.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from evaluator.client import Endpoint, Served, fetch
from evaluator.connection import EngineUnreachable
from evaluator.engine import Launch, RunningEngine
from evaluator.engine_host import HostOrder, Started
from evaluator.engine_plan import EnginePlan
from evaluator.errors import Cancelled, EngineFailed
from evaluator.ray_cluster import Cluster, Host, Node, Share, joined
from evaluator.types import EngineFacts

LOOK_EVERY_S = 0.5
ASK_CLUSTER_EVERY_S = 10.0
NO_ROOM_EVER_S = 600.0
"""So long no node may be there that could hold an engine: a cluster that grows by itself needs minutes for one."""
STOP_S, STOP_UNPLACED_S = 60.0, 2.0
NOWHERE = "http://not-placed-yet.invalid/v1"


class PlacedServer:
    """One engine in the cluster: placed, watched, placed again, ended."""

    def __init__(self, cluster: Cluster, order: HostOrder, share: Share, launch: Launch, number: int) -> None:
        self._cluster, self._share, self._launch, self._number = cluster, share, launch, number
        self._order = order
        self._host: Host | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._failure: EngineFailed | None = None
        self._first: asyncio.Task[Endpoint] | None = None
        self._turn = 0
        self.endpoint = Endpoint(base_url=NOWHERE, model=launch.served_name, api_key=order.api_key)
        self.facts = EngineFacts()

    def served(self) -> Served:
        """As a stream asks it; one that is not there yet joins."""
        if self._here():
            self._first = None
        return Served(endpoint=self.endpoint, alive=self.check_alive, restart=self.bring, joins=not self._here())

    def _here(self) -> bool:
        return self.endpoint.base_url != NOWHERE

    def begin(self) -> asyncio.Task[Endpoint]:
        """Ask for it; `bring` waits."""
        self._first = asyncio.create_task(self.place())
        return self._first

    async def bring(self) -> Endpoint:
        """What `begin` asked for, where `served` said that it joins; else have it placed anew. Raises as `place`."""
        first, self._first = self._first, None
        return await (first if first is not None else self.place())

    async def place(self) -> Endpoint:
        """Have it started on a node with room, however long that takes, instead of the one that was before.

        Raises:
            EngineFailed: it did not come up, cannot be reached from here, or no node is left that could hold it.
            Cancelled: somebody said so.
        """
        await self.close()
        self._failure, self._turn = None, self._turn + 1
        self.endpoint = replace(self.endpoint, base_url=NOWHERE)
        which = f"engine-{self._number}-{self._turn}"
        order, name = replace(self._order, work=self._launch.work / which), f"{self._launch.work.name}/{which}"
        host = self._host = self._cluster.place(order, self._share, name=name, number=self._number)
        started = await self._wait(host)
        endpoint = replace(self.endpoint, base_url=started.base_url)
        await _check_reachable(endpoint, started.node)
        self._launch.on_progress(f"an engine answers on {started.node}")
        self.endpoint, self.facts = endpoint, started.facts
        self._watcher = asyncio.create_task(self._watch(host, started.node))
        return endpoint

    async def _wait(self, host: Host) -> Started:
        starting = asyncio.ensure_future(host.start())
        clock = asyncio.get_running_loop().time
        began = possible = asked = clock()
        try:
            while not (await asyncio.wait({starting}, timeout=LOOK_EVERY_S))[0]:
                if self._launch.cancelled():
                    raise Cancelled("the run was cancelled while its engines were placed; run it again to continue")
                if clock() - asked < ASK_CLUSTER_EVERY_S:
                    continue
                asked = clock()
                self._launch.on_progress(f"placing an engine ({self._share}), {asked - began:.0f} s")
                if await asyncio.to_thread(self._cluster.could_hold, self._share):
                    possible = asked
                if asked - possible > NO_ROOM_EVER_S:
                    raise EngineFailed(
                        f"no node of the cluster could hold an engine ({self._share}) for {NO_ROOM_EVER_S:.0f} s: add "
                        "nodes, then run this again; it continues from the journal"
                    )
            return starting.result()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _watch(self, host: Host, node: str) -> None:
        """Note that it ended, for `check_alive`."""
        try:
            await host.watch()
        except EngineFailed as failed:
            failed.args = (f"{node}: {failed}",)
            self._failure = failed

    def check_alive(self) -> None:
        """Raises EngineFailed where it has ended, or its node is lost."""
        if self._failure is not None:
            raise self._failure

    def log_tail(self) -> str:
        """Its last lines, where it could tell them when it ended."""
        return self._failure.log_tail if self._failure is not None else ""

    async def close(self) -> None:
        """End what is left of it."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        host, self._host = self._host, None
        if host is not None:
            await host.stop(STOP_S if self._here() and self._failure is None else STOP_UNPLACED_S)


@asynccontextmanager
async def placed_engine(launch: Launch, address: str) -> AsyncIterator[RunningEngine]:
    """Ask the cluster for all planned engines, begin with the first that answers, and end all however we leave.

    Raises:
        EngineFailed: none came up; carries the last log lines of one.
        Cancelled: `launch.cancelled` said so before one answered.
    """
    with joined(address) as cluster:
        servers = await asyncio.to_thread(_servers, cluster, launch)
        placing = {server.begin(): server for server in servers}
        try:
            first = await _first(placing)
            facts = replace(first.facts, replicas=len(servers))
            yield RunningEngine(endpoint=first.endpoint, facts=facts, local=tuple(servers))
        finally:
            for task in placing:
                task.cancel()
            await asyncio.gather(*placing, return_exceptions=True)
            await asyncio.gather(*(server.close() for server in servers))


async def _first(placing: dict[asyncio.Task[Endpoint], PlacedServer]) -> PlacedServer:
    """The first that answers. Raises what the last one raised where none does."""
    waiting = set(placing)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        well = [task for task in done if task.exception() is None]
        if well:
            return placing[well[0]]
        if not waiting:
            done.pop().result()


def _servers(cluster: Cluster, launch: Launch) -> list[PlacedServer]:
    plan, nodes = launch.plan, cluster.nodes()
    share = share_of(plan, nodes)
    reach = cluster.gcs_address()
    order = HostOrder(
        plan=plan,
        folder=launch.folder,
        served_name=launch.served_name,
        python=launch.python,
        work=launch.work,
        home=launch.home,
        limits=launch.limits,
        reach=reach,
        api_key=secrets.token_urlsafe(24),
        extra={"RAY_ADDRESS": reach} if share.spans > 1 else {},
    )
    return [PlacedServer(cluster, order, share, launch, number) for number in range(plan.replicas)]


def share_of(plan: EnginePlan, nodes: Sequence[Node]) -> Share:
    """What one engine of a plan holds of a node: its GPUs, or on the CPU all cores of the smallest node."""
    if plan.device == "cpu":
        return Share(cpus=min((node.cpus for node in nodes if node.cpus), default=1.0))
    return Share(gpus=plan.tensor_parallel_size, spans=plan.pipeline_parallel_size)


async def _check_reachable(endpoint: Endpoint, node: str) -> None:
    try:
        await fetch(f"{endpoint.root}/health")
    except EngineUnreachable as error:
        raise EngineFailed(
            f"the engine on {node} answers there, but not from here ({error}): open the ports between the nodes"
        ) from error
