"""Two plans compared in words: what makes them different protocols, and what names another model.

Read from a to b: "temperature 0.6 vs 0.0", "system prompt added". Every field of a plan has its words in `WORDS`; a
field that is missing there fails a test, so a new field cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from evaluator.benchmarks import benchmark
from evaluator.plan import MODEL_FIELDS
from evaluator.types import EvalPlan, Sampling

QUOTED = 80
"""Characters of a prompt or name that a difference quotes."""
Say = Callable[[Any, Any], str]


def differences(a: EvalPlan, b: EvalPlan) -> list[str]:
    """Everything in which the protocol of b differs from that of a, in words; empty where they may be ranked together.

    Covers exactly the fields of `protocol_key`: the list is empty where and only where those keys are equal.
    """
    return _different(a, b, lambda name: name not in MODEL_FIELDS)


def model_differences(a: EvalPlan, b: EvalPlan) -> list[str]:
    """Everything in which b measured another model than a, or the same one again: weights, template, endpoint, run."""
    return _different(a, b, lambda name: name in MODEL_FIELDS)


def standard_plan(plan: EvalPlan, *, grader_version: str | None = None) -> EvalPlan:
    """The plan that measures the same model under its benchmark's standard protocol.

    `grader_version` is the current grader's; None keeps the plan's own. Prompts and targets are the plan's own too:
    which ones are current follows from the benchmark's version. Everything else is a plan's default.
    """
    protocol = benchmark(plan.benchmark)
    return EvalPlan(
        benchmark=protocol.name,
        benchmark_version=protocol.version,
        max_tokens=protocol.max_tokens,
        attempts=protocol.attempts,
        grader_version=grader_version or plan.grader_version,
        problems_hash=plan.problems_hash,
        model=plan.model,
        commit=plan.commit,
        chat_template_hash=plan.chat_template_hash,
        prompt_opens_thought=plan.prompt_opens_thought,
        endpoint=plan.endpoint,
        run=plan.run,
    )


def _different(a: EvalPlan, b: EvalPlan, wanted: Callable[[str], bool]) -> list[str]:
    return [
        line
        for field in fields(EvalPlan)
        if wanted(field.name)
        for line in _lines(field.name, getattr(a, field.name), getattr(b, field.name))
    ]


def _lines(name: str, a: Any, b: Any) -> list[str]:
    if a == b:
        return []
    if name == "sampling":
        return [
            f"{field.name.replace('_', ' ')} {getattr(a, field.name)} vs {getattr(b, field.name)}"
            for field in fields(Sampling)
            if getattr(a, field.name) != getattr(b, field.name)
        ]
    return [WORDS[name](a, b)]


def _versus(name: str, unset: str = "unknown") -> Say:
    return lambda a, b: f"{name} {_value(a, unset)} vs {_value(b, unset)}"


def _value(value: Any, unset: str) -> str:
    if value is None:
        return unset
    return f"{value:,}" if isinstance(value, int) else _short(str(value))


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= QUOTED else f"{one_line[: QUOTED - 1]}…"


def _hashes(other: str, unknown: str) -> Say:
    return lambda a, b: f"{unknown} on one side" if a is None or b is None else f"{other} ({a} vs {b})"


def _system_prompt(a: str | None, b: str | None) -> str:
    if a is None:
        return f'system prompt added: "{_short(b or "")}"'
    if b is None:
        return f'system prompt removed: "{_short(a)}"'
    if _short(a) == _short(b):
        return (
            f'system prompts that differ after "{_short(a)}"' if len(a) > QUOTED else "system prompts spaced otherwise"
        )
    return f'system prompt "{_short(a)}" vs "{_short(b)}"'


def _tokens(a: int, b: int) -> str:
    return f"answer budget {a:,} vs {b:,} tokens"


def _limit(a: int | None, b: int | None) -> str:
    return f"{_some_problems(a)} vs {_some_problems(b)}"


def _some_problems(limit: int | None) -> str:
    return "all problems" if limit is None else f"{limit:,} problems only"


def _opens_thought(a: bool, b: bool) -> str:
    del b
    return "prompt opens a thought vs does not" if a else "prompt does not open a thought vs opens one"


WORDS: Mapping[str, Say] = {
    "benchmark": _versus("benchmark"),
    "benchmark_version": _versus("benchmark version"),
    "model": _versus("model"),
    "commit": _versus("commit of the weights"),
    "problems_hash": _hashes("other problems, wording or targets", "problems unknown"),
    "chat_template_hash": _hashes("other chat template", "chat template unknown"),
    "prompt_opens_thought": _opens_thought,
    "max_tokens": _tokens,
    "attempts": _versus("attempts"),
    "grader_version": _versus("grader"),
    "sampling": lambda a, b: "; ".join(_lines("sampling", a, b)),
    "system_prompt": _system_prompt,
    "seed_policy": _versus("seeds"),
    "dtype": _versus("number format"),
    "quantization": _versus("quantization", "none"),
    "run": _versus("run"),
    "limit": _limit,
    "endpoint": _versus("endpoint", "an engine of ours"),
}
