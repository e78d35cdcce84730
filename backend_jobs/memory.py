"""What a training run needs of each GPU's memory: an estimate by parts, before anything is loaded. Bytes throughout.

What holds at the peak is the larger of two moments. When the backward pass begins, every layer's activations are there
and the gradients are not; when the optimizer steps, it is the other way round. In GRPO there is a third: while answers
are drawn, their keys and values are there and neither of the two. `benchmarks/memory_estimate.py` compares it with what
real runs took.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend_jobs.known_models import ModelConfig
from backend_jobs.recipe_types import GrpoRecipe, HubModel, Lora, Recipe, SftRecipe

GIB = 1 << 30
FP32, BF16 = 4, 2
SHARES_OPTIMIZER = {"zero2", "zero3", "fsdp"}
SHARES_WEIGHTS = {"zero3", "fsdp"}
HEAD_TOKENS, HEAD_VOCAB = 4_096, 32_768
"""TRL projects onto the vocabulary in tiles of so many tokens and words, and never holds all logits at once."""
CPU_TILES = 8.25
"""Without Triton the tile's gradient is computed beside copies of it: two scaled logits, their logarithm and softmax,
the gradient, and the difference and product that are added to it, in float32; one is of single bytes."""
CPU_KEPT_BYTES = 32 << 20
"""The C library hands larger blocks back when they are freed. Smaller ones it keeps, for whatever is asked for next."""
CPU_STEP_COPIES = 2
"""AdamW on a processor takes one matrix after another, and needs two more of its size."""
GPU_FIXED = 1 * GIB
"""What CUDA, NCCL and the allocator take on each GPU."""
CPU_FIXED = 104 << 20
"""What the trainer's own modules, the examples and the allocator take of a process without a GPU (measured)."""
UNSHARDED_LAYERS = 2
"""With weights shared out, this many whole layers are on a GPU at once: the one that computes, and the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryEstimate:
    """Bytes on each GPU (or in this process, on the CPU). `activations` are of one pass of `batch_size` examples.

    `rollouts` are the keys and values of the answers being drawn, or what vLLM is given beside the trainer. Of the
    gradients of the step before, `freed_gradients` stay with the process although they are freed, and so do tiles of
    logits, `freed_tiles`, while the layers go backward. `fragmented`: activations that are computed again and gradients
    come in turn, and so neither finds room in what the other has left. `step` is what the optimizer needs beside its
    state while it steps.
    """

    weights: int
    reference: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    rollouts: int
    fixed: int
    kept_gradients: int
    freed_gradients: int
    freed_tiles: int
    fragmented: bool
    step: int
    rollouts_stay: bool

    @property
    def peak(self) -> int:
        """The most that is there at one time."""
        always = self.weights + self.reference + self.optimizer + self.fixed
        always += self.rollouts if self.rollouts_stay else 0
        layers = self.kept_gradients + max(self.activations, self.freed_gradients)
        if self.fragmented:
            layers = self.kept_gradients + self.activations + self.freed_gradients
        backward = layers + max(self.logits, self.gradients + self.freed_tiles if self.fragmented else 0)
        drawing = 0 if self.rollouts_stay else max(self.rollouts, self.freed_gradients)
        return always + max(backward, self.gradients + self.step, drawing)


def estimate(recipe: Recipe, model: ModelConfig, *, gpu: bool, world: int | None = None) -> MemoryEstimate:
    """The estimate for one recipe on GPUs, or on a processor without one. `world` is how many processes share."""
    training, world = recipe.training, world or recipe.processes
    sharding = recipe.launch.config if recipe.launch and gpu else "ddp"
    weight_bytes = _weight_bytes(recipe, gpu=gpu)
    trained = trained_parameters(model, recipe.lora)
    shared = world if sharding in SHARES_OPTIMIZER else 1
    weights = model.parameters * weight_bytes
    if sharding in SHARES_WEIGHTS:
        weights = weights // world + UNSHARDED_LAYERS * model.layer_parameters * weight_bytes
    gradients = trained * (FP32 if recipe.lora else weight_bytes) // shared
    rollouts, stay = _rollouts(recipe, model, gpu=gpu)
    keeps = training.accumulate > 1 or sharding in SHARES_OPTIMIZER
    tiles = 0 if gpu else _tiles(recipe, model, gpu=gpu)
    matrices = [FP32 * size for size in trained_matrices(model, recipe.lora)]
    return MemoryEstimate(
        weights=weights,
        reference=_reference(recipe, model, weight_bytes, world, sharding),
        gradients=gradients,
        optimizer=trained * _optimizer_bytes(recipe, weight_bytes, sharding, gpu=gpu) // shared,
        activations=_activations(recipe, model, gpu=gpu),
        logits=_logits(recipe, model, gpu=gpu),
        rollouts=rollouts,
        fixed=GPU_FIXED if gpu else CPU_FIXED,
        kept_gradients=gradients if keeps else 0,
        freed_gradients=0 if gpu or keeps else sum(size for size in matrices if size < CPU_KEPT_BYTES),
        freed_tiles=tiles if tiles < CPU_TILES * CPU_KEPT_BYTES else 0,
        fragmented=training.gradient_checkpointing and not gpu,
        step=0 if gpu else CPU_STEP_COPIES * max(matrices, default=0),
        rollouts_stay=stay,
    )


def trained_parameters(model: ModelConfig, lora: Lora | None) -> int:
    """How many parameters change: all, or those of the adapters."""
    return model.parameters if lora is None else sum(trained_matrices(model, lora))


def trained_matrices(model: ModelConfig, lora: Lora | None) -> list[int]:
    """The parameters of each matrix that changes. Norms and biases, which are small, are left out."""
    q, kv = model.heads * model.dim, model.kv_heads * model.dim
    shapes = {
        "q_proj": (model.hidden, q),
        "k_proj": (model.hidden, kv),
        "v_proj": (model.hidden, kv),
        "o_proj": (q, model.hidden),
        "gate_proj": (model.hidden, model.intermediate),
        "up_proj": (model.hidden, model.intermediate),
        "down_proj": (model.intermediate, model.hidden),
    }
    if lora is None:
        embeddings = [model.vocab * model.hidden] * (1 if model.tied else 2)
        return embeddings + model.layers * [wide * high for wide, high in shapes.values()]
    return model.layers * [lora.rank * side for name in lora.targets if name in shapes for side in shapes[name]]


def tokens_of_a_pass(recipe: Recipe, model: ModelConfig) -> int:
    """Tokens of one forward and backward pass at their longest: what the activations are for."""
    if isinstance(recipe, GrpoRecipe):
        return recipe.training.batch_size * (recipe.rollouts.max_prompt + recipe.rollouts.max_completion)
    return recipe.training.batch_size * (recipe.training.max_length or min(model.context, 2_048))


def _weight_bytes(recipe: Recipe, *, gpu: bool) -> int:
    return BF16 if gpu and isinstance(recipe.model, HubModel) and recipe.model.dtype == "bfloat16" else FP32


def _activation_bytes(recipe: Recipe, *, gpu: bool) -> int:
    return BF16 if gpu and recipe.training.precision == "bfloat16" else FP32


def _optimizer_bytes(recipe: Recipe, weight_bytes: int, sharding: str, *, gpu: bool) -> int:
    """Per trained parameter. Where it is shared out, float32 weights are kept beside; else it has the weights' type."""
    if gpu and recipe.training.optimizer != "adamw":
        return 2 * 1
    if sharding in SHARES_OPTIMIZER:
        return 2 * FP32 + (FP32 if weight_bytes == BF16 else 0)
    return 2 * (FP32 if recipe.lora else weight_bytes)


