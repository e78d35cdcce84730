"""Proofs about two parsed answers that math_verify lacks or finds only by expanding them."""

from __future__ import annotations

import math
import zlib
from typing import Any

import mpmath
import sympy
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import And

UNDEFINED = (sympy.zoo, sympy.nan)
PROBES = (0.61, 1.37)
CLEAR_DIFFERENCE = 1e-3
"""Relative (absolute below 1): far above math_verify's rounding to six decimals."""
LARGEST_FLOAT = 1e308
MOST_TERMS = 1_000
"""A sum or product that is written out and has more terms than this is not evaluated: it is not a final answer."""


def prove(gold: object, answer: object) -> bool | None:
    """True or False where one of the proofs below settles it, None where math_verify has to."""
    if gold in UNDEFINED or answer in UNDEFINED:
        # Two clock times, 12:00 and 1:00, both parse as a division by zero.
        return False
    if _leaves_work(gold) or _leaves_work(answer):
        return bool(gold == answer)
    if isinstance(gold, sympy.Eq) and isinstance(answer, sympy.Eq) and _same_equation(gold, answer):
        return True
    if isinstance(gold, sympy.Set) and isinstance(answer, And | Relational) and not isinstance(answer, sympy.Eq):
        return bool(_as_set(answer) == gold)
    if isinstance(answer, sympy.Eq) and not isinstance(gold, Relational | And):
        # As in math_verify: of `k = 5` the value counts.
        answer = answer.rhs
    return False if differ_at_a_point(gold, answer) else None


def _leaves_work(expression: Any) -> bool:
    """Whether an expression holds a finite sum or product of more than MOST_TERMS terms, nested ones multiplied."""
    if not isinstance(expression, sympy.Basic):
        return False
    terms = 1.0
    for iterated in expression.atoms(ExprWithLimits):
        if isinstance(iterated, sympy.Sum | sympy.Product):
            terms *= math.prod(_terms(limits) for limits in iterated.limits)
    return terms > MOST_TERMS


def _terms(limits: Any) -> float:
    """Terms between two limits, found without expanding them; 1 where they are symbolic or infinite."""
    if len(limits) != 3 or not limits[1].is_Integer:
        return 1.0
    upper = _at_least(limits[2])
    return 1.0 if math.isnan(upper) or limits[2].is_infinite else upper - float(limits[1]) + 1


def _same_equation(gold: sympy.Eq, answer: sympy.Eq) -> bool:
    """Whether one equation is a constant multiple of the other. Sides that are sets or matrices have no quotient."""
    if not all(_is_scalar(side) or getattr(side, "is_Symbol", False) for side in (*gold.args, *answer.args)):
        return False
    quotient = sympy.cancel((gold.lhs - gold.rhs) / (answer.lhs - answer.rhs))
    return bool(quotient.is_number and quotient.is_finite and not quotient.is_zero)


def _as_set(relation: Any) -> object:
    """The real numbers that satisfy relations in one variable, None where sympy cannot tell."""
    try:
        return relation.as_set() if len(relation.free_symbols) == 1 else None
    except (NotImplementedError, TypeError, ValueError):
        return None


def differ_at_a_point(gold: object, answer: object) -> bool:
    r"""Whether two scalar expressions have clearly different values somewhere, which proves them unequal.

    This keeps `99999999!` or `\omega^{-1994}` from being expanded term by term. It never proves equality, and leaves
    sets, relations, matrices and lone symbols (which may be words) alone.
    """
    if not _is_scalar(gold) or not _is_scalar(answer):
        return False
    for start in PROBES:
        there = _value(gold, start)
        if there is None:
            return False
        if _at_least(answer) == math.inf and abs(there) < LARGEST_FLOAT:
            return True
        here = _value(answer, start)
        if here is None or abs(there - here) <= CLEAR_DIFFERENCE * max(1, abs(there), abs(here)):
            return False
    return True


def _is_scalar(expression: object) -> bool:
    """Whether an expression has a value that can be computed at a point: no word, no sum or integral to approximate."""
    return (
        isinstance(expression, sympy.Expr)
        and not expression.is_Symbol
        and not expression.has(ExprWithLimits, sympy.Limit, sympy.Derivative, AppliedUndef)
    )


def _value(expression: Any, start: float) -> Any:
    """The finite complex value (mpmath) where each free symbol is a number that its name decides; None without one."""
    point = {symbol: start + zlib.crc32(symbol.name.encode()) / 2**33 for symbol in expression.free_symbols}
    try:
        real, imaginary = expression.evalf(subs=point).as_real_imag()
        if not (real.is_Number and imaginary.is_Number and real.is_finite and imaginary.is_finite):
            return None
        return mpmath.mpc(sympy.Float(real), sympy.Float(imaginary))
    except (
        ArithmeticError,
        AttributeError,
        NotImplementedError,
        RecursionError,
        TypeError,
        ValueError,
        mpmath.libmp.NoConvergence,
    ):
        return None


def _at_least(expression: Any) -> float:
    """A lower bound of a positive numeric expression (inf beyond floats), nan where none is known. Never expands it."""
    try:
        if expression.is_Rational or expression.is_Float:
            return float(expression) if expression > 0 else math.nan
        parts = [_at_least(part) for part in expression.args]
        if expression.is_Add:
            return sum(parts)
        if expression.is_Mul:
            return math.prod(parts)
        if expression.is_Pow and parts[0] >= 1 and parts[1] >= 0:
            return float(parts[0] ** parts[1])
        if isinstance(expression, sympy.factorial) and parts[0] >= 1:
            return math.gamma(parts[0])
    except OverflowError:
        return math.inf
    return math.nan
