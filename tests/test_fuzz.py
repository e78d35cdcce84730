"""Every parser of foreign bytes answers or refuses by its own error. `benchmarks/fuzz.py` does the same for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz import Target, fuzz, targets
from leaderboard.submissions import SubmissionRejected, check_submission

TARGETS = targets()


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_no_bytes_make_a_parser_fail_in_a_way_that_nobody_planned(target: Target, tmp_path: Path) -> None:
    found = fuzz(target, runs=300, seed=1, folder=tmp_path)
    assert found.findings == {}
    assert found.counts.total() >= 300 // target.cost


def test_what_a_parser_fails_on_is_found(tmp_path: Path) -> None:
    broken = Target(name="broken", parse=lambda content, _: content.decode(), seeds=(b"text",))
    (finding,) = fuzz(broken, runs=300, seed=1, folder=tmp_path).findings
    assert finding.startswith("UnicodeDecodeError at test_fuzz.py:")


def test_a_field_named_by_half_a_character_is_refused() -> None:
    with pytest.raises(SubmissionRejected, match="not named in text"):
        check_submission({"model": "a/b", "\ud800": 1}, local_mode=False, resolve=lambda *_: pytest.fail("looked up"))
