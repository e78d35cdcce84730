"""How long to wait, and what a Retry-After header asks for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.retry import RetryPolicy, retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("0", 0.0), ("7", 7.0), (" 1.5 ", 1.5), ("-3", None), ("soon", None), ("", None), ("nan", None)],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_retry_after_as_a_date_counts_from_now_and_never_backwards() -> None:
    now = datetime(2025, 10, 21, 7, 28, tzinfo=UTC)
    assert retry_after_s("Tue, 21 Oct 2025 07:28:30 GMT", now=now) == 30.0
    assert retry_after_s("Tue, 21 Oct 2025 07:20:00 GMT", now=now) == 0.0


@given(st.text())
def test_no_retry_after_header_breaks_the_client(header: str) -> None:
    seconds = retry_after_s(header)
    assert seconds is None or seconds >= 0


@given(st.integers(min_value=1, max_value=10_000))
def test_pauses_grow_and_are_bounded(turn: int) -> None:
    policy = RetryPolicy(first_delay_s=0.5, longest_delay_s=8.0)
    ceiling = min(8.0, 0.5 * 2.0 ** min(turn - 1, 10))
    assert ceiling / 2 <= policy.delay_s(turn) <= ceiling
