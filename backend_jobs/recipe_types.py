"""What a recipe file may say. Nothing that decides the weights has a default; a part that is left out is not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from backend_jobs.recipe_files import Count, Part, RunName, Seed, nearest
from backend_jobs.rewards.table import AnyReward
from evaluator.benchmarks import BENCHMARKS

Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class TinyModel(Part):
    """A fresh small model: `tiny` is the demonstration's size, 0.6 M parameters; `tiniest` only shows that a loop runs.

    `family` is the architecture, `qwen2` the demonstration's.
    """

    builder: Literal["tiny", "tiniest"]
    family: Literal["qwen2", "llama", "qwen2_vl"]
    seed: Seed


class HubModel(Part):
    """A model of the Hub. The revision is resolved to a commit when the run begins, and kept for its whole life."""

    repo: Repository
    revision: str
    family: Literal["qwen2", "llama", "qwen2_vl"]
    dtype: Literal["bfloat16", "float32"]
    attention: Literal["sdpa", "flash_attention_2", "eager"]
    chat_template: str | None = None
    """Replaces the model's own, for example one that does not open a thought by itself."""
    eos_token: str | None = None
    """What ends an answer, where a base model's own end is not that of its chat template."""


class FolderModel(Part):
    """A checkpoint folder on this machine."""

    folder: str


class RunModel(Part):
    """A checkpoint that another run has kept here: its parent."""

    run: RunName
    step: Count


class ArithmeticData(Part):
    """Worked chains of digits, none of them from the benchmark (`backend_jobs/training/arithmetic_data.py`)."""

    generator: Literal["arithmetic"]
    seed: Seed
    size: Count


class HubData(Part):
    """A dataset of the Hub or of the folder that `BENCHMARK_MIRROR` names, or a file here. `rows` takes the first ones.

    For SFT, six community datasets and the project's own are known (`backend_jobs/datasets/readers.py`); of any other
    `messages` names the column of {role, content} turns.
    """

    dataset: Annotated[str, Field(min_length=1)]
    revision: str
    config: str | None = None
    split: str
    rows: Count | None = None
    shuffle_seed: Seed | None = None
    """Shuffles before `rows` are taken."""
    messages: str | None = None


class Gold(Part):
    """Where a row's right answer stands. `after` takes what follows the last such mark (`####` of GSM8K)."""

    column: str
    after: str | None = None
    before: str | None = None
    """Ends the answer there (`</answer>`)."""


class Prompt(Part):
    """How a row becomes a prompt. `{column}` stands for the row's value, `{a.b}` for key b of column a.

    Other braces are left as they are.
    """

    system: str | None = None
    user: str
    opens: str = ""
    """What the assistant's answer begins with, already in the prompt."""
    chat: bool
    """Through the model's chat template, or as plain text for a base model."""
    image: str | None = None
    """The column of an image to show before the text."""
    gold: Gold | None = None


class Lora(Part):
    """Train low-rank adapters instead of all weights; checkpoints are merged. `targets` are names of linear layers."""

    rank: Count
    alpha: Count
    dropout: Share
    targets: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class Launch(Part):
    """How many processes, one per GPU, and the file of `recipes/accelerate/` that says how they share the work."""

    processes: Count
    config: Literal["ddp", "zero2", "zero3", "fsdp"]


class Hub(Part):
    """Where on the Hub checkpoints go: each is the revision `<run>-step-<9 digits>` of this model repository."""

    repo: Repository
    private: bool
    """A repository that is not there is made so; one that is there must be so."""


