"""What decides the rows of a generated dataset, and the name of that: two runs of one key make one dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from backend_jobs.generate.recipe import GenerateRecipe
from evaluator.grading import GRADER_VERSION
from evaluator.plan import digest
from evaluator.types import Checkpoint, Sampling

NOT_DECIDING = {"run", "price", "teacher"}
DECIDING_OUTPUT = "rows_per_shard"


@dataclass(frozen=True, kw_only=True)
class GenerationPlan:
    """A recipe with everything resolved that it names: the weights and the data are pinned."""

    recipe: GenerateRecipe
    checkpoint: Checkpoint
    source_commit: str | None
    prompt_opens_thought: bool = False

    @cached_property
    def key(self) -> str:
        """Hash of all that decides a row: 16 hex digits."""
        deciding = self.recipe.model_dump(mode="json", exclude=NOT_DECIDING)
        deciding["output"] = deciding["output"][DECIDING_OUTPUT]
        return digest(
            {
                "recipe": deciding,
                "model": [self.checkpoint.model, self.checkpoint.commit],
                "source": self.source_commit,
                "grader": GRADER_VERSION if self.recipe.verify.kind in ("math", "letter") else None,
            }
        )

    def shard_key(self, number: int) -> str:
        """The name of a shard in the journal."""
        return f"{self.key}:{number:05d}"

    @property
    def problems_per_shard(self) -> int:
        """How many problems of the source one shard holds, with all their samples."""
        return max(1, self.recipe.output.rows_per_shard // self.recipe.decoding.samples)

    @cached_property
    def sampling(self) -> Sampling:
        """As every request sends it."""
        decoding = self.recipe.decoding
        return Sampling(
            temperature=decoding.temperature, top_p=decoding.top_p, top_k=decoding.top_k, min_p=decoding.min_p
        )