def _layer_activations(recipe: Recipe, model: ModelConfig, *, gpu: bool) -> int:
    """Bytes per token that one whole layer keeps for its backward pass.

    Two norms (their input in float32, normalized and scaled), queries, keys and values after rotation, the attention's
    output, and four tensors of the MLP's width; liger's fused kernels keep two of those and only the norms' inputs.
    """
    a = _activation_bytes(recipe, gpu=gpu)
    q, kv = model.heads * model.dim, model.kv_heads * model.dim
    fused = recipe.training.liger and gpu
    norms = 2 * model.hidden * (a if fused else FP32 + 2 * a)
    # On the CPU, keys and values are repeated for every query head.
    attention = a * (3 * q + 2 * (kv if gpu else q))
    mlp = a * model.intermediate * (2 if fused else 4)
    return norms + attention + mlp


def _activations(recipe: Recipe, model: ModelConfig, *, gpu: bool) -> int:
    a = _activation_bytes(recipe, gpu=gpu)
    tokens = tokens_of_a_pass(recipe, model)
    whole = _layer_activations(recipe, model, gpu=gpu)
    last = model.hidden * (FP32 + 2 * a)
    if recipe.training.gradient_checkpointing:
        return tokens * (model.layers * model.hidden * a + whole + last)
    return tokens * (model.layers * whole + last)


def _logits(recipe: Recipe, model: ModelConfig, *, gpu: bool) -> int:
    """The tile of logits, the head's gradient in float32 beside its final form, and the hidden states' gradient."""
    tokens = tokens_of_a_pass(recipe, model)
    head = 0 if recipe.lora else model.vocab * model.hidden * (FP32 + _weight_bytes(recipe, gpu=gpu))
    return _tiles(recipe, model, gpu=gpu) + head + tokens * model.hidden * FP32


def _tiles(recipe: Recipe, model: ModelConfig, *, gpu: bool) -> int:
    tokens = min(tokens_of_a_pass(recipe, model), HEAD_TOKENS)
    tile = tokens * min(HEAD_VOCAB, model.vocab) * (_activation_bytes(recipe, gpu=gpu) if gpu else FP32)
    return tile if gpu else round(CPU_TILES * tile)


