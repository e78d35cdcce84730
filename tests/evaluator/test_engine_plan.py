"""Known shapes on known machines: which tensor parallel size, which context, and which refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices
from evaluator.engine import read_facts
from evaluator.engine_plan import plan_engine
from evaluator.errors import PlanRejected
from evaluator.kv_memory import kv_bytes_per_token
from evaluator.server_line import server_command, server_environment

H100X8 = Devices(kind="cuda", name="NVIDIA H100 80GB HBM3", count=8, memory_bytes=80 * GIB)
LAPTOP = Devices(kind="cpu", name="a processor", count=2, memory_bytes=24 * GIB)


def shape(**changes: object) -> ModelShape:
    base: dict[str, object] = {
        "architecture": "Qwen2ForCausalLM",
        "layers": 28,
        "hidden": 3584,
        "heads": 28,
        "kv_heads": 4,
        "head_dim": 128,
        "vocab": 152_064,
        "context": 131_072,
        "weight_bytes": 15 * GIB,
    }
    return ModelShape(**{**base, **changes})  # type: ignore[arg-type]


DISTILL_32B = shape(layers=64, hidden=5120, heads=40, kv_heads=8, weight_bytes=61 * GIB)
LLAMA_70B = shape(layers=80, hidden=8192, heads=64, kv_heads=8, weight_bytes=131 * GIB)
TINY = shape(layers=3, hidden=128, heads=2, kv_heads=1, head_dim=64, context=65_536, weight_bytes=2_000_000)


def test_a_small_model_stays_on_one_gpu() -> None:
    assert plan_engine(shape(), devices=H100X8, prompt_tokens=800, max_tokens=32_768).tensor_parallel_size == 1


def test_a_32b_model_takes_two_gpus_and_a_70b_model_four() -> None:
    # 70B: two GPUs would hold the weights with no room for an answer beside them.
    assert plan_engine(DISTILL_32B, devices=H100X8, prompt_tokens=800, max_tokens=32_768).tensor_parallel_size == 2
    assert plan_engine(LLAMA_70B, devices=H100X8, prompt_tokens=800, max_tokens=32_768).tensor_parallel_size == 4


def test_the_context_is_prompt_plus_budget() -> None:
    assert plan_engine(shape(), devices=H100X8, prompt_tokens=800, max_tokens=32_768).max_model_len == 33_568


def test_a_prompt_and_budget_beyond_the_models_context_are_refused_with_what_would_fit() -> None:
    with pytest.raises(PlanRejected, match="use --max-tokens 3296 or fewer"):
        plan_engine(shape(context=4096), devices=H100X8, prompt_tokens=800, max_tokens=32_768)


@pytest.mark.parametrize(("heads", "kv_heads", "bad", "good"), [(12, 2, 8, 4), (28, 4, 8, 4), (40, 8, 3, 8)])
def test_a_size_that_does_not_divide_the_heads_is_refused_naming_those_that_do(
    heads: int, kv_heads: int, bad: int, good: int
) -> None:
    model = shape(heads=heads, kv_heads=kv_heads)
    arguments = {"devices": H100X8, "prompt_tokens": 800, "max_tokens": 32_768}
    with pytest.raises(PlanRejected, match=f"{heads} attention heads.*use one of: .*{good}"):
        plan_engine(model, **arguments, tensor_parallel_size=bad)  # type: ignore[arg-type]
    assert plan_engine(model, **arguments, tensor_parallel_size=good).tensor_parallel_size == good  # type: ignore[arg-type]


def test_a_model_that_fits_nowhere_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(PlanRejected, match=r"640\.0 GiB of weights.*do not fit"):
        plan_engine(shape(heads=64, weight_bytes=640 * GIB), devices=H100X8, prompt_tokens=1, max_tokens=1)
    with pytest.raises(PlanRejected, match="do not fit this machine's 24 GiB"):
        plan_engine(LLAMA_70B, devices=LAPTOP, prompt_tokens=1, max_tokens=1)


def test_kv_cache_bytes_follow_the_formula() -> None:
    assert kv_bytes_per_token(shape()) == 2 * 28 * 4 * 128 * 2


def test_on_the_cpu_prefill_is_not_chunked_so_that_seeds_work() -> None:
    plan = plan_engine(TINY, devices=LAPTOP, prompt_tokens=72, max_tokens=128)
    command = server_command(plan, python="python", folder=Path("model"), served_name="local/sft", port=8000)
    assert "--no-enable-chunked-prefill" in command
    assert int(command[command.index("--max-num-batched-tokens") + 1]) >= plan.max_model_len
    assert "VLLM_CPU_OMP_THREADS_BIND" not in server_environment(plan)


def test_two_ranks_on_the_cpu_get_cores_of_their_own() -> None:
    plan = plan_engine(TINY, devices=LAPTOP, prompt_tokens=72, max_tokens=128, tensor_parallel_size=2)
    assert server_environment(plan)["VLLM_CPU_OMP_THREADS_BIND"].count("|") == 1


@pytest.mark.parametrize("devices", [LAPTOP, H100X8])
def test_the_checkpoints_own_sampling_defaults_are_off_and_only_loopback_is_served(devices: Devices) -> None:
    plan = plan_engine(TINY, devices=devices, prompt_tokens=72, max_tokens=128)
    command = server_command(plan, python="python", folder=Path("model"), served_name="m", port=8000)
    assert command[command.index("--generation-config") + 1] == "vllm"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "--trust-remote-code" not in command


def test_what_serves_is_read_from_what_the_engine_says_of_itself() -> None:
    log = (
        "(EngineCore pid=7) INFO 11-23 core.py:130] Initializing a V1 LLM engine (v0.31.0) with config: model='x', "
        "dtype=torch.bfloat16, max_seq_len=2048, tensor_parallel_size=2, quantization=None, device_config=cpu, seed=0"
    )
    facts = read_facts(log)
    assert (facts.version, facts.tensor_parallel_size, facts.device) == ("0.31.0", 2, "cpu")
    assert (facts.dtype, facts.max_model_len, facts.quantization) == ("bfloat16", 2048, None)


def test_facts_that_the_engine_did_not_say_are_unknown() -> None:
    assert read_facts("nothing of use").tensor_parallel_size is None
