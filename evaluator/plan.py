"""What decides a number, and the hashes that name it.

* `generation_key`: everything that decides a completion. The journal and stored attempts use it, so neither more
  attempts nor a better grader pays for a completion twice.
* `plan_key`: generation_key, attempts, grader and benchmark version. Names a result.
* `protocol_key`: the plan without the model. Rows that differ in it are never ranked or averaged together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from evaluator.types import EvalPlan, Request, Sample

KEY_LENGTH = 16
GENERATION_FIELDS = (
    "model",
    "commit",
    "endpoint",
    "problems_hash",
    "chat_template_hash",
    "system_prompt",
    "sampling",
    "max_tokens",
    "seed_policy",
    "dtype",
    "quantization",
    "run",
)
RESULT_FIELDS = ("benchmark", "benchmark_version", "attempts", "grader_version", "limit", "prompt_opens_thought")
MODEL_FIELDS = ("model", "commit", "endpoint", "chat_template_hash", "prompt_opens_thought", "run")


def generation_key(plan: EvalPlan) -> str:
    """Hash of everything that decides a completion: 16 hex digits."""
    fields = _fields(plan, GENERATION_FIELDS)
    if plan.commit is not None:
        # Known weights are the same weights wherever they are served.
        fields["endpoint"] = None
    return digest(fields)


def plan_key(plan: EvalPlan) -> str:
    """Hash of everything that decides a score: 16 hex digits. Names the result."""
    return digest({"generation": generation_key(plan), **_fields(plan, RESULT_FIELDS)})


def protocol_key(plan: EvalPlan) -> str:
    """Hash of the plan without the model and the run number: only equal protocols are comparable."""
    return digest({name: value for name, value in asdict(plan).items() if name not in MODEL_FIELDS})


def problems_hash(samples: Iterable[Sample]) -> str:
    """Hash of (ids, prompts, targets).

    Of samples that exist once per attempt only attempt 0 counts: the others follow from it, and asking for more
    attempts must not change what the first ones are called.
    """
    rows = sorted((s.problem_id, s.prompt, s.target) for s in samples if not s.attempt)
    return digest(rows)


def seed(run: int, problem_id: str, attempt: int) -> int:
    """The sampling seed of one attempt: 31 bits of SHA-256, so that it repeats on any machine."""
    text = f"{run}\0{problem_id}\0{attempt}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") & 0x7FFFFFFF


def requests(plan: EvalPlan, samples: Iterable[Sample]) -> list[Request]:
    """Every attempt of a plan as a request, problem by problem."""
    key = generation_key(plan)
    return [
        Request(
            generation_key=key,
            problem_id=sample.problem_id,
            attempt=attempt,
            prompt=sample.prompt,
            system_prompt=plan.system_prompt,
            seed=seed(plan.run, sample.problem_id, attempt),
            max_tokens=plan.max_tokens,
            sampling=plan.sampling,
        )
        for sample in samples
        for attempt in (range(plan.attempts) if sample.attempt is None else (sample.attempt,))
    ]


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _fields(plan: EvalPlan, names: tuple[str, ...]) -> dict[str, Any]:
    everything = asdict(plan)
    return {name: everything[name] for name in names}
