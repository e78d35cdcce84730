"""What `plan` estimates against what training took: three sizes, with and without gradient checkpointing, on the CPU.

    python -m benchmarks.memory_estimate

Each row is a real run of the training process on random weights and full-length examples, two optimizer steps; its peak
is what the kernel counts (VmHWM), less what imports had taken. Prints one table and fails where a row is off by more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from backend_jobs.known_models import model_config
from backend_jobs.memory import estimate
from backend_jobs.recipes import load_recipe
from backend_jobs.train import train
from backend_jobs.training.events import Finished, TrainEvent
from settings import ROOT, Settings, read_settings

ALLOWED = 0.15
MAKE = """
import sys
from transformers import Qwen2Config, Qwen2ForCausalLM
from backend_jobs.training.tiny_model import tiny_tokenizer
tokenizer = tiny_tokenizer()
layers, hidden, intermediate, heads, kv, vocab = map(int, sys.argv[2:])
config = Qwen2Config(vocab_size=vocab, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
    num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=4096, tie_word_embeddings=True,
    eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None)
Qwen2ForCausalLM(config).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A model's shape, and the length of its examples in tokens."""

    name: str
    shape: tuple[int, int, int, int, int, int]
    """layers, hidden, intermediate, heads, key-value heads, vocabulary"""
    length: int
    batch: int


SIZES = (
    Size(name="19 M", shape=(6, 384, 1536, 6, 2, 16_000), length=512, batch=4),
    Size(name="63 M", shape=(8, 640, 2560, 10, 2, 24_000), length=512, batch=2),
    Size(name="128 M", shape=(12, 768, 3072, 12, 4, 32_000), length=768, batch=1),
)


def main() -> int:
    """Print the table; 1 where a row is off by more than 15 %."""
    worst = 0.0
    print(f"{'model':>8} {'batch':>10} {'checkpointing':>14} {'estimated':>11} {'measured':>10} {'off by':>8}")
    with TemporaryDirectory() as folder:
        settings = replace(read_settings(), data_dir=Path(folder) / "data")
        for size in SIZES:
            weights = _weights(size, Path(folder), settings)
            for checkpointing in (False, True):
                estimated, measured = _one(size, weights, Path(folder), settings, checkpointing=checkpointing)
                off = estimated / measured - 1
                worst = max(worst, abs(off))
                batch = f"{size.batch} x {size.length}"
                print(
                    f"{size.name:>8} {batch:>10} {'yes' if checkpointing else 'no':>14} "
                    f"{estimated / 1e6:>8.0f} MB {measured / 1e6:>7.0f} MB {off:>+8.1%}"
                )
    print(f"the worst is off by {worst:.1%}, allowed are {ALLOWED:.0%}")
    return int(worst > ALLOWED)


def _weights(size: Size, folder: Path, settings: Settings) -> Path:
    path = folder / size.name.replace(" ", "")
    command = [settings.engine_python, "-c", MAKE, str(path), *map(str, size.shape)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return path


def _one(size: Size, weights: Path, folder: Path, settings: Settings, *, checkpointing: bool) -> tuple[int, int]:
    recipe_file = _recipe(size, weights, folder, checkpointing=checkpointing)
    recipe = load_recipe(recipe_file)
    seen: list[TrainEvent] = []
    train(recipe, settings=settings, on_event=seen.append, cancelled=threading.Event())
    finished = next(event for event in seen if isinstance(event, Finished))
    return estimate(recipe, model_config(recipe, settings), gpu=False).peak, finished.peak_bytes


def _recipe(size: Size, weights: Path, folder: Path, *, checkpointing: bool) -> Path:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in _long_turns(size)), encoding="utf-8")
    recipe = yaml.safe_load((ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8"))
    recipe["run"] = f"{weights.name}-{'with' if checkpointing else 'without'}"
    recipe["model"] = {"folder": str(weights)}
    recipe["data"] = {"dataset": str(rows), "revision": "", "split": "train", "messages": "messages"}
    recipe["training"] |= {
        "steps": 2,
        "batch_size": size.batch,
        "warmup_steps": 0,
        "save_every": 2,
        "max_length": size.length,
        "gradient_checkpointing": checkpointing,
    }
    path = folder / f"{recipe['run']}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def _long_turns(size: Size) -> Iterator[list[dict[str, str]]]:
    """Examples longer than the limit, a token for each character: every one is cut to exactly that."""
    for _ in range(4 * size.batch):
        yield [{"role": "user", "content": "go on"}, {"role": "assistant", "content": "word " * size.length}]


if __name__ == "__main__":
    sys.exit(main())
