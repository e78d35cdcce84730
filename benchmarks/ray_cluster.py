"""A Ray cluster of three nodes here, of which one is killed: evaluations at once, and a generation in shards.

    python -m benchmarks.ray_cluster

Four `evaluate` commands run at once (400 problems x 4 attempts each), then one `generate` over 20,000 prompts, all
with OPEN_R1_RAY and with engines on the nodes. The GPUs are Ray's own bookkeeping: an `nvidia-smi` of this benchmark
lists four on each node, and the engine is `benchmarks.fake_server`, whose answers take a time per token in 16 places.
A third of the way one node gets a SIGKILL.

Ideal is perfect placement: every place of a GPU is busy from the first request that reached its engine (engines start
one after another on this machine's cores) until its node is lost or all is done; what the lost node had not finished is
lost. Every request and answer stands in the servers' logs, so what was asked again, and whether it had been answered
before, is counted there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from backend_jobs.datasets.parquet import read_columns
from benchmarks.generation_scale import write_prompts
from benchmarks.streams import read_log
from settings import ROOT
from tests.checkpoints import sound_checkpoint
from tests.ray_nodes import Nodes, ray_nodes

NODES, GPUS, PLACES = 3, 4, 16
ENGINE = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in --port) port=$2 ;; --served-model-name) name=$2 ;; esac
  shift
done
log={logs}/$(basename $name)+$$.log
PYTHONPATH={root} exec {python} -m benchmarks.fake_server --port $port --name $name --log $log {flags}
"""
NVIDIA_SMI = """#!/bin/sh
for gpu in {gpus}; do echo "NVIDIA H100 80GB HBM3, 81559"; done
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One part of the benchmark. Times are counted from the first request on."""

    name: str
    answers: int
    wall_s: float
    ideal_s: float
    killed_at_s: float
    asked: int
    again: int
    again_after_answer: int


def main() -> None:
    """Run both parts and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=4)
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--token-s", type=float, default=0.015)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rc") as folder:
        work = Path(folder)
        os.environ["PATH"] = f"{work / 'bin'}:{os.environ['PATH']}"
        write_program(work / "bin" / "nvidia-smi", NVIDIA_SMI.format(gpus=" ".join(map(str, range(GPUS)))))
        ran = [evaluations(work, given), generation(work, given)]
    print("| | answers | asked | asked again | of those answered before | killed at, s | wall, s | ideal, s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for each in ran:
        print(
            f"| {each.name} | {each.answers:,} | {each.asked:,} | {each.again} | {each.again_after_answer} "
            f"| {each.killed_at_s:.1f} | {each.wall_s:.1f} | {each.ideal_s:.1f} | {each.wall_s / each.ideal_s:.2f} |"
        )


def evaluations(work: Path, given: argparse.Namespace) -> Ran:
    """Several checkpoints at once, three engines each."""
    commands = []
    for number in range(given.evaluations):
        model = work / f"checkpoint-{number}"
        model.mkdir()
        for name, content in sound_checkpoint().items():
            (model / name).write_bytes(content)
        flags = ["--attempts", str(given.attempts), "--replicas", str(NODES), "--concurrency", str(NODES * PLACES)]
        commands.append(["evaluate", "--model", str(model), "--benchmark", "arithmetic", *flags, "--json"])
    name = f"{given.evaluations} evaluations at once"
    answers = given.evaluations * 400 * given.attempts

    def tokens(outputs: Sequence[str]) -> float:
        results = [json.loads(output.splitlines()[-1]) for output in outputs]
        return sum(each["mean_completion_tokens"] * sum(each["verdicts"].values()) for each in results)

    return run(work / "evaluations", name, commands, answers, given, tokens)


def generation(work: Path, given: argparse.Namespace) -> Ran:
    """One run over every GPU."""
    write_prompts(work / "prompts.jsonl", given.prompts)
    teacher = work / "teacher"
    teacher.mkdir()
    for name, content in sound_checkpoint().items():
        (teacher / name).write_bytes(content)
    recipe = {
        "kind": "generate",
        "run": "ray",
        "prompts": {
            "dataset": str(work / "prompts.jsonl"),
            "answer": "answer",
            "license": "mit",
            "template": "{problem}",
        },
        "teacher": {"name": str(teacher)},
        "decoding": {"samples": 1, "temperature": 0.6, "top_p": 0.95, "max_tokens": 128, "seed": 0},
        "verify": {"kind": "math"},
        "filters": {"verified": False, "thought": False, "complete": False, "duplicates": False, "decontaminate": []},
    }
    path = work / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    command = ["generate", str(path), "--concurrency", str(NODES * GPUS * PLACES), "--json"]
    folder = work / "generation"

    def tokens(_: Sequence[str]) -> float:
        files = sorted((folder / "data" / "datasets" / "ray").glob("*/train-*.parquet"))
        rows = [row for path in files for row in read_columns(path, ["n_tokens", "generation"])]
        problems = {row["generation"]["problem_id"] for row in rows}
        if len(rows) != given.prompts or len(problems) != given.prompts:
            raise SystemExit(f"{len(rows)} rows of {len(problems)} problems, expected {given.prompts} of each")
        return float(sum(row["n_tokens"] for row in rows))

    return run(folder, "generation in shards", [command], given.prompts, given, tokens)


def run(
    work: Path,
    name: str,
    commands: list[list[str]],
    answers: int,
    given: argparse.Namespace,
    tokens: Callable[[Sequence[str]], float],
) -> Ran:
    """Start the commands on a new cluster, kill a node a third of the way, and read the servers' logs."""
    logs = work / "logs"
    logs.mkdir(parents=True)
    flags = f"--slots {PLACES} --token-s {given.token_s} --median 60 --cap 120"
    engine = write_program(work / "engine", ENGINE.format(root=ROOT, python=sys.executable, logs=logs, flags=flags))
    with ray_nodes(NODES, gpus=GPUS) as nodes:
        environment = {
            **os.environ,
            "OPEN_R1_RAY": nodes.address,
            "OPEN_R1_DATA": str(work / "data"),
            "ENGINE_PYTHON": str(engine),
            "HF_HUB_OFFLINE": "1",
        }
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "backend_jobs", *command],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=(work / f"{number}.log").open("w"),
                text=True,
            )
            for number, command in enumerate(commands)
        ]
        killed_at = kill_a_node(nodes, logs, answers, started)
        outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a command failed: " + "\n".join(p.read_text()[-2000:] for p in work.glob("*.log")))
    return figures(name, logs, killed_at, busy_s=tokens(outputs) * given.token_s)


