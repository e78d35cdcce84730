"""Two published results compared: the paired difference over the same problems, and whether it could have been shown.

The page and the command line say the same sentences; they are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluator import statistics
from evaluator.breakdown import Tally, outcomes
from evaluator.differences import differences, model_differences
from evaluator.errors import OpenR1Error
from evaluator.statistics import Comparison
from leaderboard.board import Board
from leaderboard.types import ProblemRow, ResultRow

MIXED = (
    "These results were measured under different protocols. The comparison mixes them: the difference may come from "
    "the settings and not from the models."
)


class ComparisonRefused(OpenR1Error):
    """Two results that no comparison can pair: one result twice, other benchmarks, other problems."""

    code = "comparison_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultComparison:
    """Result a beside result b, over the same problems; numbers are a minus b, in points.

    `a_ahead` and `b_ahead` count the problems that one solved more often. `protocol` says in words what differs between
    the two protocols, `model` what differs between what was measured.
    """

    a: ResultRow
    b: ResultRow
    numbers: Comparison
    a_ahead: int
    b_ahead: int
    protocol: tuple[str, ...]
    model: tuple[str, ...]

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance explains, at the 5 % level."""
        return self.numbers.p_value < statistics.LEVEL


def compare_results(board: Board, a_key: str, b_key: str) -> ResultComparison:
    """Compare two published results by their plan keys.

    Raises:
        ResultNotFound: one of them is not published.
        ComparisonRefused: they are one result, or of different benchmarks or problems; the message says which.
    """
    a, b = board.row(a_key), board.row(b_key)
    if a_key == b_key:
        raise ComparisonRefused(f"{a_key} is one result; choose two to compare")
    if a.benchmark != b.benchmark:
        raise ComparisonRefused(
            f"{a_key} was measured on {a.benchmark} and {b_key} on {b.benchmark}; choose two results of one benchmark"
        )
    tallies_a, tallies_b = _paired(a, b, board.problems(a_key), board.problems(b_key))
    x, y = outcomes(tallies_a), outcomes(tallies_b)
    ahead = x.mean(axis=1) - y.mean(axis=1)
    return ResultComparison(
        a=a,
        b=b,
        numbers=statistics.compare(x, y),
        a_ahead=int((ahead > statistics.NO_SPREAD).sum()),
        b_ahead=int((ahead < -statistics.NO_SPREAD).sum()),
        protocol=tuple(differences(a.plan, b.plan)),
        model=tuple(model_differences(a.plan, b.plan)),
    )


def _paired(
    a: ResultRow, b: ResultRow, of_a: Sequence[ProblemRow], of_b: Sequence[ProblemRow]
) -> tuple[list[Tally], list[Tally]]:
    """The counts of both, problem by problem in one order."""
    by_id = {row.problem_id: row for row in of_b}
    only_a = [row.problem_id for row in of_a if row.problem_id not in by_id]
    only_b = sorted(by_id.keys() - {row.problem_id for row in of_a})
    if only_a or only_b:
        example = (only_a or only_b)[0]
        raise ComparisonRefused(
            f"{a.plan_key} and {b.plan_key} were measured on different problems of {a.benchmark}: {len(only_a)} are "
            f"only in the first, {len(only_b)} only in the second ({example!r} is one); only equal problems can be "
            "paired"
        )
    return [_tally(row) for row in of_a], [_tally(by_id[row.problem_id]) for row in of_a]


def _tally(row: ProblemRow) -> Tally:
    return Tally(group="", n=row.n, correct=row.correct)


def conclusion(compared: ResultComparison, *, a: str = "the first", b: str = "the second") -> str:
    """What the comparison shows, in one sentence; `a` and `b` are what to call the two."""
    numbers = compared.numbers
    if not compared.a_ahead and not compared.b_ahead:
        return f"No difference: {a} and {b} solved every problem equally often."
    evidence = _evidence(numbers)
    if abs(numbers.difference) < statistics.NO_SPREAD * statistics.POINTS:
        return f"No difference is shown: both score the same ({evidence})."
    ahead, behind = (a, b) if numbers.difference > 0 else (b, a)
    size = f"{abs(numbers.difference):.1f} points"
    if compared.shown:
        return _sentence(f"{ahead} scores higher than {behind} by {size} ({evidence}): more than chance explains.")
    return f"No difference is shown: {ahead} is {size} above {behind} ({evidence}), which chance explains."


