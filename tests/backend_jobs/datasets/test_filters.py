from __future__ import annotations

import random

import pytest

from backend_jobs.datasets.decontaminate import Decontaminator
from backend_jobs.datasets.filters import REASONS, Sample, drop_samples
from backend_jobs.datasets.language import foreign_language
from backend_jobs.datasets.licenses import combined, warnings
from backend_jobs.datasets.repetition import repeated_share
from backend_jobs.datasets.types import Dropped
from backend_jobs.generate.recipe import Filters
from evaluator.arithmetic import benchmark_chains

CLEAN = Decontaminator({}, expressions=True)
PROSE = (
    "We are given that the sum of the digits is twelve, so the first digit is at most nine. Let us write the number "
    "as ten times the first digit and the second digit. Then the second is twelve less the first, and there are "
    "exactly seven such numbers, from thirty-nine up to ninety-three, which we can count one by one to be sure of it."
)


def sample(attempt: int = 0, **fields: object) -> Sample:
    values: dict[str, object] = {
        "attempt": attempt,
        "reasoning": f"{PROSE} {attempt}",
        "answer": "It is 7.",
        "finish_reason": "stop",
        "n_tokens": 100,
        "verified": True,
    }
    return Sample(**(values | fields))  # type: ignore[arg-type]


def reasons(samples: list[Sample], **filters: object) -> list[str | None]:
    dropped = drop_samples(samples, Filters.model_validate(filters), CLEAN)
    return [None if each is None else each.reason for each in dropped]


WRONG = {"verified": False, "checked": Dropped(reason="wrong", detail="8 instead of 7")}


@pytest.mark.parametrize(
    ("fields", "filters", "reason"),
    [
        ({}, {"verified": True, "thought": True, "complete": True, "repetition": 0.3, "languages": ["en"]}, None),
        (WRONG, {"verified": True}, "wrong"),
        (WRONG, {}, None),
        ({"verified": None, "checked": Dropped(reason="unverified")}, {"verified": True}, "unverified"),
        ({"failure": Dropped(reason="refused")}, {}, "refused"),
        ({"finish_reason": "length"}, {"complete": True}, "truncated"),
        ({"reasoning": None}, {"thought": True}, "no_thought"),
        ({"answer": ""}, {"thought": True}, "no_thought"),
        ({"n_tokens": 99}, {"tokens": {"least": 100}}, "too_short"),
        ({"n_tokens": 100}, {"tokens": {"least": 100, "most": 100}}, None),
        ({"n_tokens": 101}, {"tokens": {"most": 100}}, "too_long"),
        ({"reasoning": "Wait, no. " * 200}, {"repetition": 0.3}, "repetition"),
        ({"reasoning": "我们需要计算这个数字的总和,然后除以二。" * 3}, {"languages": ["en"]}, "language"),
        ({"answer": benchmark_chains()[0].expression}, {}, "contaminated"),
    ],
)
def test_each_fault_has_its_reason(fields: dict[str, object], filters: dict[str, object], reason: str | None) -> None:
    assert reasons([sample(**fields)], **filters) == [reason]  # type: ignore[arg-type]


def test_the_pass_rate_lies_strictly_between_its_bounds() -> None:
    half = [sample(0), sample(1, **WRONG)]
    bounds = {"above": 0.1, "below": 0.6}
    assert reasons(half, pass_rate=bounds) == [None, None]
    assert reasons([sample(0), sample(1)], pass_rate=bounds) == ["pass_rate", "pass_rate"]
    assert reasons([sample(0, **WRONG)], pass_rate=bounds) == ["pass_rate"]
    assert reasons(half, pass_rate={"above": 0.5, "below": 0.6}) == ["pass_rate", "pass_rate"]


def test_an_answer_that_could_not_be_checked_is_no_part_of_the_pass_rate() -> None:
    unknown = sample(2, verified=None, checked=Dropped(reason="unverified"))
    assert reasons([sample(0), sample(1, **WRONG), unknown], pass_rate={"above": 0.4, "below": 0.6}) == [None] * 3
    assert reasons([unknown], pass_rate={"above": 0.4, "below": 0.6}) == [None]


def test_an_answer_that_comes_twice_is_kept_once() -> None:
    twice = [sample(0), sample(1, reasoning=f"{PROSE} 0")]
    assert reasons(twice, duplicates=True) == [None, "duplicate_answer"]
    assert reasons(twice) == [None, None]
    wrong_twice = [sample(0, **WRONG), sample(1, reasoning=f"{PROSE} 0", **WRONG)]
    assert reasons(wrong_twice, duplicates=True, verified=True) == ["wrong", "wrong"]


def test_the_shortest_answers_of_a_problem_are_kept() -> None:
    three = [sample(0, n_tokens=300), sample(1, n_tokens=100), sample(2, n_tokens=200)]
    assert reasons(three, per_problem=2) == ["surplus", None, None]


def test_every_reason_is_explained() -> None:
    used = {
        "truncated",
        "no_thought",
        "too_short",
        "too_long",
        "repetition",
        "language",
        "duplicate_answer",
        "pass_rate",
    }
    assert used <= set(REASONS)


def test_a_loop_is_found_wherever_it_starts_and_prose_is_none() -> None:
    assert repeated_share(PROSE) == 0
    assert repeated_share(PROSE + " So it is 7. But wait, let me check again." * 40) > 0.7
    assert repeated_share((PROSE + "\n") * 5) > 0.7
    draw = random.Random(0)
    digits = " ".join(str(draw.randrange(1000)) for _ in range(400))
    assert repeated_share(digits) < 0.05


def test_a_short_refrain_is_no_loop() -> None:
    assert repeated_share("3; +5=8; -2=6") == 0
    assert repeated_share(f"{PROSE} Yes. Yes. Yes.") < 0.1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (PROSE, None),
        ("3; +5=8; -2=6", None),
        ("\\frac{a}{b} + \\sqrt{x^2 + y^2} = \\boxed{5}", None),
        ("Сначала сложим числа, затем разделим сумму на два и получим ответ.", "ru"),
        ("まず、二つの数を足してから、それを二で割ります。", "ja"),
        (
            "Wir wissen, dass die Summe der Zahlen zwölf ist, und wenn wir sie mit zwei teilen, dann ist das nicht "
            "ganz einfach, aber es geht auf und wir können den Rest im Kopf rechnen.",
            "de",
        ),
        ("First we add the numbers of the list. 然后我们将总和除以二得到最终的答案, and so it is six.", "zh"),
    ],
)
def test_languages_are_told_apart_without_their_formulas(text: str, language: str | None) -> None:
    assert foreign_language(text, ("en",)) == language


def test_restricted_licences_warn_and_free_ones_do_not() -> None:
    assert warnings({"apache-2.0": 5, "mit": 1}) == []
    warned = " ".join(warnings({"apache-2.0": 5, "cc-by-nc-sa-4.0": 3, "llama3.3": 2}))
    assert "3 rows are under cc-by-nc-sa-4.0: no commercial use" in warned
    assert "2 rows are under llama3.3, a model licence" in warned
    assert "bound by all of: apache-2.0, cc-by-nc-sa-4.0, llama3.3" in warned
    assert "cannot both have their way" in warned
    assert "ask their makers" in warnings({"unknown": 1})[0]
    assert "not known here" in warnings({"my-own": 1})[0]
    assert (combined({"mit": 3}), combined({"mit": 3, "llama3.3": 1}), combined({"unknown": 1})) == (
        "mit",
        "other",
        "other",
    )