def kill_a_node(nodes: Nodes, logs: Path, answers: int, started: list[subprocess.Popen[str]]) -> float:
    """Wait until a third is answered, then take the first node down. When that was."""
    while sum(len(read_log(log)[1]) for log in logs.glob("*.log")) < answers // 3:
        if any(process.poll() for process in started):
            raise SystemExit("a command failed before the kill; its log says why")
        time.sleep(0.2)
    nodes.kill(nodes.workers[0])
    return time.time()


def figures(name: str, logs: Path, killed_at: float, *, busy_s: float) -> Ran:
    """What the logs of all servers say together."""
    asked: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    answered: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    gpus: list[tuple[float, float]] = []
    for log in logs.glob("*.log"):
        model = log.stem.rpartition("+")[0]  # checkpoints share their prompts and seeds
        both = read_log(log)
        for found, into in zip(both, (asked, answered), strict=True):
            for prompt, turn, at in found:
                into[model, prompt, turn].append(at)
        if both[0]:
            lost = len(both[0]) > len(both[1])
            gpus.append((min(at for *_, at in both[0]), killed_at if lost else float("inf")))
    again = {key: sorted(times)[1:] for key, times in asked.items() if len(times) > 1}
    before = [key for key, times in again.items() if min(answered[key]) < times[-1]]
    first = min(min(times) for times in asked.values())
    last = max(max(times) for times in answered.values())
    return Ran(
        name=name,
        answers=len(answered),
        asked=sum(map(len, asked.values())),
        again=sum(map(len, again.values())),
        again_after_answer=len(before),
        killed_at_s=killed_at - first,
        wall_s=last - first,
        ideal_s=ideal_end(sorted(gpus)[: NODES * GPUS], busy_s) - first,
    )


def ideal_end(gpus: Sequence[tuple[float, float]], busy_s: float) -> float:
    """When all is done if every place of a GPU is busy from its first request on, to the loss of its node."""
    low, high = min(start for start, _ in gpus), max(start for start, _ in gpus) + busy_s
    while high - low > 0.01:
        middle = (low + high) / 2
        done = PLACES * sum(max(0.0, min(middle, end) - start) for start, end in gpus)
        low, high = (low, middle) if done >= busy_s else (middle, high)
    return high


def write_program(path: Path, text: str) -> Path:
    """An executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    main()
