"""Charts are well-formed SVG, true to their data, and say the same in words."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.charts import Scale, interval_bar, step_ticks, training_curve
from leaderboard.types import CurvePoint

CURVE = [
    CurvePoint(step=300, score=27.5, ci95=(24.0, 31.0), plan_key="b" * 16),
    CurvePoint(step=150, score=10.0, ci95=(7.8, 12.6), plan_key="a" * 16),
]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_a_curve_goes_through_its_points_by_rising_step() -> None:
    line = parsed(training_curve("run", CURVE)).find(".//polyline")
    assert line is not None
    xs = [float(corner.split(",")[0]) for corner in line.attrib["points"].split()]
    assert xs == sorted(xs)
    assert len(xs) == 2


def test_a_curve_says_its_values_and_intervals_in_words() -> None:
    svg = parsed(training_curve("run", CURVE)).find("svg")
    assert svg is not None
    assert "step 150: 10.0 (7.8–12.6); step 300: 27.5 (24.0–31.0)" in svg.attrib["aria-label"]


def test_every_point_of_a_curve_opens_its_result() -> None:
    links = parsed(training_curve("run", CURVE)).findall(".//a")
    assert [link.attrib["href"] for link in links] == [f"result?plan={'a' * 16}", f"result?plan={'b' * 16}"]


def test_the_name_of_a_run_cannot_break_out_of_its_chart() -> None:
    figure = parsed(training_curve('"><script>alert(1)</script>', CURVE))
    assert figure.find(".//script") is None
    assert figure.findtext("figcaption") == '"><script>alert(1)</script>'


@pytest.mark.parametrize("curve", [[], CURVE[:1]])
def test_a_run_with_few_checkpoints_still_draws(curve: list[CurvePoint]) -> None:
    assert parsed(training_curve("run", curve)).tag == "figure"


@given(st.integers(min_value=0, max_value=10**7))
def test_ticks_are_few_even_whole_and_reach_the_last_step(last: int) -> None:
    ticks = step_ticks(last)
    assert ticks[0] == 0
    assert ticks[-1] >= max(last, 1)
    assert 2 <= len(ticks) <= 8
    assert len({b - a for a, b in pairwise(ticks)}) == 1


def test_a_score_of_100_lies_above_a_score_of_0() -> None:
    scale = Scale(last_step=10)
    assert scale.y(100) < scale.y(0)
    assert scale.x(0) < scale.x(10)


@given(st.floats(min_value=-10, max_value=110), st.floats(min_value=-10, max_value=110))
def test_a_bar_stays_within_its_line(one: float, other: float) -> None:
    low, high = sorted((one, other))
    bar = parsed(interval_bar((low + high) / 2, (low, high)))
    for shape in bar.findall("rect"):
        assert float(shape.attrib["x"]) >= 0
        assert float(shape.attrib["x"]) + float(shape.attrib["width"]) <= 100.51
