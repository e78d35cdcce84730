"""Rows of a dataset as prompts for GRPO, with what the rewards need of each row beside them."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

from datasets import Dataset
from PIL import Image

from backend_jobs.prompting import filled, gold_of, opened_answer, value_at
from backend_jobs.recipe_types import GrpoRecipe

THOUGHT_OPENED = re.compile(r"<think>\s*\Z")


def prompt_rows(
    rows: Dataset, recipe: GrpoRecipe, tokenizer: Any, *, images: bool, say: Callable[[str], None]
) -> Dataset:
    """One row per prompt: prompt, opened (what it writes of the answer), gold, row (as JSON), group, and the image.

    Rows whose prompt is longer than `max_prompt` tokens are left out, and how many is said.
    """
    prompt = recipe.prompt
    kept = {column for reward in recipe.rewards for column in reward.columns}
    # Sorted: the order of columns must not differ between two processes.
    wanted = sorted(kept)
    made: list[dict[str, Any]] = []
    too_long = 0
    for number, row in enumerate(rows):
        messages = _messages(recipe, row)
        text = _rendered(messages, tokenizer, recipe)
        if _length(text, tokenizer) > recipe.rollouts.max_prompt:
            too_long += 1
            continue
        opened = THOUGHT_OPENED.search(text)
        made.append(
            {
                "prompt": messages if images else text,
                "opened": opened_answer(prompt.opens) or (opened.group() if opened else ""),
                "gold": gold_of(row, prompt.gold),
                "row": json.dumps({column: value_at(row, column) for column in wanted}, default=str),
                "group": number,
                **({"image": _image(row[prompt.image])} if prompt.image else {}),
            }
        )
    if too_long:
        limit = recipe.rollouts.max_prompt
        say(f"{too_long:,} of {len(rows):,} rows have a prompt of more than {limit} tokens: left out")
    wanted_prompts = _prompts_of_a_step(recipe)
    if len(made) < wanted_prompts:
        raise SystemExit(
            f"one step asks {wanted_prompts} prompts, {len(made)} of {len(rows)} rows are short enough for max_prompt "
            f"{recipe.rollouts.max_prompt}; take more data, smaller batches or a larger max_prompt"
        )
    return Dataset.from_list(made)


def _prompts_of_a_step(recipe: GrpoRecipe) -> int:
    answers = recipe.training.batch_size * recipe.training.accumulate * int(os.environ.get("WORLD_SIZE", "1"))
    return answers // recipe.rollouts.generations


def _image(stored: dict[str, str]) -> Any:
    """An image from its bytes as they were written for this process."""
    return Image.open(BytesIO(base64.b64decode(stored["base64"]))).convert("RGB")


def _messages(recipe: GrpoRecipe, row: dict[str, Any]) -> list[dict[str, str]]:
    system = [{"role": "system", "content": recipe.prompt.system}] if recipe.prompt.system else []
    return [*system, {"role": "user", "content": filled(recipe.prompt.user, row)}]


def _rendered(messages: list[dict[str, str]], tokenizer: Any, recipe: GrpoRecipe) -> str:
    """The prompt as text. The tokenizer adds its own begin-of-text token again, so the template's is taken off."""
    if not recipe.prompt.chat:
        return messages[-1]["content"] + recipe.prompt.opens
    text = (
        str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)) + recipe.prompt.opens
    )
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    if inner.bos_token and inner("a")["input_ids"][:1] == [inner.bos_token_id]:
        text = text.removeprefix(inner.bos_token)
    return text


def _length(text: str, tokenizer: Any) -> int:
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    return len(inner(text)["input_ids"])
