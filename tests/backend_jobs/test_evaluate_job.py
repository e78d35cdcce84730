"""One evaluation's surroundings: which folders a run has for itself."""

from __future__ import annotations

from pathlib import Path

from backend_jobs.evaluate_job import serving_folder
from settings import Settings


def test_two_runs_of_one_checkpoint_serve_it_from_folders_of_their_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert serving_folder(settings, "7-1") != serving_folder(settings, "7-2")
    assert serving_folder(settings, "7-1") == tmp_path / "engines" / "7-1" / "served"