class Training(Part):
    """How to train. `batch_size` counts examples of one process and pass, `accumulate` passes of one optimizer step.

    `warmup_steps` and `save_every` are optimizer steps; `save_every` is also how often a checkpoint reaches the board.
    """

    steps: Count
    batch_size: Count
    accumulate: Count
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    schedule: Literal["constant", "constant_with_warmup", "cosine", "linear", "cosine_with_min_lr"]
    min_learning_rate_share: Share | None = None
    """For `cosine_with_min_lr`: where it ends, as a share of `learning_rate`."""
    warmup_steps: Natural
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    adam_betas: Annotated[tuple[Share, Share], Field(strict=False)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"]
    precision: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    liger: bool
    save_every: Count
    seed: Seed

    @model_validator(mode="after")
    def _schedule_is_whole(self) -> Self:
        wants = self.schedule == "cosine_with_min_lr"
        if wants and self.min_learning_rate_share is None:
            raise ValueError("schedule cosine_with_min_lr needs min_learning_rate_share; write for example 0.1")
        if not wants and self.min_learning_rate_share is not None:
            raise ValueError(f"schedule {self.schedule} has no min_learning_rate_share; leave it out")
        return self


class SftTraining(Training):
    """Supervised fine-tuning. `max_length` in tokens; longer examples are cut there, null cuts none."""

    max_length: Count | None
    packing: bool

    @model_validator(mode="after")
    def _packing_has_a_length(self) -> Self:
        if self.packing and self.max_length is None:
            raise ValueError("packing fills sequences of max_length tokens; give max_length, or write packing: false")
        return self


class Rollouts(Part):
    """How answers are drawn, and how the policy learns from them (GRPO). Lengths in tokens.

    `iterations` optimizer steps learn from each batch of rollouts (mu of the GRPO paper). `max_prompt` drops rows whose
    prompt is longer. With `vllm_colocate`, `vllm_memory` is the share of each GPU that vLLM takes.
    """

    generations: Annotated[int, Field(ge=2)]
    iterations: Count
    max_prompt: Count
    max_completion: Count
    temperature: Annotated[float, Field(gt=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    engine: Literal["transformers", "vllm_colocate", "vllm_server"]
    vllm_memory: Annotated[float, Field(gt=0, lt=1)] | None = None
    vllm_url: str | None = None
    beta: Annotated[float, Field(ge=0)]
    epsilon: Annotated[float, Field(gt=0, lt=1)]
    epsilon_high: Annotated[float, Field(gt=0)] | None = None
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo"]
    scale_rewards: Literal["group", "batch", "none"]
    mask_truncated: bool

    @model_validator(mode="after")
    def _engine_is_whole(self) -> Self:
        if (self.engine == "vllm_colocate") != (self.vllm_memory is not None):
            raise ValueError("vllm_memory belongs to engine vllm_colocate: give both (for example 0.3) or neither")
        if (self.engine == "vllm_server") != (self.vllm_url is not None):
            raise ValueError("vllm_url belongs to engine vllm_server: give both (http://host:8000) or neither")
        return self


def _key_tag(keys: dict[str, str]) -> Callable[[Any], str | None]:
    """Tells the members of a union apart by the first of these keys that stands there."""

    def tag(value: Any) -> str | None:
        for key, name in keys.items():
            if (isinstance(value, dict) and key in value) or (isinstance(value, BaseModel) and hasattr(value, key)):
                return name
        return None

    return tag


MODEL_KEYS = {"builder": "tiny", "repo": "hub", "folder": "folder", "run": "run"}
DATA_KEYS = {"generator": "arithmetic", "dataset": "hub"}
Model = TinyModel | HubModel | FolderModel | RunModel
AnyModel = Annotated[
    Annotated[TinyModel, Tag("tiny")]
    | Annotated[HubModel, Tag("hub")]
    | Annotated[FolderModel, Tag("folder")]
    | Annotated[RunModel, Tag("run")],
    Discriminator(
        _key_tag(MODEL_KEYS),
        custom_error_type="which_model",
        custom_error_message="a model is named by one of: builder, repo, folder, run",
    ),
]
AnyData = Annotated[
    Annotated[ArithmeticData, Tag("arithmetic")] | Annotated[HubData, Tag("hub")],
    Discriminator(
        _key_tag(DATA_KEYS),
        custom_error_type="which_data",
        custom_error_message="data are named by one of: generator, dataset",
    ),
]


class _Recipe(Part):
    kind: str
    run: RunName
    model: AnyModel
    data: AnyData
    benchmarks: Annotated[tuple[str, ...], Field(strict=False)]
    launch: Launch | None = None
    lora: Lora | None = None
    hub: Hub | None = None

    @field_validator("benchmarks")
    @classmethod
    def _known_and_unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BENCHMARKS:
                near = nearest(name, list(BENCHMARKS))
                raise ValueError(f"there is no benchmark {name!r}{near}; use some of: {', '.join(BENCHMARKS)}")
        if len(set(names)) < len(names):
            raise ValueError("a benchmark is named twice; name each once")
        return names

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.launch.processes if self.launch else 1


class SftRecipe(_Recipe):
    """Supervised fine-tuning. Its checkpoints appear on the board as `local/<run>`, one for each `save_every` steps."""

    kind: Literal["sft"]
    training: SftTraining

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps after which a checkpoint is kept: every `save_every`, and the last."""
        return _checkpoint_steps(self.training)


class GrpoRecipe(_Recipe):
    """Group relative policy optimization against `rewards`. Checkpoints as for SFT."""

    kind: Literal["grpo"]
    prompt: Prompt
    rewards: Annotated[tuple[AnyReward, ...], Field(strict=False)]
    rollouts: Rollouts
    training: Training
    samples_every: Count
    """Steps between the completions that are kept for people to read."""

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        batch, generations = self.training.batch_size * self.training.accumulate, self.rollouts.generations
        if batch % generations:
            near = max(generations, round(batch / generations) * generations)
            raise ValueError(
                f"batch_size x accumulate is {self.training.batch_size} x {self.training.accumulate} = {batch}, which "
                f"{generations} generations do not divide: a prompt's answers would be torn apart; write for example "
                f"batch_size: {near}, accumulate: 1, or generations: {_divisor(batch, generations)}"
            )
        return self

    @model_validator(mode="after")
    def _saves_between_generations(self) -> Self:
        if self.training.save_every % self.rollouts.iterations:
            near = max(1, round(self.training.save_every / self.rollouts.iterations)) * self.rollouts.iterations
            raise ValueError(
                f"save_every {self.training.save_every} is no multiple of iterations {self.rollouts.iterations}: a run "
                f"can only be resumed where new answers are drawn; write save_every: {near}"
            )
        return self

    @model_validator(mode="after")
    def _rewards_differ(self) -> Self:
        names = [reward.name for reward in self.rewards]
        if not names:
            raise ValueError("rewards is empty, and nothing can be learned without one; write for example accuracy")
        if len(set(names)) < len(names):
            raise ValueError("a reward is named twice; name each once")
        if any(reward.judged for reward in self.rewards) and self.prompt.gold is None and not self._generated:
            judged = next(reward.name for reward in self.rewards if reward.judged)
            raise ValueError(f"the reward {judged} needs the right answer; write prompt.gold: {{column: ...}}")
        return self

    @property
    def _generated(self) -> bool:
        return isinstance(self.data, ArithmeticData)

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps after which a checkpoint is kept: every `save_every`, and the last."""
        return _checkpoint_steps(self.training)


Recipe = SftRecipe | GrpoRecipe
KINDS: dict[str, type[SftRecipe] | type[GrpoRecipe]] = {"sft": SftRecipe, "grpo": GrpoRecipe}


def _checkpoint_steps(training: Training) -> tuple[int, ...]:
    steps, every = training.steps, training.save_every
    return (*range(every, steps, every), steps)


def _divisor(number: int, near: int) -> int:
    """The divisor of a number, 2 or more, that is nearest to another number."""
    return min((d for d in range(2, number + 1) if number % d == 0), key=lambda d: abs(d - near), default=2)
