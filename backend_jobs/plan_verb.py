"""What `plan` prints: the plans, how the checkpoint will be served and why, what that takes, the exact server line."""

from __future__ import annotations

from typing import Any

from backend_jobs.evaluate_job import Prepared, serving_folder
from evaluator.devices import GIB
from evaluator.engine_plan import EnginePlan
from evaluator.forecast import Forecast
from evaluator.plan import generation_key, plan_key, protocol_key, requests
from evaluator.process import Limits
from evaluator.server_line import server_command, server_environment
from settings import Settings


def describe(prepared: Prepared, settings: Settings) -> dict[str, Any]:
    """Everything that is decided before anything runs."""
    plans = [
        {
            "benchmark": each.plan.benchmark,
            "generations": len(requests(each.plan, each.samples)),
            "max_tokens": each.plan.max_tokens,
            "plan_key": plan_key(each.plan),
            "generation_key": generation_key(each.plan),
            "protocol_key": protocol_key(each.plan),
        }
        for each in prepared.evaluations
    ]
    checkpoint, engine = prepared.checkpoint, prepared.engine_plan
    described: dict[str, Any] = {"model": checkpoint.model, "commit": checkpoint.commit, "plans": plans}
    if engine is None:
        return described
    expected = {"expected": _expected(prepared.forecast)} if prepared.forecast else {}
    limits = {"limits": _limits(prepared.limits)}
    return (
        described | {"reasons": list(engine.reasons)} | expected | limits | _servers(engine, checkpoint.model, settings)
    )


def _servers(engine: EnginePlan, name: str, settings: Settings) -> dict[str, Any]:
    """The line of the first server; the others differ in port and share of the hardware alone."""
    folder = serving_folder(settings, "<process>-<thread>")
    visible = dict(settings.child_environment).get("CUDA_VISIBLE_DEVICES")
    command = server_command(engine, python=settings.engine_python, folder=folder, served_name=name, port=8000)
    variables = [f"{key}='{value}'" for key, value in server_environment(engine, visible=visible).items()]
    if engine.pipeline_parallel_size == 1:
        return {"server": " ".join([*variables, *command])}
    return {"cluster": _cluster(engine), "server": " ".join(["RAY_ADDRESS=HEAD:6379", *variables, *command])}


def _cluster(engine: EnginePlan) -> list[str]:
    """What makes one Ray cluster of the nodes that a server is dealt out over, before the server is started."""
    ray, gpus = ".venv-engine/bin/ray", engine.tensor_parallel_size
    others = engine.pipeline_parallel_size * engine.replicas - 1
    return [
        f"on the first node (HEAD): {ray} start --head --port 6379 --num-gpus {gpus}",
        f"on {'the other one' if others == 1 else f'each of the other {others}'}: "
        f"{ray} start --address HEAD:6379 --num-gpus {gpus}",
        "then there, or with OPEN_R1_RAY=auto by `evaluate` itself, with the folder on a file system that all share:",
    ]


def _limits(limits: Limits) -> str:
    memory, hours = (limits.memory_bytes or 0) / GIB, (limits.seconds or 0) / 3600
    return f"a server is ended where it takes more than {memory:.0f} GiB of main memory or {hours:.1f} hours"


def _expected(expected: Forecast) -> list[str]:
    tokens = expected.tokens
    lines = [
        f"{expected.attempts:,} answers, {_millions(tokens.mean)} tokens ({_millions(tokens.low)} to "
        f"{_millions(tokens.high)}: models differ), about {expected.parallel} at once in one server",
    ]
    if expected.hours is None or expected.tokens_per_s is None:
        return [*lines, "hours: nothing is known of the speed of this hardware"]
    speed = f"about {expected.tokens_per_s:,.0f} tokens/s by the hardware's figures, not measured"
    lines.append(f"hours: {_range(expected.hours)}, {speed}")
    if expected.gpu_hours is not None:
        lines.append(f"GPU hours: {_range(expected.gpu_hours)}")
    if expected.dollars is not None:
        lines.append(f"dollars: {_range(expected.dollars)}")
    elif expected.gpu_hours is not None:
        lines.append("dollars: no price is known; give one with --gpu-price")
    return lines


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,.0f}"


def _range(values: tuple[float, float, float]) -> str:
    expected, low, high = (f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in values)
    return f"{expected} ({low} to {high})"
