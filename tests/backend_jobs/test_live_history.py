"""How a run went so far, thinned to what a picture needs."""

from __future__ import annotations

from itertools import pairwise

from backend_jobs.live_history import MOST_POINTS, LiveHistory
from evaluator.types import Progress
from leaderboard.contracts import LiveState
from leaderboard.types import Status
from leaderboard.views.live import run_charts
from leaderboard.views.queue import queue_page
from tests.leaderboard.page_content import job
from tests.leaderboard.test_views import assert_harmless


def progress(done: int, **fields: object) -> dict[str, Progress]:
    state = Progress(phase="generating", done=done, graded=done, total=10_000, **fields)  # type: ignore[arg-type]
    return {"math_500": state}


def test_a_long_run_keeps_its_beginning_and_its_newest_point_in_few_points() -> None:
    clock = [0.0]
    history = LiveHistory(clock=lambda: clock[0])
    for second in range(1, 5_001):
        clock[0] = second
        points = history.add(progress(second))["math_500"]
        assert points[-1].done == second
        assert len(points) <= MOST_POINTS + 1
    assert points[0].done == 1
    gaps = [b.at_s - a.at_s for a, b in pairwise(points[:-1])]
    assert max(gaps) <= 4 * min(gaps)


def test_nothing_is_noted_before_the_first_answer_and_nothing_twice() -> None:
    history = LiveHistory(clock=lambda: 0.0)
    assert history.add(progress(0)) == {}
    history.add(progress(3))
    assert len(history.add(progress(3))["math_500"]) == 1


def test_a_run_is_drawn_with_its_score_speed_and_engine_and_told_in_words() -> None:
    clock = [0.0]
    history = LiveHistory(clock=lambda: clock[0])
    for second in (1, 2, 3):
        clock[0] = second
        now = progress(second * 10, score=50.0, ci95=(40.0, 60.0), tokens_per_s=900.0, in_flight=64, kv_usage=0.5)
        points = history.add(now)
    state = LiveState(job_id="j1", updated_at="", progress=now, history=points)
    page = assert_harmless(run_charts(state))
    told = [value for name, value in page.attributes if name == "aria-label" and value]
    assert any("now 50.0, 95 % interval 40.0–60.0, after 30 of 10000 attempts" in words for words in told)
    assert any(words.startswith("KV cache in use: now 50 %") for words in told)
    assert any(words.startswith("Requests in flight: now 64") for words in told)
    running = [job("j1", Status.RUNNING)]
    assert "Watch this run" in queue_page(running, {"j1": state}, {}, may_act=True)
    assert "KV cache in use" in queue_page(running, {"j1": state}, {}, may_act=True, asked="j1")


def test_a_run_without_a_second_point_draws_nothing() -> None:
    assert run_charts(LiveState(job_id="j1", updated_at="", progress=progress(1))) == ""
