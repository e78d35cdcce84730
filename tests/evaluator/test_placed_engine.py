"""Engines on the nodes of a real Ray cluster (on this machine): placed, joined, lost with their node, placed again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.client import StreamState, StreamSummary, run_async, stream
from evaluator.devices import GIB, Devices
from evaluator.engine import Launch
from evaluator.engine_plan import EnginePlan
from evaluator.errors import EngineFailed, PlanRejected
from evaluator.placed_engine import placed_engine, share_of
from evaluator.process import NO_LIMITS
from evaluator.ray_cluster import Node, Share, joined, usual_devices
from evaluator.types import Completion, Refusal, Request
from settings import ROOT
from tests.fakes.engine_program import engine_program
from tests.fakes.streaming import Answers, assert_right, make_requests
from tests.ray_nodes import Nodes, ray_nodes
from tests.waiting import until

LIMIT_S = 90.0


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes(2, gpus=1) as running:
        yield running


def make_launch(folder: Path, *, replicas: int) -> Launch:
    served = folder / "served"
    served.mkdir()
    (served / "config.json").write_text("{}")
    plan = EnginePlan(
        device="cuda",
        tensor_parallel_size=1,
        max_model_len=1000,
        max_num_seqs=64,
        kv_cache_bytes=GIB,
        reasons=(),
        replicas=replicas,
    )
    return Launch(
        plan=plan,
        folder=served,
        served_name="fake",
        python=str(engine_program(folder)),
        inherited={},
        work=folder / "work",
        home=folder / "home",
        on_progress=lambda _: None,
        limits=NO_LIMITS,
    )


def engine_processes(folder: Path) -> list[str]:
    """Whatever still runs that was started from a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found += [line] if str(folder) in line and "ray::" not in line else []
    return found


def test_a_lost_node_costs_its_unfinished_attempts_and_its_engine_comes_back_elsewhere(
    nodes: Nodes, tmp_path: Path
) -> None:
    # The source never ends before the lost engine answers again on the node that is added.
    requests, answers, back = make_requests(500_000), Answers(), threading.Event()

    def source() -> Iterator[Request]:
        for request in requests:
            if back.is_set():
                return
            yield request

    def take(_: Request, answer: Completion | Refusal) -> None:
        assert (answer.problem_id, answer.attempt) not in answers
        answers[answer.problem_id, answer.attempt] = answer

    def see(state: StreamState) -> None:
        urls = {each.base_url for each in state.replicas}
        if not first_urls and all(each.answered > 50 for each in state.replicas):
            first_urls.update(urls)
            most_in_flight.append(sum(each.cap for each in state.replicas))
            nodes.kill(nodes.workers[0])
            nodes.add(gpus=1, cpus=1)
        elif first_urls and urls - first_urls and all(each.answered > 100 for each in state.replicas):
            back.set()

    first_urls: set[str] = set()
    most_in_flight: list[int] = []

    async def main() -> StreamSummary:
        async with placed_engine(make_launch(tmp_path, replicas=2), nodes.address) as engine:
            summary = await asyncio.wait_for(
                stream(
                    source(),
                    engine.servers(),
                    on_answer=take,
                    on_state=see,
                    cancel=asyncio.Event(),
                    concurrency=8,
                    look_ahead=64,
                ),
                LIMIT_S,
            )
            assert len(engine_processes(tmp_path)) >= 2
            return summary

    summary = run_async(main())
    assert_right(answers, requests[: len(answers)])
    assert sum(each.restarts for each in summary.replicas) == 1
    assert summary.requests_sent - summary.answered <= most_in_flight[0]
    assert all(each.answered > 50 for each in summary.replicas)
    until(lambda: not engine_processes(tmp_path), within_s=LIMIT_S)


def test_more_engines_than_there_is_room_for_wait_and_the_run_does_not(nodes: Nodes, tmp_path: Path) -> None:
    requests, answers = make_requests(500), Answers()

    async def main() -> StreamSummary:
        async with placed_engine(make_launch(tmp_path, replicas=3), nodes.address) as engine:
            return await stream(
                requests,
                engine.servers(),
                on_answer=lambda _, answer: answers.update({(answer.problem_id, answer.attempt): answer}),
                cancel=asyncio.Event(),
            )

    summary = run_async(main())
    assert_right(answers, requests)
    assert sorted(each.answered > 0 for each in summary.replicas)[:1] == [False]


