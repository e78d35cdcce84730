"""Known shapes on known machines: which tensor parallel size, which context, and which refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices
from evaluator.engine import read_facts
from evaluator.engine_plan import divisors, plan_engine
from evaluator.errors import PlanRejected
from evaluator.hardware import named_devices
from evaluator.kv_memory import kv_bytes_per_gpu, kv_bytes_per_token, kv_tokens
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
DEEPSEEK_R1 = shape(
    layers=61,
    hidden=7168,
    heads=128,
    kv_heads=128,
    head_dim=56,
    context=163_840,
    weight_bytes=688_586_727_753,
    latent_dim=576,
    experts=256,
    experts_per_token=8,
)
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


@pytest.mark.parametrize(
    ("heads", "kv_heads", "sizes"),
    [
        (12, 2, [1, 2, 4, 6]),
        (28, 4, [1, 2, 4]),
        (40, 8, [1, 2, 4, 8]),
        (32, 8, [1, 2, 4, 8]),
        (64, 8, [1, 2, 4, 8]),
    ],
)
def test_sizes_divide_the_heads_and_split_or_repeat_the_kv_heads(heads: int, kv_heads: int, sizes: list[int]) -> None:
    assert divisors(shape(heads=heads, kv_heads=kv_heads), 8) == sizes


def test_more_gpus_than_kv_heads_repeat_them_and_hold_no_more_tokens_for_it() -> None:
    small = shape(heads=12, kv_heads=2, weight_bytes=3 * GIB)
    assert kv_bytes_per_gpu(small, 2) == kv_bytes_per_gpu(small, 4) == kv_bytes_per_token(small) / 2


def test_latent_attention_keeps_one_vector_per_token_whole_on_every_gpu() -> None:
    assert kv_bytes_per_token(DEEPSEEK_R1) == 61 * 576 * 2
    assert kv_bytes_per_gpu(DEEPSEEK_R1, 8) == kv_bytes_per_token(DEEPSEEK_R1)
    assert kv_bytes_per_gpu(DEEPSEEK_R1, 8, 2) == kv_bytes_per_token(DEEPSEEK_R1) / 2


def test_a_model_with_experts_is_planned_with_all_of_them_in_memory() -> None:
    experts = shape(layers=48, heads=32, kv_heads=4, weight_bytes=61 * GIB, experts=128, experts_per_token=8)
    plan = plan_engine(experts, devices=H100X8, prompt_tokens=800, max_tokens=32_768)
    assert (plan.tensor_parallel_size, plan.replicas) == (2, 4)
    assert any("128 experts, 8 per token" in reason for reason in plan.reasons)


def test_open_r1_held_8_requests_on_two_nodes_of_h100_and_32_on_four() -> None:
    # Open-R1's update: DeepSeek-R1 in FP8, answers of 6,000 tokens on average, 85 % of each GPU's memory; vLLM kept
    # whole keys and values then, padded to 256 numbers per head. From their slurm script: tensor 8, pipeline the nodes.
    whole = replace(DEEPSEEK_R1, latent_dim=None, head_dim=256)
    held = {
        nodes: kv_tokens(whole, named_devices(f"{nodes}x8 H100"), 8, nodes, utilization=0.85) // 5_950
        for nodes in (2, 4)
    }
    assert held == {2: 8, 4: 32}


def test_a_model_too_large_for_one_node_is_dealt_out_over_several() -> None:
    budget = {"prompt_tokens": 800, "max_tokens": 32_768}
    with pytest.raises(PlanRejected, match=r"641\.3 GiB of weights.*do not fit 8 x NVIDIA H100"):
        plan_engine(DEEPSEEK_R1, devices=named_devices("8xH100"), **budget)  # type: ignore[arg-type]
    two = plan_engine(DEEPSEEK_R1, devices=named_devices("2x8 H100"), **budget)  # type: ignore[arg-type]
    assert (two.tensor_parallel_size, two.pipeline_parallel_size, two.replicas) == (8, 2, 1)
    four = plan_engine(DEEPSEEK_R1, devices=named_devices("4x8 H100"), **budget)  # type: ignore[arg-type]
    assert (four.pipeline_parallel_size, four.replicas) == (2, 2)
    command = server_command(two, python="python", folder=Path("m"), served_name="m", port=1)
    assert command[command.index("--pipeline-parallel-size") + 1] == "2"
    assert command[command.index("--distributed-executor-backend") + 1] == "ray"


@pytest.mark.parametrize(("wanted", "gpus"), [(None, ["0,1", "2,3", "4,5", "6,7"]), (2, ["0,1", "2,3"])])
def test_replicas_take_the_remaining_gpus_each_its_own(wanted: int | None, gpus: list[str]) -> None:
    plan = plan_engine(DISTILL_32B, devices=H100X8, prompt_tokens=800, max_tokens=32_768, replicas=wanted)
    assert plan.replicas == len(gpus)
    seen = [server_environment(plan, replica=n)["CUDA_VISIBLE_DEVICES"] for n in range(plan.replicas)]
    assert seen == gpus


def test_replicas_stay_within_the_gpus_that_we_may_see() -> None:
    plan = plan_engine(DISTILL_32B, devices=replace(H100X8, count=4), prompt_tokens=800, max_tokens=32_768)
    seen = [server_environment(plan, replica=n, visible="4,5,6,7")["CUDA_VISIBLE_DEVICES"] for n in range(2)]
    assert seen == ["4,5", "6,7"]


def test_more_replicas_than_there_are_gpus_for_are_refused() -> None:
    with pytest.raises(PlanRejected, match=r"5 replicas of 2 GPUs each.*at most 4"):
        plan_engine(DISTILL_32B, devices=H100X8, prompt_tokens=800, max_tokens=32_768, replicas=5)


def test_short_answers_let_one_server_run_more_of_them() -> None:
    budget = {"devices": H100X8, "prompt_tokens": 200, "max_tokens": 32_768}
    long = plan_engine(DISTILL_32B, **budget, mean_tokens=20_000)  # type: ignore[arg-type]
    short = plan_engine(DISTILL_32B, **budget, mean_tokens=1_000)  # type: ignore[arg-type]
    assert long.max_num_seqs < short.max_num_seqs <= 1024


def test_two_servers_on_the_cpu_share_memory_and_cores() -> None:
    plan = plan_engine(TINY, devices=LAPTOP, prompt_tokens=72, max_tokens=128, replicas=2)
    assert plan.replicas == 2
    assert plan_engine(TINY, devices=LAPTOP, prompt_tokens=72, max_tokens=128).replicas == 1
    assert all("VLLM_CPU_OMP_THREADS_BIND" in server_environment(plan, replica=n) for n in range(2))


def test_flags_are_given_only_to_a_vllm_that_has_them(tmp_path: Path) -> None:
    plan = plan_engine(TINY, devices=H100X8, prompt_tokens=72, max_tokens=128)
    commands = []
    for name, flags in (("old", '"--max-model-len"'), ("new", '"--max-model-len", "--watermark"')):
        package = tmp_path / name / "lib" / "python3.11" / "site-packages" / "vllm" / "engine"
        package.mkdir(parents=True)
        (package / "arg_utils.py").write_text(f"group.add_argument({flags})")
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir()
        python.write_text("#!/bin/sh\n")
        python.chmod(0o755)
        commands.append(server_command(plan, python=str(python), folder=Path("m"), served_name="m", port=1))
    old, new = commands
    assert "--watermark" not in old
    assert new[new.index("--watermark") + 1] == "0.05"


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
