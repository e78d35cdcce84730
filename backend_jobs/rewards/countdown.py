"""The countdown game: reach a target with every given number once. Equations are parsed, never evaluated as Python."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from backend_jobs.rewards.outcomes import tagged_answer
from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.types import Verdict

LONGEST_EQUATION = 200
LONGEST_NUMBER = 9
"""Digits: with four operations and this, no intermediate value can grow without bound."""
ALLOWED = re.compile(r"[0-9+\-*/()\s]+")
OPERATIONS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


class Countdown(Reward):
    """1 where the last `<answer>` reaches `target` with just the given numbers, `attempted` for another answer, else 0.

    Source: TinyZero's countdown reward (`attempted` 0.1) and Mini-R1's `equation_reward_func` (0). An answer may end in
    `= value`; powers, `//`, decimals and names are no equations.
    """

    name: Literal["countdown"]
    numbers: str
    """The column that holds the given numbers."""
    target: str
    """The column that holds the value to reach."""
    attempted: Annotated[float, Field(ge=0, lt=1)]

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return self.numbers, self.target

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [self._one(rollout) for rollout in rollouts]

    def _one(self, rollout: Rollout) -> float:
        answer = tagged_answer(rollout.text)
        if answer is None:
            return 0.0
        reached = value_of(answer.partition("=")[0], [int(number) for number in rollout.row[self.numbers]])
        return 1.0 if reached is not None and reached == int(rollout.row[self.target]) else self.attempted

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        solution = solve([int(number) for number in row[self.numbers]], int(row[self.target]))
        wrong = " + ".join(str(number) for number in [*row[self.numbers], 1])
        return Planted(
            right=f"<think>so</think>\n<answer>{solution}</answer>",
            wrong=f"<think>so</think>\n<answer>{wrong}</answer>",
        )


def value_of(equation: str, numbers: Sequence[int]) -> Fraction | None:
    """The exact value of an equation that uses each of the numbers once and no other; None for anything else."""
    text = equation.strip()
    if len(text) > LONGEST_EQUATION or not ALLOWED.fullmatch(text):
        return None
    if any(len(digits) > LONGEST_NUMBER for digits in re.findall(r"[0-9]+", text)):
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        return None
    used: list[int] = []
    value = _value(tree, used)
    return value if Counter(used) == Counter(numbers) else None


def _value(node: ast.expr, used: list[int]) -> Fraction | None:
    """The value of one node; numbers met on the way are noted in `used`. None where it is no countdown equation."""
    match node:
        case ast.Constant(value=int() as number):
            used.append(number)
            return Fraction(number)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATIONS:
            a, b = _value(left, used), _value(right, used)
            return None if a is None or b is None else _apply(OPERATIONS[type(operator)], a, b)
    return None


def _apply(operation: str, a: Fraction, b: Fraction) -> Fraction | None:
    match operation:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    return a / b if b else None


def solve(numbers: Sequence[int], target: int) -> str:
    """One equation that reaches the target, fully bracketed; empty where there is none."""
    return _search([(Fraction(number), str(number)) for number in numbers], Fraction(target))


def _search(parts: Sequence[tuple[Fraction, str]], target: Fraction) -> str:
    if len(parts) == 1:
        value, text = parts[0]
        return text if value == target else ""
    for i, (a, left) in enumerate(parts):
        for j, (b, right) in enumerate(parts):
            if i == j:
                continue
            rest = [part for place, part in enumerate(parts) if place not in (i, j)]
            for operation in OPERATIONS.values():
                reached = _apply(operation, a, b)
                text = f"({left} {operation} {right})"
                if reached is not None and (found := _search([*rest, (reached, text)], target)):
                    return found
    return ""
