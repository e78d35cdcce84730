"""Two plans compared in words, complete over every field of a plan."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.differences import QUOTED, WORDS, differences, model_differences, standard_plan
from evaluator.plan import MODEL_FIELDS, plan_key, protocol_key
from evaluator.types import EvalPlan, Sampling

PLAN = EvalPlan(
    benchmark="math_500",
    benchmark_version=1,
    model="owner/model",
    commit="a" * 40,
    problems_hash="1" * 16,
    chat_template_hash="2" * 16,
    prompt_opens_thought=True,
    max_tokens=32_768,
    attempts=4,
    grader_version="1+math-verify-0.5.2",
)
OTHER: dict[str, tuple[Any, str]] = {
    "benchmark": ("aime_2024", "benchmark math_500 vs aime_2024"),
    "benchmark_version": (2, "benchmark version 1 vs 2"),
    "model": ("other/model", "model owner/model vs other/model"),
    "commit": (None, f"commit of the weights {'a' * 40} vs unknown"),
    "problems_hash": ("3" * 16, f"other problems, wording or targets ({'1' * 16} vs {'3' * 16})"),
    "chat_template_hash": ("4" * 16, f"other chat template ({'2' * 16} vs {'4' * 16})"),
    "prompt_opens_thought": (False, "prompt opens a thought vs does not"),
    "max_tokens": (128, "answer budget 32,768 vs 128 tokens"),
    "attempts": (64, "attempts 4 vs 64"),
    "grader_version": ("2+math-verify-0.9.0", "grader 1+math-verify-0.5.2 vs 2+math-verify-0.9.0"),
    "sampling": (Sampling(temperature=0.0), "temperature 0.6 vs 0.0"),
    "system_prompt": ("Think twice.", 'system prompt added: "Think twice."'),
    "seed_policy": ("one seed", "seeds sha256(run, problem, attempt) vs one seed"),
    "dtype": ("float16", "number format bfloat16 vs float16"),
    "quantization": ("awq", "quantization none vs awq"),
    "run": (1, "run 0 vs 1"),
    "limit": (10, "all problems vs 10 problems only"),
    "endpoint": ("http://host/v1", "endpoint an engine of ours vs http://host/v1"),
}


def test_no_field_of_a_plan_is_without_words() -> None:
    names = [field.name for field in fields(EvalPlan)]
    assert sorted(WORDS) == sorted(names) == sorted(OTHER)


@pytest.mark.parametrize("name", [field.name for field in fields(EvalPlan)])
def test_every_field_is_said_once_and_on_its_own_side(name: str) -> None:
    value, words = OTHER[name]
    other = replace(PLAN, **{name: value})
    said, unsaid = model_differences, differences
    if name not in MODEL_FIELDS:
        said, unsaid = differences, model_differences
    assert said(PLAN, other) == [words]
    assert unsaid(PLAN, other) == []
    assert len(said(other, PLAN)) == 1


@pytest.mark.parametrize("name", [field.name for field in fields(Sampling)])
def test_every_sampling_parameter_is_said_by_its_name(name: str) -> None:
    other = replace(PLAN, sampling=replace(Sampling(), **{name: 7}))
    (line,) = differences(PLAN, other)
    assert line == f"{name.replace('_', ' ')} {getattr(Sampling(), name)} vs 7"


CHANGES = st.fixed_dictionaries({}, optional={name: st.just(value) for name, (value, _) in OTHER.items()})


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_nothing_differs_in_words_where_and_only_where_the_protocols_are_equal(changes: dict[str, Any]) -> None:
    other = replace(PLAN, **changes)
    assert (differences(PLAN, other) == []) == (protocol_key(PLAN) == protocol_key(other))
    assert len(differences(PLAN, other)) + len(model_differences(PLAN, other)) == len(changes)


def test_a_plan_differs_from_itself_in_nothing() -> None:
    assert differences(PLAN, PLAN) == model_differences(PLAN, PLAN) == []


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("Be brief.", None, 'system prompt removed: "Be brief."'),
        ("Be brief.", "Be long.", 'system prompt "Be brief." vs "Be long."'),
        ("Be  brief.", "Be brief.", "system prompts spaced otherwise"),
    ],
)
def test_system_prompts_are_quoted(a: str | None, b: str | None, words: str) -> None:
    assert differences(replace(PLAN, system_prompt=a), replace(PLAN, system_prompt=b)) == [words]


def test_long_system_prompts_are_cut_and_still_told_apart() -> None:
    long = "word " * 100
    (line,) = differences(replace(PLAN, system_prompt=long), replace(PLAN, system_prompt=long + "end"))
    assert line.startswith('system prompts that differ after "word')
    assert len(line) < QUOTED + 50


def test_a_plan_that_follows_the_protocol_equals_the_standard_one() -> None:
    assert standard_plan(PLAN) == PLAN
    assert plan_key(standard_plan(replace(PLAN, attempts=1, system_prompt="Hi", limit=5))) == plan_key(PLAN)


def test_an_old_grader_differs_from_the_standard() -> None:
    assert differences(standard_plan(PLAN, grader_version="2"), PLAN) == ["grader 2 vs 1+math-verify-0.5.2"]
