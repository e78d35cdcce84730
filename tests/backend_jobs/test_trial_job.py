"""A trial and the full run as a worker carries them out: the real job runner, an engine program of the fake kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend_jobs.jobs import JobRunner
from backend_jobs.queue import StoreQueue
from backend_jobs.worker import Worker
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import check_submission, resolve_folder
from leaderboard.types import JobRecord, Status
from settings import Settings
from tests.checkpoints import sound_checkpoint
from tests.fakes.engine_program import engine_program


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", store=str(tmp_path / "store.db"), engine_python=str(engine_program(tmp_path))
    )


def carried_out(settings: Settings, folder: Path, *, trial: bool) -> JobRecord:
    """Submit, and let a worker run it to its end."""
    store = SqliteStore(Path(settings.store))
    queue = StoreQueue(store)
    form = {"model": str(folder), "benchmarks": ["arithmetic"], "attempts": 1, "trial": trial}
    asked = queue.submit(check_submission(form, local_mode=True, resolve=lambda *_: resolve_folder(folder)))
    runner = JobRunner(settings, queue)
    assert Worker(queue, FileLive(settings.data_dir / "live"), runner.run, name="worker").run_once()
    return queue.find(asked.submission.id)


def test_a_trial_asks_one_problem_once_and_the_full_run_takes_its_answer_over(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    for name, content in sound_checkpoint().items():
        (folder / name).write_bytes(content)
    board = Board(SqliteStore(Path(settings.store)))
    tried = carried_out(settings, folder, trial=True)
    assert (tried.status, tried.results) == (Status.FINISHED, ())
    assert board.rows() == ()
    (trial,) = board.trials(tried.submission.id)
    (attempt,) = trial.attempts
    whole = carried_out(settings, folder, trial=False)
    assert whole.status is Status.FINISHED
    (row,) = board.rows()
    assert (row.problems, row.attempts_per_problem) == (400, 1)
    (kept,) = board.attempts(row.plan_key, attempt.problem_id)
    # Not asked again: even how long the answer took is the same.
    assert replace(kept, target=attempt.target) == attempt
    assert board.trials(whole.submission.id) == ()