def test_an_engine_that_does_not_start_fails_with_its_last_lines(nodes: Nodes, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such model >&2\nexit 3\n")
    broken.chmod(0o755)

    async def main() -> None:
        async with placed_engine(replace(make_launch(tmp_path, replicas=2), python=str(broken)), nodes.address):
            pytest.fail("it cannot have started")

    with pytest.raises(EngineFailed, match="did not start") as failed:
        run_async(main())
    assert "no such model" in failed.value.log_tail


def test_engines_end_with_the_process_that_asked_for_them_even_where_it_is_killed(nodes: Nodes, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.evaluator.test_placed_engine", nodes.address, str(tmp_path)]
    driver = subprocess.Popen(command, cwd=ROOT)
    try:
        until(lambda: (tmp_path / "up").exists() or driver.poll() is not None, within_s=LIMIT_S)
        assert len(engine_processes(tmp_path)) > 2, "the driver, a supervisor and its engine"
    finally:
        driver.kill()
        driver.wait()
    until(lambda: not engine_processes(tmp_path), within_s=LIMIT_S)


def test_the_nodes_are_asked_what_they_really_have(nodes: Nodes) -> None:
    with joined(nodes.address) as cluster:
        found = cluster.nodes()
        assert not cluster.could_hold(Share(gpus=2))
        assert cluster.could_hold(Share(gpus=1, spans=2))
    assert sorted(node.gpus for node in found) == [0, 1, 1]
    assert usual_devices(found).nodes == 2


def test_a_plan_counts_on_the_kind_of_machine_of_which_there_is_most() -> None:
    h100 = Devices(kind="cuda", name="NVIDIA H100 80GB HBM3", count=8, memory_bytes=80 * GIB)
    l4 = replace(h100, name="NVIDIA L4", count=1, memory_bytes=22 * GIB)
    cpu = Devices(kind="cpu", name="a processor", count=64, memory_bytes=256 * GIB)
    nodes = [
        Node(id=str(number), address="a", cpus=64, gpus=gpus, devices=devices)
        for number, (devices, gpus) in enumerate([(h100, 8), (h100, 8), (l4, 1), (cpu, 0)])
    ]
    assert usual_devices(nodes) == replace(h100, nodes=2)
    assert usual_devices(nodes[2:]) == l4
    assert usual_devices(nodes[3:]) == cpu
    with pytest.raises(PlanRejected, match="no node"):
        usual_devices([replace(nodes[3], cpus=0)])


def test_an_engine_over_two_nodes_holds_their_gpus_through_vllm_and_one_on_the_cpu_a_whole_node() -> None:
    plan = make_plan(device="cuda", tensor=8, pipeline=2)
    assert share_of(plan, []) == Share(gpus=8, spans=2)
    cpu = Devices(kind="cpu", name="a processor", count=64, memory_bytes=256 * GIB)
    node = Node(id="1", address="a", cpus=48, gpus=0, devices=cpu)
    assert share_of(make_plan(device="cpu", tensor=1, pipeline=1), [node]) == Share(cpus=48)


def make_plan(*, device: str, tensor: int, pipeline: int) -> EnginePlan:
    return EnginePlan(
        device=device,
        tensor_parallel_size=tensor,
        pipeline_parallel_size=pipeline,
        max_model_len=1000,
        max_num_seqs=64,
        kv_cache_bytes=GIB,
        reasons=(),
    )


def drive(address: str, folder: Path) -> None:
    """What a process does that is killed while its engines run."""

    async def main() -> None:
        async with placed_engine(make_launch(folder, replicas=1), address):
            (folder / "up").touch()
            await asyncio.sleep(600)

    run_async(main())


if __name__ == "__main__":
    drive(sys.argv[1], Path(sys.argv[2]))
