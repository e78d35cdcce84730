"""What the form says while somebody types, asked of a local Hub and of local folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.preflight import Preflighter
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.preflight import Mark, Preflight
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import check_submission, resolve_folder
from leaderboard.types import Status
from leaderboard.views.preflight import first_prompt_section, preflight_section
from settings import Settings
from tests.checkpoints import CONFIG, sound_checkpoint
from tests.leaderboard.measurements import checkpoint, measurement, publish
from tests.leaderboard.page_content import HOSTILE, MemoryLive
from tests.leaderboard.test_views import assert_harmless


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-model"
    made.mkdir()
    for name, content in sound_checkpoint().items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def desk(tmp_path: Path, store: SqliteStore) -> Preflighter:
    settings = Settings(data_dir=tmp_path / "data")
    return Preflighter(settings, board=Board(store), queue=StoreQueue(store), live=MemoryLive())


def marks(found: Preflight) -> dict[str, Mark]:
    return {check.name: check.mark for check in found.checks}


def form(folder: Path, **fields: Any) -> dict[str, Any]:
    return {"model": str(folder), "benchmarks": ["arithmetic"], **fields}


def test_nothing_is_said_of_an_empty_form_and_half_a_name_is_refused_without_a_look_up(desk: Preflighter) -> None:
    assert desk.check({}) == Preflight(checks=())
    assert not desk.check({"model": "deepseek-ai"}).ready
    assert desk.first_prompt({"model": "deepseek-ai", "benchmarks": ["arithmetic"]}) is None
    assert "has no owner" in desk.check({"model": "deepseek-ai"}).checks[0].says


def test_a_sound_checkpoint_is_told_in_full_and_is_ready(desk: Preflighter, folder: Path) -> None:
    found = desk.check(form(folder))
    assert found.ready
    assert marks(found) == {
        "exists": Mark.GOOD,
        "weights": Mark.GOOD,
        "architecture": Mark.GOOD,
        "number format": Mark.GOOD,
        "chat template": Mark.GOOD,
        "licence": Mark.OPEN,
        "measured before": Mark.GOOD,
        "context": Mark.GOOD,
    }
    assert [cost.requests for cost in found.costs] == [1600]
    assert found.fits[0].here
    assert all(fit.answers for fit in found.fits if "H100" in fit.hardware)
    assert all(fit.dollars is not None for fit in found.fits if "H200" in fit.hardware)
    assert (found.ahead, found.wait_s) == (0, 0.0)


def test_the_first_prompt_is_rendered_by_the_models_own_template(desk: Preflighter, folder: Path) -> None:
    first = desk.first_prompt(form(folder))
    assert first is not None
    assert first.text is not None
    assert first.text.startswith("What is ")
    assert not first.opens_thought
    assert "letter by letter" in assert_harmless(first_prompt_section(first)).text


def test_a_context_that_is_too_short_is_refused_with_the_budget_that_fits(desk: Preflighter, folder: Path) -> None:
    found = desk.check(form(folder, benchmarks=["math_500"]))
    assert marks(found)["context"] is Mark.BAD
    assert "set the answer budget to 3,072 or fewer" in found.checks[-1].says
    assert found.fits == ()
    assert desk.check(form(folder, benchmarks=["math_500"], max_tokens="3000")).ready


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"chat_template_jinja": None}, "no chat template"),
        ({"model_safetensors": None}, "safetensors"),
        ({"config_json": json.dumps({**CONFIG, "architectures": ["NobodyForCausalLM"]}).encode()}, "Nobody"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(
    desk: Preflighter, tmp_path: Path, changed: dict[str, bytes | None], says: str
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name, content in sound_checkpoint(**changed).items():
        (folder / name).write_bytes(content)
    found = desk.check(form(folder))
    assert not found.ready
    assert says in found.checks[0].says


def test_work_that_waits_already_is_refused_with_its_job(desk: Preflighter, folder: Path, store: SqliteStore) -> None:
    asked = check_submission(form(folder), local_mode=True, resolve=lambda *_: resolve_folder(folder))
    job = StoreQueue(store).submit(asked)
    assert job.status is Status.PENDING
    found = desk.check(form(folder))
    check = next(check for check in found.checks if check.name == "measured before")
    assert check.mark is Mark.BAD
    assert check.link == f"queue?job={job.submission.id}"
    assert (found.ahead, found.wait_s) == (1, None)
    assert desk.check(form(folder, benchmarks=["aime_2024"], max_tokens=2000)).ready
    assert "See it" in assert_harmless(preflight_section(found)).text


def test_what_was_measured_before_is_linked_and_gives_the_expected_length(
    desk: Preflighter, folder: Path, store: SqliteStore
) -> None:
    weights = resolve_folder(folder)
    done = measurement([4, 2], commit=weights.commit, model=weights.model)
    (key,) = publish(store, done, weights=replace(checkpoint(weights.model), commit=weights.commit))
    found = desk.check(form(folder))
    check = next(check for check in found.checks if check.name == "measured before")
    assert (check.mark, check.link) == (Mark.CAREFUL, f"result?plan={key}")
    assert found.costs[0].measured
    assert found.costs[0].each.mean == 10


def test_a_trial_costs_one_request_per_benchmark(desk: Preflighter, folder: Path) -> None:
    costs = desk.check(form(folder, trial=True, benchmarks=["arithmetic", "aime_2024"], max_tokens=100)).costs
    assert [cost.requests for cost in costs] == [1, 1]


def test_nothing_that_is_typed_becomes_markup(desk: Preflighter, folder: Path) -> None:
    assert_harmless(preflight_section(desk.check({"model": HOSTILE, "note": HOSTILE})))
    hostile = folder.parent / "<b>bold"
    folder.rename(hostile)
    assert_harmless(preflight_section(desk.check(form(hostile))))
