"""Agreement with other graders' own test suites: ours, and math-verify called plainly, side by side.

    .venv/bin/python -m benchmarks.grader_suites --data DIR

DIR holds `graders/triples.jsonl`, rows with suite, gold, pred, expected, and `graders/extraction_cases.jsonl`, rows
with suite, input and expected, the answer that is to be found in the input. Prints one line per suite, then every case
in which we disagree with the suite and the rule of docs/grading.md that says why.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import math_verify

from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction, GradeInput, Verdict

POLICIES = {
    ("test_latex_notation", "Answer $"): "delimiters",
    ("test_latex_notation", "Answer \\("): "delimiters",
    ("test_complex_math_expressions", ""): "rounding",
    ("test_math_extraction_additional_cases", ""): "boxes",
    ("test_set_rel_assymetry", ""): "intervals",
    ("test_boxed", ""): "boxes",
    ("test_numina_cases", ""): "names",
    ("test_math_numina_cases", ""): "names",
    ("test_string_extraction", ""): "suite error",
    ("test_multilingual_extraction_abc", ""): "letters",
    ("test_multilingual_extraction_math", ""): "languages",
    ("test_math_equal", "3.14159"): "rounding",
    ("test_math_equal", "2"): "rounding",
    ("test_math_equal", "75"): "percent",
    ("test_math_equal", "c"): "symbols",
    ("test_math_equal", ""): "no answer",
    ("test_order", ""): "order",
    ("test_decimals", ""): "order",
    ("test_sympy_equivalence", ""): "unreduced",
    ("test_correct_answer_in_reasoning_yields_zero_reward", ""): "thoughts",
    ("test_incomplete_reasoning_yields_zero_reward", ""): "format",
    ("test_format_error_no_delimiter", ""): "format",
    ("test_format_error_no_boxed_answer", ""): "format",
    ("test_custom_config_values", ""): "format",
    ("test_get_multiple_choice_answer", "No letter"): "no answer",
    ("test_extraction", "no structure"): "search",
}
"""(test, how the prediction begins) of a disagreement: the rule in docs/grading.md that we follow instead."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One case and what both graders made of it."""

    case: dict[str, Any]
    ours: bool
    plain: bool

    @property
    def agrees(self) -> bool:
        """Whether ours is what the suite expects."""
        return self.ours == bool(self.case["expected"])

    @property
    def policy(self) -> str | None:
        """The rule behind a disagreement, None where no rule names it."""
        test, pred = self.case["test"], self.case["pred"]
        return POLICIES.get((test, pred)) or next(
            (rule for (name, start), rule in POLICIES.items() if name == test and pred.startswith(start)), None
        )


def main() -> None:
    """Grade every case twice and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    results = run(cases(parser.parse_args().data))
    print(f"{'suite':34}{'cases':>6}{'ours':>9}{'math-verify':>13}")
    for suite, of in by_suite(results).items():
        ours, plain = (100 * sum(map(bool, hits)) / len(of) for hits in _hits(of))
        print(f"{suite:34}{len(of):6}{ours:8.1f}%{plain:12.1f}%")
    for result in results:
        if not result.agrees:
            case = result.case
            said = "equal" if result.ours else "not equal"
            print(f"\n{case['suite']} {case['test']}: we say {said}; rule: {result.policy or 'NONE'}")
            print(f"  gold {case['gold']!r}\n  pred {case['pred'][-160:]!r}")


def cases(data: Path) -> list[dict[str, Any]]:
    """The cases that have one text as gold and one as prediction; what is to be extracted is a gold too."""
    triples = read_jsonl(data / "graders" / "triples.jsonl")
    found = (
        row
        | {
            "gold": "" if row["expected"] is None else str(row["expected"]),
            "pred": row["input"],
            # Nothing to be found: then nothing is right.
            "expected": row["expected"] not in (None, ""),
            "kind": "mcq" if "choice" in row["test"] else "math",
        }
        for row in read_jsonl(data / "graders" / "extraction_cases.jsonl")
    )
    return [row for row in (*triples, *found) if isinstance(row["gold"], str) and isinstance(row["pred"], str)]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Every row of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(these: Sequence[dict[str, Any]]) -> list[Result]:
    """Both verdicts on every case."""
    with GraderPool(workers=1, cpu_limit_s=20.0) as pool:
        futures = [pool.submit(grade_input(case)) for case in these]
        ours = [future.result().verdict is Verdict.CORRECT for future in futures]
    return [Result(case=case, ours=hit, plain=plainly(case)) for case, hit in zip(these, ours, strict=True)]


def grade_input(case: dict[str, Any]) -> GradeInput:
    """A case as our grader is asked about it: its prediction is a whole completion."""
    return GradeInput(
        problem_id=case["test"],
        attempt=0,
        text=case["pred"],
        target=case["gold"],
        extraction=Extraction.LETTER if case.get("kind") == "mcq" else Extraction.MATH,
        finish_reason="stop",
    )


def plainly(case: dict[str, Any]) -> bool:
    """math-verify with its defaults: parse both, verify."""
    return bool(math_verify.verify(math_verify.parse(case["gold"]), math_verify.parse(case["pred"])))


def by_suite(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each suite, in the order of the file."""
    found: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        found[result.case["suite"]].append(result)
    return found


def _hits(of: Sequence[Result]) -> tuple[list[bool], list[bool]]:
    return [r.agrees for r in of], [r.plain == bool(r.case["expected"]) for r in of]


if __name__ == "__main__":
    main()
