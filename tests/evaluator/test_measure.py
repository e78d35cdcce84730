"""What becomes a measurement, what is refused, and who votes with whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.errors import IncompleteMeasurement
from evaluator.measure import measure, report, running
from evaluator.plan import generation_key, plan_key, protocol_key
from evaluator.types import (
    Completion,
    EngineFacts,
    EvalPlan,
    Measurement,
    Refusal,
    Sample,
    Score,
    UngradedReason,
    Verdict,
)

PLAN = EvalPlan(
    benchmark="math_500",
    benchmark_version=1,
    model="owner/model",
    commit="a" * 40,
    problems_hash="p",
    chat_template_hash=None,
    prompt_opens_thought=False,
    max_tokens=32_768,
    attempts=4,
    grader_version="1",
)
SAMPLES = tuple(Sample(problem_id=f"p{n}", prompt=f"Problem {n}", target=str(n)) for n in range(3))
ENGINE = EngineFacts(engine="vLLM", version="0.31.0")
RIGHT, WRONG, SILENT = Verdict.CORRECT, Verdict.INCORRECT, Verdict.NO_ANSWER


def same_text(a: str, b: str) -> bool:
    return a == b


def same_number(a: str, b: str) -> bool:
    return float(a) == float(b)


def never_asked(a: str, b: str) -> bool:
    raise AssertionError(f"{a!r} and {b!r} were compared although it cannot change anything")


def completion(problem_id: str, attempt: int, tokens: int | None = 10) -> Completion:
    return Completion(problem_id=problem_id, attempt=attempt, seed=attempt, text="text", completion_tokens=tokens)


def score(problem_id: str, attempt: int, verdict: Verdict = RIGHT, answer: str | None = "1", **more: object) -> Score:
    return Score(problem_id=problem_id, attempt=attempt, verdict=verdict, answer=answer, truncated=False, **more)  # type: ignore[arg-type]


def keys(plan: EvalPlan = PLAN, samples: Sequence[Sample] = SAMPLES) -> list[tuple[str, int]]:
    return [(problem, a) for problem in dict.fromkeys(s.problem_id for s in samples) for a in range(plan.attempts)]


def measured(
    scores: Sequence[Score], *, plan: EvalPlan = PLAN, samples: Sequence[Sample] = SAMPLES, equal: object = same_text
) -> Measurement:
    return measure(
        plan,
        samples=samples,
        completions=[completion(*key) for key in keys(plan, samples)],
        refusals=(),
        scores=scores,
        engine=ENGINE,
        wall_seconds=12.5,
        equal=equal,  # type: ignore[arg-type]
    )


def answers(*given: str | None, target: str = "7", equal: object = same_text) -> Measurement:
    """One problem, one attempt per given answer; those that read like the target are right."""
    scores = [
        score("p", n, SILENT if text is None else RIGHT if text.strip() == target else WRONG, text)
        for n, text in enumerate(given)
    ]
    plan = replace(PLAN, attempts=len(given))
    return measured(scores, plan=plan, samples=[Sample(problem_id="p", prompt="?", target=target)], equal=equal)


def test_whole_run_becomes_a_measurement_with_every_count() -> None:
    scores = [score(problem, a, RIGHT if a < 2 else SILENT, "1" if a < 2 else None) for problem, a in keys()]
    scores[0] = replace(scores[0], truncated=True, answered_in_thought=True)
    scores[1] = replace(scores[1], truncated=None)
    m = measured(scores)
    assert m.statistics.score == 50
    assert m.problems == 3
    assert m.verdicts == {"correct": 6, "incorrect": 0, "no_answer": 6, "ungraded": 0}
    assert (m.truncated, m.truncation_unknown, m.answered_in_thought) == (1, 1, 1)
    assert (m.mean_completion_tokens, m.completion_tokens) == (10, 120)
    assert (m.engine, m.wall_seconds, m.samples) == (ENGINE, 12.5, SAMPLES)


def test_attempts_come_problem_by_problem_whatever_order_they_arrived_in() -> None:
    scores = [score(problem, a) for problem, a in reversed(keys())]
    m = measured(scores)
    assert [(s.problem_id, s.attempt) for s in m.scores] == keys()
    assert [(c.problem_id, c.attempt) for c in m.completions] == keys()


def test_attempts_beyond_the_plan_are_left_out() -> None:
    extra = [score("p0", 4, WRONG), score("elsewhere", 0, WRONG)]
    assert measured([score(*key) for key in keys()] + extra).statistics.score == 100


def test_mean_tokens_are_unknown_where_one_count_is() -> None:
    completions = [completion(*key, tokens=None if key == ("p1", 2) else 10) for key in keys()]
    m = measure(
        PLAN,
        samples=SAMPLES,
        completions=completions,
        refusals=(),
        scores=[score(*key) for key in keys()],
        engine=ENGINE,
        wall_seconds=1,
        equal=same_text,
    )
    assert m.mean_completion_tokens is None
    assert m.completion_tokens == 110


# What is refused


def test_one_missing_attempt_means_no_score() -> None:
    with pytest.raises(IncompleteMeasurement, match=r"1 of 12 attempts is ungraded \(not_graded 1\)"):
        measured([score(*key) for key in keys()][:-1])


def test_every_way_of_being_incomplete_is_counted_by_its_reason() -> None:
    timed_out = {"verdict": Verdict.UNGRADED, "answer": None, "reason": UngradedReason.TIMED_OUT}
    scores = [score(*key, **(timed_out if key[1] == 0 else {})) for key in keys()]  # type: ignore[arg-type]
    refusal = Refusal(problem_id="p2", attempt=2, code="refused_400", reason="prompt too long.")
    with pytest.raises(IncompleteMeasurement) as caught:
        measure(
            PLAN,
            samples=SAMPLES,
            completions=[completion(*key) for key in keys() if key not in (("p2", 2), ("p2", 3))],
            refusals=[refusal],
            scores=[s for s in scores if (s.problem_id, s.attempt) not in (("p2", 2), ("p2", 3), ("p1", 1))],
            engine=ENGINE,
            wall_seconds=1,
            equal=same_text,
        )
    message = str(caught.value)
    assert "6 of 12 attempts are ungraded (not_answered 1, not_graded 1, refused_400 1, timed_out 3)" in message
    assert "math_500" in message
    assert "attempt 0 of problem p0" in message
    assert "run it again" in message


def test_the_message_carries_the_first_reason_in_the_words_of_whoever_refused() -> None:
    with pytest.raises(IncompleteMeasurement, match=r"attempt 0 of problem p0: prompt too long\. The"):
        measure(
            PLAN,
            samples=SAMPLES,
            completions=[completion(*key) for key in keys()[1:]],
            refusals=[Refusal(problem_id="p0", attempt=0, code="refused_400", reason="prompt too long.")],
            scores=[score(*key) for key in keys()[1:]],
            engine=ENGINE,
            wall_seconds=1,
            equal=same_text,
        )


def test_a_run_without_problems_is_no_measurement() -> None:
    with pytest.raises(IncompleteMeasurement, match=r"no problems"):
        measured([], samples=[])


def test_failures_of_the_model_count_as_wrong_but_stand_apart() -> None:
    m = measured([score(*key, SILENT, None) for key in keys()])
    assert m.statistics.score == 0
    assert m.verdicts["no_answer"] == 12


@settings(max_examples=30, deadline=None)
@given(st.sets(st.sampled_from(keys()), min_size=1))
def test_no_subset_of_the_attempts_is_ever_scored(missing: set[tuple[str, int]]) -> None:
    with pytest.raises(IncompleteMeasurement, match=rf"{len(missing)} of 12"):
        measured([score(*key) for key in keys() if key not in missing])


# Votes


def test_votes_count_equal_answers_together_not_equal_texts() -> None:
    assert answers("0.5", "1/2", "3", "3", "7", equal=same_text).statistics.maj_at_n == 0
    m = answers("0.50", "0.5", ".5", "7", "7 ", equal=same_number)
    assert m.statistics.maj_at_n == 0
    assert m.majority == {"p": "0.50"}


def test_right_answers_vote_together_however_they_are_written() -> None:
    m = answers("7", " 7", "7 ", "8", "8", equal=never_asked)
    assert m.statistics.maj_at_n == 100
    assert m.majority == {"p": "7"}


def test_ties_and_silence_have_no_majority() -> None:
    m = answers("7", "7", "8", "8")
    assert m.statistics.maj_at_n == 50
    assert m.majority == {"p": None}
    assert answers(None, None).majority == {"p": None}


def test_nothing_is_compared_where_one_answer_outvotes_all_others() -> None:
    assert answers("8", "8", "8", "9", None, "7", equal=never_asked).majority == {"p": "8"}


def test_one_attempt_per_problem_votes_for_itself() -> None:
    m = answers("7")
    assert (m.statistics.score, m.statistics.maj_at_n, m.statistics.stderr_decoding) == (100, 100, None)


def lettered(attempt: int, options: str, target: str) -> Sample:
    return Sample(problem_id="q", prompt=f"{options}", target=target, attempt=attempt, options=tuple(options))


def test_letters_vote_for_the_option_behind_them() -> None:
    # Option 0 is right. Attempts 0 and 1 choose it under two letters; 2 and 3 both say A, which are different options.
    samples = [lettered(0, "0123", "A"), lettered(1, "1023", "B"), lettered(2, "1230", "D"), lettered(3, "2130", "D")]
    scores = [
        score("q", 0, RIGHT, "A"),
        score("q", 1, RIGHT, "B"),
        score("q", 2, WRONG, "A"),
        score("q", 3, WRONG, "A"),
    ]
    m = measured(scores, samples=samples, equal=never_asked)
    assert m.problems == 1
    assert m.statistics.score == 50
    assert m.statistics.maj_at_n == 100
    assert m.majority == {"q": "option 0"}


def test_a_letter_that_no_option_has_still_votes_but_never_wins_a_point() -> None:
    samples = [lettered(n, "0123", "A") for n in range(4)]
    scores = [score("q", n, WRONG, "E") for n in range(3)] + [score("q", 3, RIGHT, "A")]
    m = measured(scores, samples=samples, equal=never_asked)
    assert m.statistics.maj_at_n == 0
    assert m.majority == {"q": "no option"}


# Progress and report


def test_running_score_is_the_mean_of_problem_means_so_far() -> None:
    partial = [score("p0", 0), score("p0", 1, WRONG), score("p1", 0)]
    assert running([]) is None
    so_far = running(partial)
    assert so_far is not None
    assert so_far[0] == 75
    assert so_far[1][0] < 75 < so_far[1][1]


def test_running_score_leaves_ungraded_attempts_out() -> None:
    ungraded = score("p1", 0, Verdict.UNGRADED, None, reason=UngradedReason.TIMED_OUT)
    assert running([ungraded]) is None
    assert running([score("p0", 0), ungraded]) == (100, (0, 100))


def test_running_score_of_a_whole_run_is_its_score() -> None:
    scores = [score(*key, RIGHT if key[1] < 3 else WRONG) for key in keys()]
    m = measured(scores)
    assert running(scores) == (pytest.approx(m.statistics.score), pytest.approx(m.statistics.ci95))


def test_report_is_one_json_object_in_points_with_everything_that_programs_rely_on() -> None:
    m = measured([score(*key, RIGHT if key[1] else WRONG) for key in keys()])
    told = json.loads(json.dumps(report(m), allow_nan=False))
    promised = (
        "benchmark model plan_key problems attempts_per_problem score stderr_questions stderr_decoding ci95 verdicts "
        "truncated mean_completion_tokens wall_seconds"
    )
    assert set(promised.split()) <= told.keys()
    assert (told["benchmark"], told["model"], told["score"]) == ("math_500", "owner/model", 75)
    assert (told["problems"], told["attempts_per_problem"]) == (3, 4)
    assert told["ci95"] == list(m.statistics.ci95)
    assert told["plan_key"] == plan_key(PLAN)
    assert (told["generation_key"], told["protocol_key"]) == (generation_key(PLAN), protocol_key(PLAN))
    assert report(answers("7"))["stderr_decoding"] is None
