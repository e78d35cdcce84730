"""What the Hub shows: the card of a pushed checkpoint, with its whole lineage, and that of its repository."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import yaml

from backend_jobs.recipe_types import HubData, Recipe
from evaluator.checkpoint import checkpoint_revision
from evaluator.types import Lineage

HUB_PARENT = re.compile(r"(?!local/)([^/@\s]+/[^/@\s]+)@[0-9a-f]{40}")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
METHODS = {"sft": "supervised fine-tuning", "grpo": "GRPO"}
TEXT = """# {run}, step {step:,}

A checkpoint of {method} with TRL: revision `{revision}` of this repository. The branch `{run}-newest` is the newest
checkpoint of the run.

| | |
|---|---|
{rows}

`lineage.json` holds the same for programs, `recipe.json` the whole recipe, whose hash covers everything that decides
the weights.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{repo}", revision="{revision}")
tokenizer = AutoTokenizer.from_pretrained("{repo}", revision="{revision}")
```
"""

INDEX = """---
library_name: transformers
tags:
- trl
- open-r1-leaderboard
---
# Checkpoints of training runs

There are no weights on this branch. Every checkpoint is a branch of its own, `<run>-step-<9 digits>`, with a card that
tells where it comes from; `<run>-newest` is the newest of a run.

```python
from huggingface_hub import list_repo_refs

for branch in list_repo_refs("{repo}").branches:
    print(branch.name, branch.target_commit)
```
"""


def repository_card(repo: str) -> bytes:
    """README.md of the repository's main branch, which holds no checkpoint."""
    return INDEX.format(repo=repo).encode()


def checkpoint_card(recipe: Recipe, lineage: Lineage) -> bytes:
    """README.md of one checkpoint: front matter that the Hub reads, and a table that people read."""
    assert recipe.hub is not None
    facts = {name: value for name, value in asdict(lineage).items() if value is not None}
    rows = "\n".join(f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in facts.items())
    front = yaml.safe_dump(_front(recipe, lineage), sort_keys=False, allow_unicode=True)
    text = TEXT.format(
        run=lineage.run,
        step=lineage.step,
        method=METHODS[recipe.kind],
        revision=checkpoint_revision(lineage),
        repo=recipe.hub.repo,
        rows=rows,
    )
    return f"---\n{front}---\n{text}".encode()


def _front(recipe: Recipe, lineage: Lineage) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["trl", recipe.kind, "open-r1-leaderboard"]}
    parent = HUB_PARENT.fullmatch(lineage.parent or "")
    if parent is not None:
        front |= {"base_model": parent[1], "base_model_relation": "finetune"}
    if isinstance(recipe.data, HubData) and HUB_NAME.fullmatch(recipe.data.dataset):
        front["datasets"] = [recipe.data.dataset]
    return front


def _cell(value: object) -> str:
    return "`" + str(value).replace("|", "\\|").replace("`", "'") + "`"
