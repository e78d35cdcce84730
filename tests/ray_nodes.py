"""A Ray cluster on this machine: real nodes (a raylet each) on loopback, with GPUs that only Ray knows of."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OBJECT_STORE_BYTES = 100 * 1024 * 1024
LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for a mistake and puts the machine's outward address in its place."""


class Nodes:
    """The running cluster. `address` is where drivers join, `dashboard` where its Jobs API answers."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self._cluster, self.folder = cluster, folder
        self.address: str = cluster.address
        self.dashboard = f"http://{cluster.head_node.webui_url}"
        self.workers: list[Any] = []

    def add(self, *, gpus: int, cpus: int) -> Any:
        """One more node. In the main thread: Ray sets signal handlers."""
        node = self._cluster.add_node(
            num_cpus=cpus, num_gpus=gpus, object_store_memory=OBJECT_STORE_BYTES, node_ip_address=LOOPBACK
        )
        self.workers.append(node)
        return node

    def kill(self, node: Any) -> None:
        """As a machine that loses its power: no process of the node gets to say goodbye."""
        self.workers.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)


@contextmanager
def ray_nodes(workers: int, *, gpus: int, cpus: int = 1, dashboard: bool = False) -> Iterator[Nodes]:
    """A head without anything to give, and `workers` nodes of so many GPUs each."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # its sockets' paths must stay short
    wanted = {"RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "RAY_memory_monitor_refresh_ms": "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "num_gpus": 0,
            "object_store_memory": OBJECT_STORE_BYTES,
            "node_ip_address": LOOPBACK,
            "include_dashboard": dashboard,
            "dashboard_port": 0,
        },
    )
    try:
        nodes = Nodes(cluster, folder)
        for _ in range(workers):
            nodes.add(gpus=gpus, cpus=cpus)
        yield nodes
    finally:
        cluster.shutdown()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
