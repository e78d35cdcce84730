"""Every hostile submission and checkpoint of the corpus is refused with a clear message, in bounded time and memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import pytest

from evaluator.errors import CheckpointRejected
from evaluator.prepare import local_prompt_facts
from evaluator.types import Sample
from leaderboard.inspection import inspect_folder
from leaderboard.submissions import ResolvedModel, SubmissionRejected, check_submission
from tests.hostile.checkpoints import ACCEPTED, CONFIGS, TEMPLATES, TOKENIZERS, WEIGHTS, Files
from tests.hostile.forms import FIELDS, MODELS

CHECKPOINTS = WEIGHTS | CONFIGS | TEMPLATES | TOKENIZERS
LONGEST_S = 120  # processor time of the limited process is 10 s; the rest is a busy machine
MOST_MEMORY_KB = 1 << 20
PROBLEMS = ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa What is 1 + 1?", "What is 2 + 2? Now.")
SAMPLES = [Sample(problem_id=f"p{n}", prompt=prompt, target="4") for n, prompt in enumerate(PROBLEMS)]


def never(model: str, revision: str | None) -> ResolvedModel:
    raise AssertionError(f"{model!r} at {revision!r} was looked up although the form is hostile")


def submit(form: dict[str, Any]) -> str:
    with pytest.raises(SubmissionRejected) as caught:
        check_submission({"model": "owner/name", "benchmarks": ["aime_2024"], **form}, local_mode=False, resolve=never)
    return str(caught.value)


def judge(files: Files, folder: Path) -> None:
    """What the board does with a checkpoint before an engine sees it."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    inspect_folder(folder)
    local_prompt_facts(folder, SAMPLES)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(MODELS) + len(FIELDS) + len(CHECKPOINTS) >= 60


@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_model_name_is_refused(name: str) -> None:
    model, says = MODELS[name]
    message = submit({"model": model})
    assert says in message
    assert len(message) < 1_000


@pytest.mark.parametrize("name", FIELDS)
def test_a_hostile_field_is_refused(name: str) -> None:
    fields, says = FIELDS[name]
    message = submit(fields)
    assert says in message
    assert len(message) < 1_000


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_in_bounded_time_and_memory(name: str, tmp_path: Path) -> None:
    files, says = CHECKPOINTS[name]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(CheckpointRejected, match=says) as caught:
        judge(files, tmp_path / "m")
    assert time.monotonic() - started < LONGEST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY_KB
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_sound_checkpoint_is_accepted_whatever_lies_beside_it(name: str, tmp_path: Path) -> None:
    judge(ACCEPTED[name], tmp_path / "m")
