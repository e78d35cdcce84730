"""What agents and Python programs can ask of a board, as plain functions: the same over MCP and `gradio_client`.

They only read. A parameter that is left empty does not filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from evaluator.benchmarks import BENCHMARKS, benchmark
from leaderboard.api.models import BenchmarkView, job_view
from leaderboard.api.results import page, shown_attempt
from leaderboard.board import Board
from leaderboard.compare import compare_results, comparison_report
from leaderboard.contracts import JobQueue
from leaderboard.dataset.columns import leaderboard_records, result_record
from leaderboard.types import Status

MOST_ROWS = 200
Tool = Callable[..., Any]


def board_tools(board: Board, queue: JobQueue) -> Mapping[str, Tool]:
    """The functions by name. Each raises OpenR1Error with a sentence for whoever asked."""

    def list_benchmarks() -> list[dict[str, Any]]:
        """The benchmarks of this board with the protocol of each: problems, attempts, answer budget in tokens."""
        return _list([BenchmarkView.of(each) for each in BENCHMARKS.values()])

    def leaderboard(benchmark_name: str = "") -> list[dict[str, Any]]:
        """Every model's standing score, best first, with 95 % intervals and rank intervals; in points, 0 to 100."""
        chosen = benchmark(benchmark_name).name if benchmark_name else None
        return _list(leaderboard_records(board.leaderboard(chosen)))

    def find_results(model: str = "", benchmark_name: str = "", offset: int = 0, limit: int = 50) -> dict[str, Any]:
        """Published results, newest first, page by page; `next` is the offset of the next page, or null."""
        rows = [
            result_record(row)
            for row in board.rows()
            if (not model or model.lower() in row.model.lower())
            and (not benchmark_name or row.benchmark == benchmark_name)
        ]
        return _object(page(rows, max(0, offset), _bounded(limit)))

    def get_result(plan_key: str) -> dict[str, Any]:
        """One result with everything that decided its score: plan, statistics, engine, lineage."""
        return _object(board.row(plan_key))

    def get_problems(plan_key: str) -> list[dict[str, Any]]:
        """How a model did on each problem of a result: attempts, right ones, without answer, cut off, tokens."""
        return _list(board.problems(plan_key))

    def get_attempts(plan_key: str, problem_id: str, offset: int = 0, limit: int = 20) -> dict[str, Any]:
        """The attempts at one problem: completion, extracted answer, verdict. Of GPQA no text is stored."""
        row = board.row(plan_key)
        found = [shown_attempt(each, row.benchmark) for each in board.attempts(plan_key, problem_id)]
        return _object(page(found, max(0, offset), _bounded(limit)))

    def compare(first_plan_key: str, second_plan_key: str) -> dict[str, Any]:
        """Two results over the same problems, paired: difference, its error and p-value, and what could be shown."""
        return _object(comparison_report(compare_results(board, first_plan_key, second_plan_key)))

    def list_submissions(status: str = "", offset: int = 0, limit: int = 50) -> dict[str, Any]:
        """Submissions with their state, newest first, page by page. `status`: PENDING, RUNNING, FINISHED, ..."""
        wanted = Status(status) if status in Status.__members__ else None
        jobs = [job_view(job) for job in queue.jobs() if not status or job.status is wanted]
        return _object(page(jobs, max(0, offset), _bounded(limit)))

    def get_submission(job_id: str) -> dict[str, Any]:
        """One submission with its state, and why it failed where it did."""
        return _object(job_view(queue.find(job_id)))

    tools: tuple[Tool, ...] = (
        list_benchmarks,
        leaderboard,
        find_results,
        get_result,
        get_problems,
        get_attempts,
        compare,
        list_submissions,
        get_submission,
    )
    return {tool.__name__: tool for tool in tools}


def _bounded(limit: int) -> int:
    return min(max(1, limit), MOST_ROWS)


def _object(value: Any) -> dict[str, Any]:
    """As JSON would carry it: dataclasses, enums and tuples become objects, text and lists."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(value))
    return plain


def _list(values: Sequence[Any]) -> list[dict[str, Any]]:
    return [_object(value) for value in values]
