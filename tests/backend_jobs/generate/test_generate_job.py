"""A generation as a job of the queue: live state, cancelling, failing, its report on the board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from backend_jobs.cli import main
from backend_jobs.generate.recipe import GenerateRecipe
from backend_jobs.jobs import JobRunner
from backend_jobs.queue import StoreQueue
from backend_jobs.worker import Worker
from leaderboard.contracts import LiveState
from leaderboard.datasets import read_reports
from leaderboard.stores import open_store
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import JobKind, Status
from leaderboard.views.queue import queue_page
from settings import ROOT, Settings
from tests.backend_jobs.generate.recipes import recipe, teacher, write_problems
from tests.fakes.openai_server import FakeOpenAI, Hang


class Seen:
    """A live board that keeps everything that was published."""

    def __init__(self) -> None:
        self.states: list[LiveState] = []

    def publish(self, state: LiveState) -> None:
        self.states.append(state)

    def read(self, job_id: str) -> LiveState | None:
        return next((state for state in reversed(self.states) if state.job_id == job_id), None)


def submitted(tmp_path: Path, asked_for: GenerateRecipe) -> StoreQueue:
    file = tmp_path / f"{asked_for.run}.yaml"
    file.write_text(yaml.safe_dump(asked_for.model_dump(mode="json")), encoding="utf-8")
    assert main(["submit", str(file), "--store", str(tmp_path / "store.db")]) == 0
    return StoreQueue(open_store(str(tmp_path / "store.db")))


def worker(queue: StoreQueue, seen: Seen, tmp_path: Path) -> Worker:
    return Worker(queue, seen, JobRunner(Settings(data_dir=tmp_path), queue).run, name="w", beat_s=0.1)


def test_a_finished_job_leaves_its_report_on_the_board(tmp_path: Path) -> None:
    seen = Seen()
    with FakeOpenAI(teacher, latency_s=0.02) as fake:
        queue = submitted(tmp_path, recipe(write_problems(tmp_path / "p.jsonl", 40), fake.base_url))
        [job] = queue.jobs()
        assert (job.submission.kind, job.submission.model) == (JobKind.GENERATE, "local/sums")
        assert worker(queue, seen, tmp_path).run_once()
    [job] = queue.jobs()
    assert job.status is Status.FINISHED
    [report] = read_reports(open_store(str(tmp_path / "store.db")))
    assert (report.name, report.complete) == ("sums", True)
    assert report.rows + sum(report.dropped.values()) == 80
    assert seen.states[-1].generation is not None
    assert seen.states[-1].generation.samples == 80


def test_a_run_that_is_on_its_way_is_not_queued_again(tmp_path: Path) -> None:
    asked_for = recipe(write_problems(tmp_path / "p.jsonl", 4), "http://127.0.0.1:9/v1")
    queue = submitted(tmp_path, asked_for)
    [job] = queue.jobs()
    with pytest.raises(SubmissionRejected, match="already pending"):
        queue.submit(job.submission.__class__(**{**_fields(job.submission), "id": "other"}))


def _fields(submission: object) -> Mapping[str, object]:
    return {name: getattr(submission, name) for name in submission.__dataclass_fields__}  # type: ignore[attr-defined]


def test_a_cancelled_job_keeps_what_was_answered(tmp_path: Path) -> None:
    seen = Seen()
    with FakeOpenAI(teacher) as fake:
        fake.faults = lambda asked: Hang() if asked.number > 30 else None
        queue = submitted(tmp_path, recipe(write_problems(tmp_path / "p.jsonl", 40), fake.base_url))
        [job] = queue.jobs()

        class Cancelling(Seen):
            def publish(self, state: LiveState) -> None:
                super().publish(state)
                running = queue.find(job.submission.id).status is Status.RUNNING
                if running and state.generation is not None and state.generation.samples >= 30:
                    queue.cancel(job.submission.id)

        cancelling = Cancelling()
        worker(queue, cancelling, tmp_path).run_once()
        assert queue.find(job.submission.id).status is Status.CANCELLED
        fake.faults = lambda _: None
        asked_before = sum(asked.ended == "answered" for asked in fake.requests)
        again = submitted(tmp_path, recipe(tmp_path / "p.jsonl", fake.base_url))
        worker(again, seen, tmp_path).run_once()
        assert sum(asked.ended == "answered" for asked in fake.requests) == 80
        assert asked_before == 30


def test_a_job_that_cannot_run_says_why(tmp_path: Path) -> None:
    queue = submitted(tmp_path, recipe(write_problems(tmp_path / "p.jsonl", 4), "http://127.0.0.1:9/v1"))
    worker(queue, Seen(), tmp_path).run_once()
    [job] = queue.jobs()
    assert job.failure is not None
    assert (job.status, job.failure.code) == (Status.FAILED, "engine_unreachable")


def test_the_queue_shows_a_running_generation(tmp_path: Path) -> None:
    seen = Seen()
    with FakeOpenAI(teacher) as fake:
        queue = submitted(tmp_path, recipe(write_problems(tmp_path / "p.jsonl", 10), fake.base_url))
        record = queue.claim("w")
        assert record is not None
        waiting = queue_page(queue.jobs(), {}, {}, may_act=True, asked=None)
        assert "Reasoning data" in waiting
        assert "Every answer it has stays" in waiting
    assert not seen.states


def test_plan_says_what_a_generation_would_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with FakeOpenAI(teacher) as fake:
        file = tmp_path / "recipe.yaml"
        asked_for = recipe(write_problems(tmp_path / "p.jsonl", 10), fake.base_url)
        file.write_text(yaml.safe_dump(asked_for.model_dump(mode="json")), encoding="utf-8")
        assert main(["plan", str(file)]) == 0
        assert not fake.requests
    told = capfd.readouterr().out
    assert "10 rows" in told
    assert "2 each, at most 100 tokens" in told


def test_generate_on_the_command_line_ends_with_one_object(tmp_path: Path) -> None:
    file, store = tmp_path / "recipe.yaml", str(tmp_path / "store.db")
    with FakeOpenAI(teacher) as fake:
        asked_for = recipe(write_problems(tmp_path / "p.jsonl", 10), "http://127.0.0.1:9/v1")
        file.write_text(yaml.safe_dump(asked_for.model_dump(mode="json")), encoding="utf-8")
        words = ["generate", str(file), "--endpoint", fake.base_url, "--limit", "5", "--store", store, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "backend_jobs", *words],
            cwd=ROOT,
            env={**os.environ, "OPEN_R1_DATA": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    made = json.loads(done.stdout.splitlines()[-1])
    assert made["rows"] + sum(made["dropped"].values()) == 10
    assert [report.name for report in read_reports(open_store(store))] == ["sums-first-5"]
