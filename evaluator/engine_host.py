"""What runs on the node of an engine that a cluster placed: our server, watched there, told of here.

It is started by `ray_cluster.py` in an actor, whose process it does not outlive: the server's supervisor holds a pipe
to that process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluator.engine import Launch, LocalServer
from evaluator.engine_plan import EnginePlan
from evaluator.errors import EngineFailed
from evaluator.process import Limits
from evaluator.types import EngineFacts
from settings import read_settings

LOOK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class HostOrder:
    """What to start. Folders lie on a file system that every node sees; `work` is this server's own.

    `reach` is an address of the cluster: the server listens on the one of this node's addresses that leads there.
    `api_key` is what it asks for: on that address others may hear it.
    """

    plan: EnginePlan
    folder: Path
    served_name: str
    python: str
    work: Path
    home: Path
    limits: Limits
    reach: str
    api_key: str = field(repr=False)
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A server that answers: where, on which machine, and what it says of itself."""

    base_url: str
    node: str
    facts: EngineFacts


class EngineHost:
    """One server on this node."""

    def __init__(self, order: HostOrder) -> None:
        self._order = order
        self._server: LocalServer | None = None

    async def start(self) -> dict[str, Any]:
        """Start it and wait until it answers; the fields of `Started`.

        Raises:
            EngineFailed: it did not come up, or this node does not see the weights.
        """
        order, node = self._order, socket.gethostname()
        if not (order.folder / "config.json").exists():
            raise EngineFailed(
                f"{node} sees no {order.folder}: OPEN_R1_DATA must be a folder on a file system that all nodes share"
            )
        order.work.mkdir(parents=True, exist_ok=True)
        host = address_towards(order.reach)
        self._server = LocalServer(self._launch(host), 0)
        endpoint = await self._server.start()
        return {"base_url": endpoint.base_url, "node": node, "facts": self._server.facts}

    async def watch(self) -> None:
        """Raises EngineFailed with its last lines when it has ended by itself; returns never."""
        assert self._server is not None
        while True:
            self._server.check_alive()
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """End it with all its workers."""
        if self._server is not None:
            await self._server.close()

    def _launch(self, host: str) -> Launch:
        order = self._order
        spans = order.plan.pipeline_parallel_size > 1
        inherited = dict(read_settings().child_environment)
        if spans:
            inherited.pop("CUDA_VISIBLE_DEVICES", None)  # this actor holds no GPU; vLLM's own workers do
        return Launch(
            plan=replace(order.plan, replicas=1),
            folder=order.folder,
            served_name=order.served_name,
            python=order.python,
            inherited=inherited,
            work=order.work,
            home=order.home / host,
            on_progress=lambda _: None,
            limits=order.limits,
            host=host,
            api_key=order.api_key,
            extra=order.extra,
        )


def address_towards(reach: str) -> str:
    """This machine's own address on the way to another one (host or host:port). Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((reach.rpartition(":")[0] or reach, 9))
        address: str = probe.getsockname()[0]
        return address
