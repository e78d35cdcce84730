"""The only door to Ray's cluster: which machines it has, and actors on them that run one engine each.

Whoever uses it runs on a node of the cluster. All nodes have this program and the engine's environment at the same
path, and the folder OPEN_R1_DATA on a file system that they share. Actors are ours as long as we live: they end with
this process, however it ends, and their engines with them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evaluator.devices import GIB, Devices, find_devices
from evaluator.engine_host import EngineHost, HostOrder, Started
from evaluator.errors import EngineFailed, PlanRejected
from settings import ROOT

HEAD_ONLY = "node:__internal_head__"
ACCELERATOR = "accelerator_type:"
A_LITTLE = 0.001
LOOK_TIMEOUT_S = 120.0


class HostLost(EngineFailed):
    """The node of an engine is lost, or the actor that ran it."""

    code = "host_lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of the cluster: what Ray would give out of it, and what is really there."""

    id: str
    address: str
    cpus: float
    gpus: float
    devices: Devices


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one engine asks of a node. `spans` is how many nodes it is dealt out over by vLLM itself."""

    cpus: float = 0.0
    gpus: float = 0.0
    spans: int = 1

    def __str__(self) -> str:
        what = f"{self.gpus:g} GPUs" if self.gpus else f"{self.cpus:g} CPUs"
        return f"{what} on each of {self.spans} nodes" if self.spans > 1 else f"{what} on one node"


class Host:
    """One engine somewhere in the cluster. Every call raises HostLost where its node or its actor is gone."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def start(self) -> Started:
        """Returns when there is room for it and it answers. Raises EngineFailed as the engine does."""
        return Started(**await self._told(self._actor.start.remote()))

    async def watch(self) -> None:
        """Raises EngineFailed when the engine has ended by itself, with its last log lines; returns never."""
        await self._told(self._actor.watch.remote())

    async def stop(self, patience_s: float) -> None:
        """End it and wait so long for its processes to be gone; then give back what it held of its node.

        An actor that has found no room yet does not hear of it, and is taken back.
        """
        try:
            await asyncio.wait_for(self._told(self._actor.stop.remote()), patience_s)
        except (HostLost, TimeoutError):
            pass
        finally:
            _ray().kill(self._actor)

    async def _told(self, reference: Awaitable[Any]) -> Any:
        errors = _ray().exceptions
        try:
            return await reference
        except errors.RayTaskError as failed:
            cause = failed.cause
            if isinstance(cause, EngineFailed):
                raise cause from None
            raise HostLost(f"an engine could not be started by Ray: {cause!r}") from failed
        except errors.RayError as lost:
            raise HostLost(f"an engine's node or its actor is lost: {str(lost).splitlines()[0][:300]}") from lost


class Cluster:
    """The cluster that this process has joined. Blocking calls; may be made from any thread."""

    def __init__(self, address: str) -> None:
        self.address = address

    def nodes(self) -> tuple[Node, ...]:
        """Every machine that is there now, asked what it has."""
        ray = _ray()
        alive = [node for node in ray.nodes() if node["Alive"]]
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        look = ray.remote(find_devices)
        asked = [
            look.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy(node["NodeID"], soft=False)).remote()
            for node in alive
        ]
        found = []
        for node, reference in zip(alive, asked, strict=True):
            try:
                devices = ray.get(reference, timeout=LOOK_TIMEOUT_S)
            except ray.exceptions.RayError:
                continue  # it went away while we looked
            held = node["Resources"]
            cpus, gpus = held.get("CPU", 0.0), held.get("GPU", 0.0)
            address = node["NodeManagerAddress"]
            found.append(Node(id=node["NodeID"], address=address, cpus=cpus, gpus=gpus, devices=devices))
        return tuple(found)

    def could_hold(self, share: Share) -> bool:
        """Whether the nodes that are there now could run such an engine if they were free."""
        held = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
        enough = [each for each in held if each.get("GPU", 0.0) >= share.gpus and each.get("CPU", 0.0) >= share.cpus]
        return len(enough) >= share.spans

    def place(self, order: HostOrder, share: Share, *, name: str, number: int) -> Host:
        """Ask for an actor that runs engine `number` of a run; Ray puts it wherever there is room, now or later.

        An engine that spans nodes holds nothing by its actor, which only starts it on one of those nodes: vLLM makes a
        placement group for its own workers. Raises HostLost where there is no such node.
        """
        ray = _ray()
        actor = ray.remote(EngineHost)
        options: dict[str, Any] = {"name": name, "num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": 0}
        if share.spans > 1:
            strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            options |= {"num_cpus": 0, "num_gpus": 0}
            nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and _gpus(node) >= share.gpus]
            if len(nodes) < share.spans:
                raise HostLost(f"an engine needs {share}, and the cluster has {len(nodes)} such nodes now")
            options["scheduling_strategy"] = strategy(nodes[number * share.spans % len(nodes)], soft=False)
        else:
            options["scheduling_strategy"] = "SPREAD"
        return Host(actor.options(**options).remote(order))

    def gcs_address(self) -> str:
        """host:port at which processes join this cluster."""
        return str(_ray().get_runtime_context().gcs_address)


def _gpus(node: dict[str, Any]) -> float:
    return float(node["Resources"].get("GPU", 0.0))


def usual_devices(nodes: Sequence[Node]) -> Devices:
    """What a plan may count on: the kind of machine of which the cluster has the most GPUs (or else cores).

    Raises:
        PlanRejected: there is nothing to run an engine on.
    """
    groups: dict[Devices, int] = defaultdict(int)
    for node in nodes:
        devices = node.devices
        count = int(min(devices.count, node.gpus)) if devices.kind == "cuda" else int(node.cpus)
        if count:
            # Equal machines tell a few bytes more or less of memory.
            memory = devices.memory_bytes if devices.kind == "cuda" else devices.memory_bytes // GIB * GIB
            kind = Devices(kind=devices.kind, name=devices.name, count=count, memory_bytes=memory)
            groups[kind] += 1
    if not groups:
        raise PlanRejected("the Ray cluster has no node with a free GPU or CPU to give: start its nodes with some")
    best = max(groups, key=lambda kind: (kind.kind == "cuda", kind.count * groups[kind] * kind.memory_bytes))
    return Devices(kind=best.kind, name=best.name, count=best.count, memory_bytes=best.memory_bytes, nodes=groups[best])


_joined, _users = threading.Lock(), 0


@contextmanager
def joined(address: str) -> Iterator[Cluster]:
    """This process as a driver in the cluster while any block is open.

    Raises:
        EngineFailed: no cluster answers there, or this machine is no node of it.
    """
    global _users
    ray = _ray()
    with _joined:
        if _users == 0:
            _connect(ray, address)
        _users += 1
    try:
        yield Cluster(address)
    finally:
        with _joined:
            _users -= 1
            if _users == 0:
                ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise EngineFailed(
            f"no Ray cluster can be joined at {address!r} ({str(error).splitlines()[0][:200]}): start it (`ray "
            "start`), run this on one of its nodes, and set OPEN_R1_RAY to auto or to its host:port"
        ) from error


def _ray() -> Any:
    """Ray, where it is installed."""
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise PlanRejected(
            "Ray is not installed: .venv/bin/pip install -r requirements-ray.txt -c locks/app.txt, on every node"
        ) from error
    return ray
