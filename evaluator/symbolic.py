"""Proofs about two parsed answers that math_verify lacks or finds only by expanding them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import mpmath
import sympy
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import And

UNDEFINED = (sympy.zoo, sympy.nan)
PROBES = (0.61, 1.37)
CLEAR_DIFFERENCE = 1e-3
"""Relative (absolute below 1): far above math_verify's rounding to six decimals."""
LARGEST_FLOAT = 1e308
DIGITS, GUARD_DIGITS = 50, 30
CALCULATIONS = (sympy.Integral, sympy.Limit, sympy.Derivative)
LOOSE = (sympy.Float,)
"""What is rounded already: math_verify's own rule decides whether it is near enough."""
MOST_TERMS = 1_000
"""A sum or product that is written out and has more terms than this is not evaluated: it is not a final answer."""


def prove(gold: object, answer: object) -> bool | None:
    """True or False where one of the proofs below settles it, None where math_verify has to."""
    if gold in UNDEFINED or answer in UNDEFINED:
        # Two clock times, 12:00 and 1:00, both parse as a division by zero.
        return False
    if _is_long(gold) or _is_long(answer):
        return bool(gold == answer)
    if _is_calculation(answer) and not _is_calculation(gold):
        return False
    if isinstance(gold, sympy.Eq) and isinstance(answer, sympy.Eq) and _same_equation(gold, answer):
        return True
    if isinstance(gold, sympy.Set) and isinstance(answer, And | Relational) and not isinstance(answer, sympy.Eq):
        return bool(_as_set(answer) == gold)
    if isinstance(answer, sympy.Eq) and not isinstance(gold, Relational | And):
        # As in math_verify: of `k = 5` the value counts.
        answer = answer.rhs
    if _part_differs(gold, answer):
        return False
    return True if equal_numbers(gold, answer) else None


def _is_calculation(expression: object) -> bool:
    """Whether an expression holds an integral, a limit, a derivative, or an endless sum or product."""
    return _holds(expression, CALCULATIONS) or any(
        limit.is_infinite for limits in _limits(expression) for limit in limits[1:]
    )


def _is_long(expression: object) -> bool:
    """Whether an expression holds a finite sum or product of more than MOST_TERMS terms, nested ones multiplied."""
    return math.prod(_terms(limits) for limits in _limits(expression)) > MOST_TERMS


def _holds(expression: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(expression, sympy.Basic) and bool(expression.has(*kinds))


def _limits(expression: object) -> list[Any]:
    """(index, lower, upper) of every sum and product in an expression."""
    if not isinstance(expression, sympy.Basic):
        return []
    return [limits for iterated in expression.atoms(sympy.Sum, sympy.Product) for limits in iterated.limits]


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


def _part_differs(gold: object, answer: object) -> bool:
    """Whether two expressions, or two matrices, tuples or intervals part by part, clearly differ somewhere."""
    if isinstance(gold, sympy.FiniteSet) and isinstance(answer, sympy.FiniteSet):
        return any(all(differ_at_a_point(a, b) for a in gold.args) for b in answer.args)
    ours, theirs = _parts(gold), _parts(answer)
    if len(ours) == len(theirs):
        return any(differ_at_a_point(a, b) for a, b in zip(ours, theirs, strict=True))
    return False


def _parts(expression: Any) -> tuple[object, ...]:
    """What an ordered expression consists of; others are their own only part."""
    if isinstance(expression, sympy.Interval):
        return (expression.start, expression.end)
    if isinstance(expression, sympy.MatrixBase):
        return tuple(expression.flat())
    return tuple(expression.args) if isinstance(expression, sympy.Tuple) else (expression,)


def differ_at_a_point(gold: object, answer: object) -> bool:
    r"""Whether two scalar expressions have clearly different values somewhere, which proves them unequal.

    This keeps `99999999!` or `\omega^{-1994}` from being expanded term by term. It leaves sets, relations, matrices
    and lone symbols (which may be words) alone.
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


def equal_numbers(gold: object, answer: object) -> bool:
    """Whether two numbers agree in DIGITS digits: then they are the same, whether or not simplifying can show it."""
    if not _is_scalar(gold) or not _is_scalar(answer) or _holds(gold, LOOSE) or _holds(answer, LOOSE):
        return False
    if gold.free_symbols or answer.free_symbols:  # type: ignore[attr-defined]
        return False
    there, here = _value(gold, 0, digits=DIGITS), _value(answer, 0, digits=DIGITS)
    if there is None or here is None:
        return False
    with mpmath.workdps(DIGITS):
        return bool(abs(there - here) <= mpmath.mpf(10) ** (5 - DIGITS) * max(1, abs(there)))


def _is_scalar(expression: object) -> bool:
    """Whether an expression has a value that can be computed at a point: no word, nothing to approximate."""
    return (
        isinstance(expression, sympy.Expr)
        and not expression.is_Symbol
        and not expression.has(*CALCULATIONS, AppliedUndef)
    )


def _value(expression: Any, start: float, *, digits: int = 15) -> Any:
    """The finite complex value (mpmath) where each free symbol is a number that its name decides; None without one."""
    point = {symbol: start + zlib.crc32(symbol.name.encode()) / 2**33 for symbol in expression.free_symbols}
    try:
        for iterated in expression.atoms(sympy.Sum, sympy.Product):
            expression = expression.xreplace({iterated: _total(iterated, point, digits)})
        real, imaginary = expression.evalf(digits, subs=point).as_real_imag()
        if not (real.is_Number and imaginary.is_Number and real.is_finite and imaginary.is_finite):
            return None
        with mpmath.workdps(digits):
            return mpmath.mpc(sympy.Float(real, digits), sympy.Float(imaginary, digits))
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


def _total(iterated: Any, point: Mapping[Any, float], digits: int) -> Any:
    """The value of a finite sum or product, term by term in `digits` digits, so that no term is written out.

    Raises:
        ValueError: it is nested, its limits are no numbers, or it has too many terms.
    """
    (index, lower, upper), *others = iterated.limits
    if others or iterated.function.has(sympy.Sum, sympy.Product) or not (lower.is_Integer and upper.is_Integer):
        raise ValueError("only a plain finite sum or product is worked out term by term")
    if upper - lower >= MOST_TERMS:
        raise ValueError("too many terms")
    precise = digits + GUARD_DIGITS
    indices = range(int(lower), int(upper) + 1)
    terms = [iterated.function.evalf(precise, subs={**point, index: n}) for n in indices]
    if isinstance(iterated, sympy.Product):
        return sympy.Mul(*terms)
    total = sympy.Add(*terms)
    largest = max((abs(term) for term in terms), default=sympy.Integer(0))
    if largest > 10**GUARD_DIGITS * max(1, abs(total)):
        raise ValueError("its terms cancel, and too few digits are left")
    return total


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