def _reference(recipe: Recipe, model: ModelConfig, weight_bytes: int, world: int, sharding: str) -> int:
    """A frozen copy of the first weights, where the KL term needs one; adapters are simply switched off instead."""
    if not isinstance(recipe, GrpoRecipe) or recipe.rollouts.beta == 0 or recipe.lora:
        return 0
    return model.parameters * weight_bytes // (world if sharding in SHARES_WEIGHTS else 1)


def _rollouts(recipe: Recipe, model: ModelConfig, *, gpu: bool) -> tuple[int, bool]:
    """(bytes, whether they are there during training too). vLLM beside the trainer sleeps while it trains."""
    if not isinstance(recipe, GrpoRecipe):
        return 0, False
    rollouts = recipe.rollouts
    a = _weight_bytes(recipe, gpu=gpu)
    answers = recipe.training.batch_size * recipe.training.accumulate
    per_token = 2 * model.layers * model.kv_heads * model.dim * a
    if gpu and rollouts.engine == "vllm_server":
        return 0, False
    if gpu and rollouts.engine == "vllm_colocate":
        at_once = answers * (rollouts.max_prompt + rollouts.max_completion) * per_token
        return model.parameters * BF16 + at_once, False
    # Growing one layer's cache holds the old and the new one at once; the last logits are sorted in float32.
    cache = answers * (rollouts.max_prompt + rollouts.max_completion) * per_token
    return cache + cache // model.layers + answers * model.vocab * FP32 * 4, False


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that could be written differently in a recipe, and the peak that it would lead to."""

    what: str
    peak: int
    saves: int


def changes(recipe: Recipe, model: ModelConfig, *, gpu: bool = True) -> list[Change]:
    """What each option of the recipe would save at the peak, the most helpful first; what saves nothing is left out."""
    now = estimate(recipe, model, gpu=gpu).peak
    tried = [(what, estimate(other, smaller, gpu=gpu).peak) for what, other, smaller in _alternatives(recipe, model)]
    found = [Change(what=what, peak=peak, saves=now - peak) for what, peak in tried if peak < now]
    return sorted(found, key=lambda change: -change.saves)


def _alternatives(recipe: Recipe, model: ModelConfig) -> list[tuple[str, Recipe, ModelConfig]]:
    training = recipe.training
    tried: list[tuple[str, Recipe]] = []
    if not training.gradient_checkpointing:
        tried.append(("gradient_checkpointing: true", _with(recipe, gradient_checkpointing=True)))
    if not training.liger:
        tried.append(("liger: true", _with(recipe, liger=True)))
    if training.optimizer == "adamw":
        tried.append(("optimizer: adamw_8bit", _with(recipe, optimizer="adamw_8bit")))
    if training.batch_size > 1 and training.batch_size % 2 == 0:
        half = {"batch_size": training.batch_size // 2, "accumulate": training.accumulate * 2}
        tried.append((f"batch_size: {half['batch_size']}, accumulate: {half['accumulate']}", _with(recipe, **half)))
    if recipe.lora is None:
        lora = Lora(rank=16, alpha=32, dropout=0.0, targets=("q_proj", "k_proj", "v_proj", "o_proj"))
        tried.append(("lora: rank 16 on the attention", recipe.model_copy(update={"lora": lora})))
    if recipe.launch:
        for config in ("zero2", "zero3", "fsdp"):
            if config != recipe.launch.config:
                launch = recipe.launch.model_copy(update={"config": config})
                tried.append((f"launch.config: {config}", recipe.model_copy(update={"launch": launch})))
        more = recipe.launch.model_copy(update={"processes": 2 * recipe.launch.processes})
        tried.append((f"launch.processes: {more.processes}", recipe.model_copy(update={"launch": more})))
    tried += _shorter(recipe)
    return [(what, other, model) for what, other in tried]


def _shorter(recipe: Recipe) -> list[tuple[str, Recipe]]:
    if isinstance(recipe, SftRecipe):
        length = recipe.training.max_length
        return [(f"max_length: {length // 2}", _with(recipe, max_length=length // 2))] if length else []
    rollouts = recipe.rollouts
    half = rollouts.model_copy(update={"max_completion": max(1, rollouts.max_completion // 2)})
    tried: list[tuple[str, Recipe]] = [
        (f"max_completion: {half.max_completion}", recipe.model_copy(update={"rollouts": half}))
    ]
    if rollouts.beta:
        no_reference = rollouts.model_copy(update={"beta": 0.0})
        tried.append(("beta: 0.0 (no reference model)", recipe.model_copy(update={"rollouts": no_reference})))
    if rollouts.engine == "vllm_colocate":
        server = rollouts.model_copy(update={"engine": "vllm_server", "vllm_memory": None, "vllm_url": "http://host"})
        tried.append(("engine: vllm_server (on GPUs of its own)", recipe.model_copy(update={"rollouts": server})))
    return tried


def _with(recipe: Recipe, **values: object) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=values)})
