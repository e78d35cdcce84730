"""A small recipe to vary, and a fake teacher that solves sums."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

from backend_jobs.generate.job import Generated, generate
from backend_jobs.generate.recipe import GenerateRecipe
from leaderboard.datasets import GenerationProgress
from settings import Settings

SUM = re.compile(r"What is (\d+) \+ (\d+)\?")


def teacher(prompt: str, seed: int) -> str:
    """Adds right three times in four, by the seed."""
    found = SUM.search(prompt)
    total = int(found[1]) + int(found[2]) if found else 0
    answer = total if seed % 4 else total + 1
    return f"<think>\nI add the two numbers. Seed {seed}.\n</think>\n\nThe sum is \\boxed{{{answer}}}."


def write_problems(path: Path, count: int) -> Path:
    rows = (
        {"problem": f"What is {n} + {n % 7}?", "answer": str(n + n % 7), "from": f"set {n % 2}"} for n in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(dataset: Path, endpoint: str, **parts: Any) -> GenerateRecipe:
    """A whole recipe; keyword arguments replace parts, or keys of parts where both are mappings."""
    data: dict[str, Any] = {
        "kind": "generate",
        "run": "sums",
        "prompts": {
            "dataset": str(dataset),
            "problem": "problem",
            "answer": "answer",
            "source": "from",
            "license": "mit",
            "template": "{problem}",
        },
        "teacher": {"name": "fake", "endpoint": endpoint},
        "decoding": {"samples": 2, "temperature": 0.6, "top_p": 0.95, "max_tokens": 100, "seed": 0},
        "verify": {"kind": "math"},
        "filters": {"verified": True, "thought": True, "complete": True},
        "output": {"rows_per_shard": 40},
    }
    for name, part in parts.items():
        data[name] = data[name] | part if isinstance(part, dict) and isinstance(data.get(name), dict) else part
    return GenerateRecipe.model_validate(data)


def run(
    recipe: GenerateRecipe,
    data_dir: Path,
    *,
    concurrency: int = 16,
    seen: list[GenerationProgress] | None = None,
    **settings: Any,
) -> Generated:
    """Generate here and now."""
    return generate(
        recipe,
        Settings(data_dir=data_dir, **settings),
        on_progress=(seen if seen is not None else []).append,
        cancelled=threading.Event(),
        concurrency=concurrency,
    )
