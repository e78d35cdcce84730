"""File lists of well-known repositories: what may be fetched of each, and what lies beside it.

Sizes are left out; names as the repositories have them. `#` stands for the shards of a checkpoint.
"""

from __future__ import annotations

PLAIN = (".gitattributes", "README.md", "LICENSE")


def shards(count: int, digits: int = 5) -> tuple[str, ...]:
    return tuple(f"model-{n:05d}-of-{count:0{digits}d}.safetensors" for n in range(1, count + 1))


QWEN = ("config.json", "generation_config.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json")
DISTILL = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
INDEX = "model.safetensors.index.json"

REPOSITORIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "deepseek-ai/DeepSeek-R1": (
        (*DISTILL, INDEX, *shards(163, 6)),
        (*PLAIN, "configuration_deepseek.py", "modeling_deepseek.py", "figures/benchmark.jpg"),
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": (
        (*DISTILL, "model.safetensors"),
        (*PLAIN, "figures/benchmark.jpg"),
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": (
        (*DISTILL, INDEX, "model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"),
        (*PLAIN, "figures/benchmark.jpg"),
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": (
        (*DISTILL, INDEX, "model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"),
        (*PLAIN, "figures/benchmark.jpg"),
    ),
    "Qwen/QwQ-32B": (
        (*QWEN, INDEX, *shards(14)),
        (*PLAIN, "figures/benchmark.jpg"),
    ),
    "Qwen/Qwen2.5-Math-7B": ((*QWEN, INDEX, *shards(4)), PLAIN),
    "meta-llama/Llama-3.1-8B-Instruct": (
        (*DISTILL, "special_tokens_map.json", INDEX, *shards(4)),
        (*PLAIN, "USE_POLICY.md", "original/consolidated.00.pth", "original/params.json", "original/tokenizer.model"),
    ),
    "open-r1/OpenR1-Qwen-7B": (
        (*QWEN, "added_tokens.json", "special_tokens_map.json", INDEX, *shards(4)),
        (*PLAIN, "all_results.json", "train_results.json", "trainer_state.json", "training_args.bin"),
    ),
    "mistralai/Mistral-7B-Instruct-v0.3": (
        (*DISTILL, "special_tokens_map.json", "tokenizer.model", INDEX, *shards(3)),
        (".gitattributes", "README.md", "consolidated.safetensors", "params.json", "tokenizer.model.v3"),
    ),
    "google/gemma-2-9b-it": (
        (*DISTILL, "special_tokens_map.json", "tokenizer.model", INDEX, *shards(4)),
        (".gitattributes", "README.md"),
    ),
    "Qwen/Qwen2-VL-2B-Instruct": (
        (*QWEN, "chat_template.json", "preprocessor_config.json", INDEX, *shards(2)),
        (".gitattributes", "README.md", "LICENSE"),
    ),
    "a TRL run with everything left in": (
        ("config.json", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "model.safetensors"),
        (
            "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "trainer_state.json",
            "checkpoint-100/model.safetensors", "runs/Jan31/events.out.tfevents.1", "global_step100/mp_rank_00.pt",
            "adapter_config.json", "latest", "zero_to_fp32.py",
        ),
    ),
}  # fmt: skip
