"""`plan` as a person runs it: does a checkpoint fit, why so, what will it take, and with which line is it served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend_jobs.cli import main
from backend_jobs.evaluate_job import Prepared
from backend_jobs.plan_verb import describe
from evaluator.engine_plan import EnginePlan
from evaluator.types import Checkpoint
from settings import ROOT, Settings
from tests.checkpoints import TENSORS, config, safetensors, sound_checkpoint
from tests.fakes.hub_server import FakeHub

WEIGHTS = safetensors({**TENSORS, "lm_head.weight": (8, 500_000)})


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("OPEN_R1_DATA", str(tmp_path / "data"))

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["plan", "--benchmark", "arithmetic", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoint"
    made.mkdir()
    for name, content in sound_checkpoint(config_json=config(num_attention_heads=4, num_key_value_heads=2)).items():
        (made / name).write_bytes(content)
    return made


def test_a_checkpoint_on_the_hub_is_planned_without_its_weights_being_downloaded(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "backend_jobs", "plan", "--model", "org/model", "--benchmark", "arithmetic"]
    with FakeHub() as hub:
        hub.add("org/model", sound_checkpoint(model_safetensors=WEIGHTS))
        # The Hub's client reads its address when it is imported.
        own = {"HF_ENDPOINT": hub.root, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "", "OPEN_R1_DATA": str(tmp_path)}
        told = subprocess.run(
            [*command, "--gpus", "h200x8", "--json"],
            cwd=ROOT,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
            check=True,
        )
    planned = json.loads(told.stdout.splitlines()[-1])
    assert planned["model"] == "org/model"
    assert any("8 x NVIDIA H200" in reason for reason in planned["reasons"])
    assert "--served-model-name org/model" in planned["server"]
    assert list(tmp_path.rglob("config.json"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_plans_for_hardware_that_is_not_here_say_replicas_hours_and_cost(plan: Run, folder: Path) -> None:
    status, said, errors = plan("--model", folder, "--gpus", "l40sx4")
    assert status == 0, errors
    assert "replicas 4: 4 GPUs, 1 each" in said
    assert "1,600 answers" in said
    assert "dollars: " in said
    assert "CUDA_VISIBLE_DEVICES='0'" in said
    assert "dollars: " in plan("--model", folder, "--gpus", "rtx4090", "--gpu-price", "0.5")[1]
    assert "no price is known" in plan("--model", folder, "--gpus", "rtx4090")[1]


def test_what_cannot_run_is_refused_with_what_could(plan: Run, folder: Path) -> None:
    status, _, errors = plan("--model", folder, "--gpus", "abacus")
    assert (status, "no accelerator is known as 'abacus'" in errors) == (1, True)
    status, _, errors = plan("--model", folder, "--gpus", "rtx4090", "--max-tokens", "5000")
    assert (status, "the model's context is 4096" in errors) == (1, True)
    status, _, errors = plan("--model", folder, "--gpus", "l40sx4", "--replicas", "9")
    assert (status, "at most 4 do" in errors) == (1, True)


def test_a_model_over_two_nodes_is_planned_with_every_command_of_its_cluster() -> None:
    engine = EnginePlan(
        device="cuda",
        tensor_parallel_size=8,
        pipeline_parallel_size=2,
        max_model_len=33_792,
        max_num_seqs=64,
        kv_cache_bytes=1 << 30,
        reasons=(),
    )
    told = describe(Prepared(checkpoint=Checkpoint(model="a/b"), evaluations=(), engine_plan=engine), Settings())
    head, other, then = told["cluster"]
    assert "ray start --head --port 6379 --num-gpus 8" in head
    assert "on the other one" in other
    assert "ray start --address HEAD:6379 --num-gpus 8" in other
    assert "OPEN_R1_RAY" in then
    line = told["server"]
    assert line.startswith("RAY_ADDRESS=HEAD:6379 ")
    assert "--tensor-parallel-size 8" in line
    assert "--pipeline-parallel-size 2 --distributed-executor-backend ray" in line
