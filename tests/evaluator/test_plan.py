"""What moves which key: the promise that nothing is paid for twice and nothing unlike is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evaluator.plan import generation_key, plan_key, problems_hash, protocol_key, requests, seed
from evaluator.types import EvalPlan, Sample, Sampling

PLAN = EvalPlan(
    benchmark="math_500",
    benchmark_version=1,
    model="owner/name",
    commit="a" * 40,
    problems_hash="p",
    chat_template_hash="t",
    prompt_opens_thought=True,
    max_tokens=32_768,
    attempts=4,
    grader_version="1",
)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "owner/other"},
        {"commit": "b" * 40},
        {"problems_hash": "q"},
        {"chat_template_hash": "u"},
        {"system_prompt": "Think."},
        {"max_tokens": 128},
        {"sampling": Sampling(temperature=0.0)},
        {"sampling": Sampling(top_k=20)},
        {"dtype": "float16"},
        {"quantization": "fp8"},
        {"seed_policy": "none"},
        {"run": 1},
    ],
)
def test_whatever_decides_a_completion_moves_the_generation_key(change: dict[str, Any]) -> None:
    changed = replace(PLAN, **change)
    assert generation_key(changed) != generation_key(PLAN)
    assert plan_key(changed) != plan_key(PLAN)


@pytest.mark.parametrize("change", [{"attempts": 64}, {"grader_version": "2"}, {"benchmark_version": 2}, {"limit": 10}])
def test_attempts_grader_and_limit_name_another_result_of_the_same_completions(change: dict[str, Any]) -> None:
    changed = replace(PLAN, **change)
    assert generation_key(changed) == generation_key(PLAN)
    assert plan_key(changed) != plan_key(PLAN)
    assert protocol_key(changed) != protocol_key(PLAN)


def test_models_under_one_protocol_share_its_key() -> None:
    other = replace(PLAN, model="x/y", commit="c" * 40, chat_template_hash="v", prompt_opens_thought=False, run=3)
    assert protocol_key(other) == protocol_key(PLAN)
    assert protocol_key(replace(PLAN, sampling=Sampling(temperature=1.0))) != protocol_key(PLAN)


def test_the_endpoint_is_identity_only_where_the_weights_are_unknown() -> None:
    here, there = replace(PLAN, endpoint="http://a/v1"), replace(PLAN, endpoint="http://b/v1")
    assert generation_key(here) == generation_key(there)
    assert generation_key(replace(here, commit=None)) != generation_key(replace(there, commit=None))


def test_more_attempts_of_prompts_that_differ_by_attempt_keep_the_problems_hash() -> None:
    def documents(attempts: int) -> list[Sample]:
        return [Sample(problem_id="q", prompt=f"order {a}", target="A", attempt=a) for a in range(attempts)]

    assert problems_hash(documents(8)) == problems_hash(documents(64))


def test_a_changed_word_in_a_prompt_or_target_moves_the_problems_hash() -> None:
    sample = Sample(problem_id="q", prompt="How many?", target="3")
    assert problems_hash([sample]) != problems_hash([replace(sample, prompt="How much?")])
    assert problems_hash([sample]) != problems_hash([replace(sample, target="4")])


def test_every_attempt_has_a_seed_of_its_own_that_repeats() -> None:
    seeds = {seed(run, problem, attempt) for run in (0, 1) for problem in ("a", "b") for attempt in range(64)}
    assert len(seeds) == 2 * 2 * 64
    assert seed(0, "a", 0) == seed(0, "a", 0) < 2**31


def test_requests_are_one_per_attempt_with_first_attempts_first() -> None:
    samples = [Sample(problem_id=name, prompt=name, target="1") for name in ("a", "b")]
    made = requests(replace(PLAN, attempts=3), samples)
    assert sorted((r.problem_id, r.attempt) for r in made) == [(n, k) for n in ("a", "b") for k in range(3)]
    assert {r.order for r in made if r.attempt == 0} == {0.0}
    assert {r.seed for r in made} == {seed(0, r.problem_id, r.attempt) for r in made}


def test_a_sample_that_carries_its_attempt_is_asked_once() -> None:
    samples = [Sample(problem_id="q", prompt=f"order {a}", target="A", attempt=a) for a in range(3)]
    assert [(r.attempt, r.prompt) for r in requests(replace(PLAN, attempts=3), samples)] == [
        (0, "order 0"),
        (1, "order 1"),
        (2, "order 2"),
    ]
