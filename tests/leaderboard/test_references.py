"""Published scores: read strictly, kept apart, and the ones that are often quoted wrongly are right here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leaderboard.references import ReferencesUnreadable, published_scores
from leaderboard.types import ReferenceKind

GOOD = {
    "model": "owner/model",
    "benchmark": "math_500",
    "score": 83.9,
    "kind": "reported",
    "source": "A paper",
    "url": "https://example.org/paper",
    "date": "2025-01-22",
    "settings": "temperature 0.6",
}


def test_the_table_of_the_repository_is_read_whole() -> None:
    scores = published_scores()
    assert len(scores) == 141
    assert {s.kind for s in scores} == {ReferenceKind.REPORTED, ReferenceKind.MEASURED_ELSEWHERE}
    assert all(0 <= s.score <= 100 and s.source and s.settings and s.date for s in scores)


def test_aime_2024_of_distill_llama_8b_is_the_reported_figure_not_the_one_of_a_later_table() -> None:
    (found,) = [
        s
        for s in published_scores()
        if s.model == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
        and s.benchmark == "aime_2024"
        and s.kind is ReferenceKind.REPORTED
    ]
    assert found.score == 50.4


def test_several_measurements_of_one_model_stay_several() -> None:
    same = [
        s
        for s in published_scores()
        if s.model == "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B" and s.benchmark == "math_500"
    ]
    assert len(same) > 1
    assert len({(s.source, s.settings, s.score, s.date) for s in same}) > 1


def test_optional_fields_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "std": 1.5, "kind": "measured"}) + "\n")
    first, second = published_scores(path)
    assert (first.std, first.samples_per_problem, second.std) == (None, None, 1.5)
    assert second.kind is ReferenceKind.MEASURED_ELSEWHERE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guessed"}, "line 2: kind is 'guessed'"),
        ({"benchmark": "gsm8k"}, "line 2: benchmark is 'gsm8k'"),
        ({"score": 0.839e3}, "points from 0 to 100"),
        ({"score": "83.9"}, "points from 0 to 100"),
        ({"score": float("nan")}, "points from 0 to 100"),
        ({"url": "javascript:alert(1)"}, "https"),
        ({"colour": "red"}, r"unknown \['colour'\]"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(ReferencesUnreadable, match=message):
        published_scores(path)


@pytest.mark.parametrize("line", ["{", "[]", "7", '{"model": "a/b"}'])
def test_a_line_that_is_no_score_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ReferencesUnreadable, match=r"line 1"):
        published_scores(path)
