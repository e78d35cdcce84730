"""A name for this code: a hash over every file that decides what is learned. Standard library only."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DECIDING = ("backend_jobs/training", "backend_jobs/rewards", "evaluator")


@cache
def sources_hash() -> str:
    """`sources ` and 12 hex digits: the content of the training code, the rewards and the grader."""
    whole = hashlib.sha256()
    for folder in DECIDING:
        for path in sorted((ROOT / folder).rglob("*.py")):
            whole.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return f"sources {whole.hexdigest()[:12]}"
