"""Every reward at its edges: the right answer, an empty one, one too long, one that would hang a careless judge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from math import cos, pi
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend_jobs.rewards.countdown import Countdown, solve, value_of
from backend_jobs.rewards.formats import Format, MiniR1Format, ReasoningSteps, TagCount, ThoughtFormat
from backend_jobs.rewards.graphs import EntityF1, JsonConsistency, JsonStructure, RelationF1
from backend_jobs.rewards.gsm8k import SoftXml, StrictXml, TaggedInteger, TaggedMatch, XmlCount
from backend_jobs.rewards.judging import RewardBlind, check_rewards, scored, verdicts_of
from backend_jobs.rewards.lengths import Cosine, KimiLength, LengthTarget, SoftOverlong
from backend_jobs.rewards.outcomes import Accuracy, BoxedOutcome, TaggedAccuracy
from backend_jobs.rewards.repetition import RepetitionPenalty
from backend_jobs.rewards.table import REWARDS
from backend_jobs.rewards.types import Reward, Rollout
from evaluator.grading_pool import GraderPool
from evaluator.types import Verdict

RIGHT, WRONG, NONE, FAILED = Verdict.CORRECT, Verdict.INCORRECT, Verdict.NO_ANSWER, Verdict.UNGRADED
COSINE: dict[str, Any] = {
    "right_at_once": 1.0,
    "right_at_limit": 0.5,
    "wrong_at_once": -1.0,
    "wrong_at_limit": -0.5,
    "max_tokens": 1000,
}


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as grader:
        yield grader


def said(text: str, *, tokens: int = 5, gold: str | None = None, group: int = 0, **row: Any) -> Rollout:
    return Rollout(text=text, tokens=tokens, gold=gold, group=group, row=row)


def one(reward: Reward, rollout: Rollout, verdict: Verdict = FAILED) -> float | None:
    (value,) = reward.score([rollout], [verdict])
    return value


def test_every_reward_says_where_its_formula_is_from() -> None:
    import importlib

    for reward in REWARDS:
        module = importlib.import_module(reward.__module__)
        told = f"{reward.__doc__} {module.__doc__}"
        assert any(word in told for word in ("Source", "gist")), reward.__name__


# Accuracy


def test_accuracy_is_the_word_of_the_boards_grader(pool: GraderPool) -> None:
    rollouts = [
        said("\\boxed{\\frac{1}{2}}", gold="0.5"),
        said("\\boxed{0.5}", gold="\\frac{1}{2}"),
        said("\\boxed{2}", gold="0.5"),
        said("", gold="0.5"),
    ]
    assert scored([Accuracy(name="accuracy", weight=1.0)], rollouts, pool) == [[1.0, 1.0, 0.0, 0.0]]


def test_a_box_in_a_thought_that_was_cut_off_earns_nothing(pool: GraderPool) -> None:
    cut = Rollout(text="<think>\nso \\boxed{7} and", tokens=9, truncated=True, gold="7")
    assert scored([Accuracy(name="accuracy", weight=1.0)], [cut], pool) == [[0.0]]


def test_a_failure_of_ours_is_none_and_never_zero(pool: GraderPool) -> None:
    accuracy, kimi = Accuracy(name="accuracy", weight=1.0), KimiLength(name="kimi_length", weight=1.0)
    cosine = Cosine(name="cosine", weight=1.0, **COSINE)
    assert verdicts_of([said("\\boxed{7}")], pool) == [FAILED]
    for reward in (
        accuracy,
        kimi,
        cosine,
        BoxedOutcome(name="boxed_outcome", weight=1, right=1, wrong=-0.5, no_box=-1),
    ):
        assert one(reward, said("\\boxed{7}", gold="7"), FAILED) is None
    assert one(TaggedMatch(name="tagged_match", weight=2.0), said("<answer>7</answer>")) is None
    assert one(TaggedAccuracy(name="tagged_accuracy", weight=1.0), said("<answer>7</answer>")) is None
    assert one(EntityF1(name="entity_f1", weight=1.0), said("{}")) is None


def test_a_boxed_outcome_tells_wrong_from_no_box() -> None:
    outcome = BoxedOutcome(name="boxed_outcome", weight=1.0, right=1.0, wrong=-0.5, no_box=-1.0)
    assert one(outcome, said("\\boxed{7}"), RIGHT) == 1.0
    assert one(outcome, said("\\boxed{8}"), WRONG) == -0.5
    assert one(outcome, said("7"), RIGHT) == -1.0
    with pytest.raises(ValidationError, match="no_box <= wrong < right"):
        BoxedOutcome(name="boxed_outcome", weight=1.0, right=-1.0, wrong=-0.5, no_box=0.0)


# Lengths


def test_the_length_target_counts_characters_or_tokens_as_it_is_told() -> None:
    rollout = said("a" * 30, tokens=7)
    assert one(LengthTarget(name="length_target", weight=1.0, target=20, unit="characters"), rollout) == -10
    assert one(LengthTarget(name="length_target", weight=1.0, target=20, unit="tokens"), rollout) == -13


def test_kimis_length_compares_the_answers_of_one_prompt_only() -> None:
    reward = KimiLength(name="kimi_length", weight=1.0)
    rollouts = [said("a", tokens=n, group=g) for n, g in ((10, 0), (20, 0), (30, 0), (500, 1), (500, 1))]
    assert reward.score(rollouts, [RIGHT, RIGHT, WRONG, RIGHT, WRONG]) == [0.5, 0.0, -0.5, 0.0, 0.0]
    assert reward.score(rollouts[:2], [WRONG, WRONG]) == [0.0, -0.5]


@given(tokens=st.integers(0, 5000))
def test_the_cosine_stays_within_its_bounds_beyond_the_limit_too(tokens: int) -> None:
    cosine = Cosine(name="cosine", weight=1.0, **COSINE)
    right, wrong = one(cosine, said("", tokens=tokens), RIGHT), one(cosine, said("", tokens=tokens), WRONG)
    assert right is not None
    assert wrong is not None
    assert 0.5 <= right <= 1.0
    assert -1.0 <= wrong <= -0.5
    if tokens >= 1000:
        assert (right, wrong) == (0.5, -0.5)
    else:
        assert right == pytest.approx(0.5 + 0.5 * 0.5 * (1 + cos(pi * tokens / 1000)))


def test_longer_wrong_answers_are_punished_less_and_the_order_cannot_be_turned_round() -> None:
    cosine = Cosine(name="cosine", weight=1.0, **COSINE)
    wrong = [one(cosine, said("", tokens=n), WRONG) for n in (0, 500, 1000)]
    assert wrong == sorted(wrong, key=lambda value: value or 0)
    with pytest.raises(ValidationError, match="the cosine's bounds must rise"):
        Cosine(name="cosine", weight=1.0, **{**COSINE, "wrong_at_once": 0.0, "wrong_at_limit": -0.5})


def test_the_soft_punishment_of_long_answers_begins_at_the_margin_and_ends_at_minus_one() -> None:
    reward = SoftOverlong(name="soft_overlong", weight=1.0, max_tokens=100, margin_tokens=20)
    assert [one(reward, said("", tokens=n)) for n in (0, 80, 90, 100, 10_000)] == [0, 0, -0.5, -1, -1]
    with pytest.raises(ValidationError, match="expected less than max_tokens"):
        SoftOverlong(name="soft_overlong", weight=1.0, max_tokens=100, margin_tokens=100)


def test_repetition_is_punished_by_the_share_of_ngrams_that_repeat() -> None:
    reward = RepetitionPenalty(name="repetition_penalty", weight=1.0, ngram=2, max_penalty=-1.0)
    assert one(reward, said("a b c d")) == 0
    assert one(reward, said("a b a b a b")) == pytest.approx(-(1 - 2 / 5))
    assert [one(reward, said(text)) for text in ("", "word")] == [0, 0]


# Shapes


def test_the_format_wants_every_tag_on_its_line_and_nothing_around_them() -> None:
    reward = Format(name="format", weight=1.0)
    good = "<think>\nso\n</think>\n<answer>\n7\n</answer>"
    assert one(reward, said(good)) == 1
    for bad in ("", "7", f"{good} and more", f"well, {good}", good.replace("\n7\n", "7")):
        assert one(reward, said(bad)) == 0


def test_the_mini_r1_format_takes_one_thought_and_one_answer() -> None:
    reward = MiniR1Format(name="mini_r1_format", weight=1.0)
    assert one(reward, said("<think>a < b</think>\n<answer>1 + 2</answer>")) == 1
    assert one(reward, said("<think>a<think>b</think>\n<answer>1</answer>")) == 0
    assert one(reward, said("<think>a</think>\n<answer>1</answer><answer>2</answer>")) == 0


def test_tags_are_counted_only_where_they_stand_once() -> None:
    reward = TagCount(name="tag_count", weight=1.0)
    assert one(reward, said("<think>\nso\n</think>\n<answer>\n7\n</answer>")) == 1
    assert one(reward, said("<think>\n<think>\n\n</think>\n")) == 0.25
    assert one(reward, said("")) == 0


def test_reasoning_steps_reach_one_with_three_marks() -> None:
    reward = ReasoningSteps(name="reasoning_steps", weight=1.0)
    assert [one(reward, said(text)) for text in ("", "First, a.", "Step 1: a\n- b\n2. c\n* d")] == [0, 1 / 3, 1]


def test_a_thought_must_be_closed_and_followed_by_something() -> None:
    reward = ThoughtFormat(name="thought_format", weight=1.0)
    assert one(reward, said("<think>a</think>\n{}")) == 1
    for bad in ("<think>a</think>", "<think>a {}", "{}", "<think>a</think>{}<think>"):
        assert one(reward, said(bad)) == 0


# Countdown


def countdown(answer: str, numbers: list[int], target: int, *, attempted: float = 0.1) -> float | None:
    reward = Countdown(name="countdown", weight=1.0, numbers="nums", target="target", attempted=attempted)
    return one(reward, said(answer, nums=numbers, target=target))


def test_the_countdown_rewards_the_target_reached_with_each_number_once() -> None:
    assert countdown("<answer>(1 + 2) / 3</answer>", [1, 2, 3], 1) == 1
    assert countdown("<answer>(1 + 2) / 3 = 1</answer>", [1, 2, 3], 1) == 1
    assert countdown("<answer>1 + 2 + 3</answer>", [1, 2, 3], 1) == 0.1
    assert countdown("<answer>3 - 2</answer>", [1, 2, 3], 1) == 0.1
    assert countdown("(1 + 2) / 3", [1, 2, 3], 1) == 0
    assert countdown("", [1, 2, 3], 1, attempted=0.0) == 0


@pytest.mark.parametrize(
    "hostile",
    [
        "9**9**9",
        "9//2",
        "__import__('os')",
        "1e9",
        "0x10",
        "9" * 50,
        "(" * 150 + "9" + ")" * 150,
        "1_0",
        "9 if 1 else 2",
        "١",
    ],
)
def test_nothing_but_an_equation_is_evaluated(hostile: str) -> None:
    began = time.monotonic()
    assert value_of(hostile, [9, 9, 9]) is None
    assert countdown(f"<answer>{hostile}</answer>", [9, 9, 9], 387_420_489) == 0.1
    assert time.monotonic() - began < 1


def test_division_is_exact_and_by_zero_reaches_nothing() -> None:
    assert value_of("1 / 3 * 3", [1, 3, 3]) == Fraction(1)
    assert value_of("1 / (2 - 2)", [1, 2, 2]) is None


@given(numbers=st.lists(st.integers(1, 99), min_size=2, max_size=3))
def test_a_solution_that_is_found_reaches_its_target(numbers: list[int]) -> None:
    target = numbers[0] + sum(numbers[1:])
    assert value_of(solve(numbers, target), numbers) == target


# GSM8K


def test_the_five_rewards_of_gsm8k() -> None:
    good = "<reasoning>\ntwo\nlines\n</reasoning>\n<answer>\n1,000\n</answer>"
    assert one(TaggedMatch(name="tagged_match", weight=2.0), said(good, gold="1000")) == 1
    assert one(TaggedMatch(name="tagged_match", weight=2.0), said(good, gold="10000")) == 0
    assert one(TaggedInteger(name="tagged_integer", weight=0.5), said("<answer>-7</answer>")) == 1
    assert one(TaggedInteger(name="tagged_integer", weight=0.5), said("<answer>7.5</answer>")) == 0
    assert one(StrictXml(name="strict_xml", weight=0.5), said(good)) == 1
    assert one(StrictXml(name="strict_xml", weight=0.5), said(good.replace("\n</answer>", "</answer>"))) == 0
    assert one(SoftXml(name="soft_xml", weight=0.5), said("<reasoning>a</reasoning> <answer>7</answer>")) == 1
    assert one(XmlCount(name="xml_count", weight=1.0), said(good)) == 0.5
    assert one(XmlCount(name="xml_count", weight=1.0), said(f"{good}abc")) == pytest.approx(0.5 - 0.003)


# Graphs

ADA = '{"id": 0, "text": "Ada", "type": "person"}'
GRAPH = '{"entities": [' + ADA + '], "relations": [{"head": "Ada", "tail": "B", "type": "x"}]}'


def test_json_must_parse_and_have_its_shape() -> None:
    consistency, structure = (
        JsonConsistency(name="json_consistency", weight=0.1),
        JsonStructure(name="json_structure", weight=0.1),
    )
    for text, parses, fits in (
        (f"<think>a</think>\n{GRAPH}", 1, 1),
        (f"<think>a</think>\n```json\n{GRAPH}\n```", 1, 1),
        ("<think>a</think>\n{}", 1, 0),
        (f"<think>a</think>\n{GRAPH} {GRAPH}", 0, 0),
        (f"<think>a</think>\n{GRAPH[:-1]}", 0, 0),
        ("", 0, 0),
    ):
        assert (one(consistency, said(text)), one(structure, said(text))) == (parses, fits)


def test_entities_and_relations_are_scored_by_f1() -> None:
    entities, relations = EntityF1(name="entity_f1", weight=1.0), RelationF1(name="relation_f1", weight=1.0)
    half = '{"entities": [' + ADA.lower() + ', {"id": 1, "text": "C", "type": "x"}], "relations": []}'
    assert one(entities, said(GRAPH, gold=GRAPH)) == 1
    assert one(entities, said(half, gold=GRAPH)) == pytest.approx(2 / 3)
    assert one(relations, said(half, gold=GRAPH)) == 0
    assert one(entities, said("no json", gold=GRAPH)) == 0
    by_id = GRAPH.replace('"head": "Ada"', '"head": 0')
    assert one(relations, said(by_id, gold=GRAPH)) == 1


# Planted answers


def test_a_reward_that_cannot_tell_right_from_wrong_is_refused(pool: GraderPool) -> None:
    reversed_weight = Accuracy(name="accuracy", weight=-1.0)
    with pytest.raises(RewardBlind, match="change its weight"):
        check_rewards([reversed_weight], {}, "7", opened="", pool=pool)
    with pytest.raises(RewardBlind, match="could not judge a planted answer"):
        check_rewards([Accuracy(name="accuracy", weight=1.0)], {}, None, opened="", pool=pool)


def test_a_format_that_the_prompt_makes_impossible_is_refused(pool: GraderPool) -> None:
    with pytest.raises(RewardBlind, match="no answer could ever earn it"):
        check_rewards([StrictXml(name="strict_xml", weight=1.0)], {}, None, opened="<think>\n", pool=pool)
    given = check_rewards([Format(name="format", weight=1.0)], {}, None, opened="<think>\n", pool=pool)
    assert given == {"format": (1.0, 0.0)}
