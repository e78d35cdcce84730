"""The shapes of the models that recipes train: from a folder or the Hub's config.json, else from this table.

The table lets `plan` and the preflight work without a network; the numbers are those of each model's config.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend_jobs.recipe_types import FolderModel, HubModel, Recipe, RunModel, TinyModel
from backend_jobs.recipes import RecipeRejected
from evaluator.checkpoint import read_config
from settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What decides a model's memory and context. `vision` counts parameters beside the language model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocab: int
    context: int
    tied: bool
    attention_bias: bool = True
    head_dim: int = 0
    vision: int = 0

    @property
    def dim(self) -> int:
        """Of one attention head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def layer_parameters(self) -> int:
        """Of one decoder layer of the Llama family: attention, gated MLP, two norms."""
        q, kv = self.heads * self.dim, self.kv_heads * self.dim
        attention = self.hidden * (2 * q + 2 * kv) + ((q + 2 * kv) if self.attention_bias else 0)
        return attention + 3 * self.hidden * self.intermediate + 2 * self.hidden

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * self.layer_parameters + self.hidden + self.vision


def _qwen(layers: int, hidden: int, intermediate: int, heads: int, kv: int, *, context: int, tied: bool) -> ModelConfig:
    return ModelConfig(
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv,
        vocab=151_936 if hidden < 3_584 else 152_064,
        context=context,
        tied=tied,
    )


QWEN_05B = _qwen(24, 896, 4_864, 14, 2, context=32_768, tied=True)
QWEN_15B = _qwen(28, 1_536, 8_960, 12, 2, context=32_768, tied=True)
QWEN_3B = _qwen(36, 2_048, 11_008, 16, 2, context=32_768, tied=True)
QWEN_7B = _qwen(28, 3_584, 18_944, 28, 4, context=32_768, tied=False)
QWEN_32B = _qwen(64, 5_120, 27_648, 40, 8, context=32_768, tied=False)
LLAMA_1B = ModelConfig(
    layers=16,
    hidden=2_048,
    intermediate=8_192,
    heads=32,
    kv_heads=8,
    vocab=128_256,
    context=131_072,
    tied=True,
    attention_bias=False,
)
LLAMA_8B = ModelConfig(
    layers=32,
    hidden=4_096,
    intermediate=14_336,
    heads=32,
    kv_heads=8,
    vocab=128_256,
    context=131_072,
    tied=False,
    attention_bias=False,
)
TINY = ModelConfig(layers=3, hidden=128, intermediate=384, heads=2, kv_heads=1, vocab=261, context=65_536, tied=True)
KNOWN = {
    "Qwen/Qwen2-0.5B-Instruct": QWEN_05B,
    "Qwen/Qwen2.5-0.5B-Instruct": QWEN_05B,
    "Qwen/Qwen2.5-1.5B-Instruct": QWEN_15B,
    "Qwen/Qwen2.5-3B": QWEN_3B,
    "Qwen/Qwen2.5-3B-Instruct": QWEN_3B,
    "Qwen/Qwen2.5-Math-7B": _qwen(28, 3_584, 18_944, 28, 4, context=4_096, tied=False),
    "open-r1/Qwen2.5-Math-7B-RoPE-300k": QWEN_7B,
    "Qwen/Qwen2.5-7B-Instruct": QWEN_7B,
    "Qwen/Qwen2.5-32B-Instruct": QWEN_32B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": _qwen(28, 1_536, 8_960, 12, 2, context=131_072, tied=False),
    "Qwen/Qwen2-VL-2B-Instruct": ModelConfig(
        layers=28,
        hidden=1_536,
        intermediate=8_960,
        heads=12,
        kv_heads=2,
        vocab=151_936,
        context=32_768,
        tied=True,
        vision=665_000_000,
    ),
    "meta-llama/Llama-3.2-1B-Instruct": LLAMA_1B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
}


def model_config(recipe: Recipe, settings: Settings) -> ModelConfig:
    """The shape of the model that a recipe begins with. Reads a local folder where there is one, and fetches nothing.

    Raises:
        RecipeRejected: a checkpoint that the recipe continues from is not there.
        CheckpointRejected: a folder's config.json is missing or malformed.
    """
    model = recipe.model
    if isinstance(model, TinyModel):
        return TINY
    if isinstance(model, HubModel):
        return KNOWN.get(model.repo) or _of_the_hub(model, settings)
    return folder_config(weights_folder(model, settings))


def weights_folder(model: FolderModel | RunModel, settings: Settings) -> Path:
    """The checkpoint folder on this machine that a recipe continues from. Raises RecipeRejected."""
    if isinstance(model, FolderModel):
        folder = Path(model.folder).expanduser()
        if not folder.is_dir():
            raise RecipeRejected(
                f"model.folder {folder} is not a folder; give a checkpoint's, or a Hub id in model.repo"
            )
        return folder
    kept = settings.data_dir.resolve() / "models" / model.run
    folder = kept / f"step-{model.step:09d}"
    if not folder.is_dir():
        steps = sorted(int(path.name.removeprefix("step-")) for path in kept.glob("step-*"))
        there = (
            f"it has kept the steps {', '.join(map(str, steps))}" if steps else "nothing of it is here: train it first"
        )
        raise RecipeRejected(f"model.run {model.run} has no checkpoint of step {model.step}; {there}")
    return folder


def folder_config(folder: Path) -> ModelConfig:
    """The shape that a folder's config.json declares."""
    return config_of(read_config(folder), folder)


def config_of(config: dict[str, object], where: object) -> ModelConfig:
    """The shape in a config.json of the Llama or Qwen family."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config

    def number(name: str, otherwise: int | None = None) -> int:
        value = text.get(name, otherwise)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RecipeRejected(f"{where}: config.json has {name} {value!r}, expected a positive whole number")
        return value

    heads = number("num_attention_heads")
    return ModelConfig(
        layers=number("num_hidden_layers"),
        hidden=number("hidden_size"),
        intermediate=number("intermediate_size"),
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        vocab=number("vocab_size"),
        context=number("max_position_embeddings"),
        tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
        attention_bias="qwen2" in str(config.get("model_type")),
        head_dim=number("head_dim", number("hidden_size") // heads),
    )


def _of_the_hub(model: HubModel, settings: Settings) -> ModelConfig:
    from leaderboard.hub import download_config

    return config_of(download_config(model.repo, model.revision, token=settings.hub_token), model.repo)