def _evidence(numbers: Comparison) -> str:
    """Interval and p-value, the interval seen from the one that is ahead."""
    p = f"p {p_value(numbers.p_value)}"
    if numbers.ci95 is None:
        return p
    low, high = numbers.ci95 if numbers.difference >= 0 else (-numbers.ci95[1], -numbers.ci95[0])
    return f"95 % interval {signed(low)} to {signed(high)}, {p}"


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a name, which stays as it is."""
    return f"The {text.removeprefix('the ')}" if text.startswith("the ") else text


def could_have_shown(compared: ResultComparison) -> str:
    """Whether this benchmark could have shown such a difference, in a sentence or two."""
    numbers = compared.numbers
    if numbers.detectable is None:
        return f"Nothing tells what {_problems(numbers.problems)} could have shown: the differences have no spread."
    able = (
        f"Could this benchmark have shown it? A true difference of {numbers.detectable:.1f} points is shown by "
        f"{_problems(numbers.problems)} four times in five."
    )
    smaller = abs(numbers.difference) < numbers.detectable
    if compared.shown:
        return able + (
            " The one seen is smaller: it took some luck to show, and the true one is likelier smaller than larger."
            if smaller
            else " The one seen is larger."
        )
    if smaller:
        return able + " One as small as the one seen is often missed: this is no proof that the two are equal."
    return able


def _problems(count: int) -> str:
    return "one problem" if count == 1 else f"these {count:,} problems"


def comparison_report(compared: ResultComparison) -> dict[str, Any]:
    """A comparison as one JSON object for programs. Points, a minus b."""
    numbers = compared.numbers
    return {
        "benchmark": compared.a.benchmark,
        "a": _side(compared.a),
        "b": _side(compared.b),
        "problems": numbers.problems,
        "a_ahead": compared.a_ahead,
        "b_ahead": compared.b_ahead,
        "difference": numbers.difference,
        "stderr": numbers.stderr,
        "ci95": None if numbers.ci95 is None else list(numbers.ci95),
        "p_value": numbers.p_value,
        "detectable": numbers.detectable,
        "shown": compared.shown,
        "mixes_protocols": bool(compared.protocol),
        "protocol_differences": list(compared.protocol),
        "model_differences": list(compared.model),
        "conclusion": conclusion(compared),
        "could_have_shown": could_have_shown(compared),
    }


def comparison_lines(compared: ResultComparison) -> dict[str, Any]:
    """A comparison as named lines for people."""
    a, b, numbers = compared.a, compared.b, compared.numbers
    lines: dict[str, Any] = {
        "benchmark": f"{a.benchmark}, {numbers.problems:,} problems",
        "first": f"{a.model} ({a.plan_key}): {a.statistics.score:.1f}",
        "second": f"{b.model} ({b.plan_key}): {b.statistics.score:.1f}",
        "difference": f"{signed(numbers.difference)} points"
        + ("" if numbers.stderr is None else f", standard error {numbers.stderr:.1f}"),
        "problems ahead": f"first {compared.a_ahead}, second {compared.b_ahead}",
        "protocols differ in": list(compared.protocol) or "nothing",
        "models differ in": list(compared.model) or "nothing",
        "conclusion": conclusion(compared),
        "power": could_have_shown(compared),
    }
    return lines | ({"beware": MIXED} if compared.protocol else {})


def _side(row: ResultRow) -> dict[str, Any]:
    return {"plan_key": row.plan_key, "model": row.model, "commit": row.commit, "score": row.statistics.score}


def signed(value: float) -> str:
    """A difference in points with its sign, a true minus."""
    return f"{value:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value, as precise as twenty thousand draws make it."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
