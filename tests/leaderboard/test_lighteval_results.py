"""lighteval's result files: read as somebody else's measurements, written from ours, and never taken for a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.models.abstract_model import ModelConfig
from lighteval.models.model_input import GenerationParameters
from lighteval.tasks.lighteval_task import LightevalTask

from backend_jobs.cli import main
from evaluator import tasks
from evaluator.benchmarks import AIME_2024
from leaderboard.board import Board
from leaderboard.lighteval_results import (
    LightevalUnreadable,
    export_results,
    read_results,
    result_json,
    result_path,
)
from leaderboard.references import StoredReferences
from leaderboard.results import read_row
from leaderboard.sqlite_store import SqliteStore
from leaderboard.stores import open_store
from leaderboard.types import ReferenceKind, ReferenceScore
from tests.leaderboard.measurements import measurement, publish

TIME = "2025-02-05T10-30-15.123456"
AT = "2026-01-02T03:04:05+00:00"


def historic(**changes: Any) -> dict[str, Any]:
    """A file as lighteval of early 2025 wrote it."""
    return {
        "config_general": {
            "lighteval_sha": "494ee12240e716e804ae9ea834f84a2c864c07ca",
            "num_fewshot_seeds": 1,
            "override_batch_size": -1,
            "max_samples": None,
            "job_id": "",
            "start_time": 1.0,
            "end_time": 2.0,
            "total_evaluation_time_secondes": "1.0",
            "model_name": "owner/model",
            "model_sha": "",
            "model_dtype": None,
            "model_size": None,
            "generation_parameters": {"temperature": 0.6, "top_p": 0.95, "top_k": None, "max_new_tokens": 32768},
        },
        "results": {
            "custom|aime24|0": {"extractive_match": 0.43333, "extractive_match_stderr": 0.09202},
            "all": {"extractive_match": 0.43333, "extractive_match_stderr": 0.09202},
        },
        "versions": {"custom|aime24|0": 1},
        "config_tasks": {"custom|aime24": {"name": "aime24", "generation_size": 32768}},
        "summary_tasks": {},
        "summary_general": {},
        **changes,
    }


def write(root: Path, content: Any, folders: str = "owner/model/main/aime24", time: str = TIME) -> Path:
    place = root / "eval_results" / folders
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"results_{time}.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def only(path: Path) -> ReferenceScore:
    (score,) = read_results(path).scores
    return score


def test_a_historic_file_is_somebody_elses_measurement_with_its_settings(tmp_path: Path) -> None:
    write(tmp_path, historic())
    read = read_results(tmp_path, source="A team", url="https://example.org/results")
    assert read.scores == (
        ReferenceScore(
            model="owner/model",
            benchmark="aime_2024",
            score=43.333,
            kind=ReferenceKind.MEASURED_ELSEWHERE,
            source="A team",
            url="https://example.org/results",
            date="2025-02-05",
            settings="lighteval task custom|aime24|0, metric extractive_match; temperature 0.6, top_p 0.95; "
            "revision main; its standard error 9.2",
            samples_per_problem=1,
            max_tokens=32768,
        ),
    )
    assert (read.files, read.left_out) == (1, {})


def test_what_lighteval_saves_today_is_read(tmp_path: Path) -> None:
    tracker = EvaluationTracker(output_dir=str(tmp_path), save_details=False)
    generation = GenerationParameters(temperature=0.6, max_new_tokens=1000)
    config = ModelConfig(model_name="owner/model", generation_parameters=generation)
    tracker.general_config_logger.log_model_info(config)
    name = "open_r1:aime_2024|0"
    tracker.metrics_logger.metric_aggregated[name] = {"pass@1": 0.25, "pass@1_stderr": 0.05}
    tracker.task_config_logger.log({name: LightevalTask(tasks.task_config(AIME_2024, attempts=8))})
    tracker.save()
    score = only(tmp_path)
    assert (score.model, score.benchmark, score.score) == ("owner/model", "aime_2024", 25.0)
    assert (score.samples_per_problem, score.max_tokens) == (8, 1000)
    assert "temperature 0.6" in score.settings


def test_what_we_write_has_the_keys_that_lighteval_writes(tmp_path: Path) -> None:
    tracker = EvaluationTracker(output_dir=str(tmp_path))
    tracker.general_config_logger.log_model_info(ModelConfig(model_name="m"))
    tracker.general_config_logger.log_args_info(1, None, "")
    theirs = tracker.results
    ours = result_json(rows_of(SqliteStore(tmp_path / "s.db"))[0])
    assert ours.keys() - {"open_r1"} == theirs.keys()
    assert theirs["config_general"].keys() - {"end_time"} <= ours["config_general"].keys()


@pytest.mark.parametrize(
    ("task", "metrics", "score", "samples"),
    [
        ("lighteval|math_500|0", {"math_pass@1:1_samples": 0.9, "math_pass@1:4_samples": 0.875}, 87.5, 4),
        ("lighteval|gpqa:diamond|0|0", {"gpqa_pass@1:8_samples": 0.5, "gpqa_pass@1:1_samples": 0.4}, 50.0, 8),
        ("aime25|0", {"pass@k:k=1": 0.3, "avg@n:n=64": 0.25}, 25.0, 64),
        ("aime25|0", {"pass@k:k=1&n=16": 0.5, "pass@k:k=8&n=16": 0.9, "maj@n:n=64": 0.8}, 50.0, 16),
        ("gpqa:diamond|0", {"gpqa_pass@k:k=1": 0.5}, 50.0, None),
        ("aime24|0", {"extractive_match": 0.0}, 0.0, 1),
    ],
)
def test_the_mean_over_most_samples_is_the_score(
    tmp_path: Path, task: str, metrics: dict[str, float], score: float, samples: int | None
) -> None:
    write(tmp_path, historic(results={task: metrics}))
    found = only(tmp_path)
    assert (found.score, found.samples_per_problem) == (score, samples)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([], "no object named results"),
        ({"results": []}, "no object named results"),
        (historic(config_general={"model_name": "a/b", "max_samples": 10}), "limited to some problems"),
        (historic(results={"lighteval|ifeval|0": {"acc": 0.5}}), "task ifeval is no benchmark"),
        (historic(results={"aime24|0": {"maj@n:n=64": 0.5, "pass@k:k=8&n=16": 0.5}}), "mean of right answers"),
        (historic(results={"aime24|0": {"extractive_match": 43.3}}), "no share from 0 to 1"),
        (historic(results={"aime24|0": {"extractive_match": float("nan")}}), "no share from 0 to 1"),
        (historic(results={"aime24|0": {"extractive_match": True}}), "no share from 0 to 1"),
        (historic(results={"aime24|0": "none"}), "mean of right answers"),
    ],
)
def test_what_makes_no_score_is_left_out_and_counted_with_the_reason(tmp_path: Path, content: Any, reason: str) -> None:
    write(tmp_path, content)
    write(tmp_path, historic(), "owner/other/main/aime24")
    read = read_results(tmp_path)
    ((told, count),) = read.left_out.items()
    assert reason in told
    assert (count, read.files, len(read.scores)) == (1, 2, 1)


def test_a_file_without_a_time_in_its_name_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, historic(), time="latest")
    assert "has no time" in next(iter(read_results(tmp_path).left_out))


def test_a_checkpoint_named_by_a_path_gets_its_name_from_the_layout(tmp_path: Path) -> None:
    general = {"model_name": "/scratch/checkpoints/step-100", "max_samples": None}
    write(tmp_path, historic(config_general=general), "open-r1/model/v1.step-100/aime24")
    score = only(tmp_path)
    assert score.model == "open-r1/model"
    assert "revision v1.step-100" in score.settings
    assert only(tmp_path / "eval_results").model == "open-r1/model"


def test_several_measurements_of_one_model_stay_several(tmp_path: Path) -> None:
    write(tmp_path, historic())
    write(tmp_path, historic(), time="2025-03-01T00-00-00.000000")
    assert [score.date for score in read_results(tmp_path).scores] == ["2025-02-05", "2025-03-01"]


def test_a_folder_without_results_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(LightevalUnreadable, match=r"expected results_<time>\.json"):
        read_results(tmp_path)


def rows_of(store: SqliteStore, **plan: Any) -> tuple[Any, ...]:
    publish(store, measurement([4, 3, 0, 1], bench="math_500", **plan), at=AT)
    return Board(store).rows()


def test_our_rows_come_back_with_score_settings_and_date(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    (row,) = rows_of(store)
    (file,) = export_results([row], tmp_path / "eval_results")
    assert file.relative_to(tmp_path).parts[:-1] == ("eval_results", *row.model.split("/"), row.revision, "math_500")
    score = only(tmp_path / "eval_results")
    assert (score.model, score.benchmark, score.date) == (row.model, "math_500", "2026-01-02")
    assert score.score == pytest.approx(row.statistics.score, abs=1e-9)
    assert (score.samples_per_problem, score.max_tokens) == (4, 32_768)
    assert "temperature 0.6, top_p 0.95" in score.settings
    assert read_row(json.dumps(json.loads(file.read_text())["open_r1"]).encode()) == row


def test_two_rows_of_one_second_stay_two_files(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    rows_of(store)
    rows = rows_of(store, run=1)
    assert len(set(export_results(rows, tmp_path / "eval_results"))) == 2
    assert len(read_results(tmp_path / "eval_results").scores) == 2


@pytest.mark.parametrize("model", ["../../escape", "/etc/passwd", "a name\nof two lines", "served"])
def test_no_model_name_leads_out_of_the_folder(tmp_path: Path, model: str) -> None:
    (row,) = rows_of(SqliteStore(tmp_path / "store.db"), model=model)
    assert ".." not in result_path(row).split("/")
    (file,) = export_results([row], tmp_path / "eval_results")
    assert file.resolve().is_relative_to(tmp_path / "eval_results")
    assert only(tmp_path / "eval_results").model == model


def test_imported_scores_stand_among_published_ones_and_never_among_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, historic())
    spec = str(tmp_path / "store.db")
    command = ["import-lighteval", str(tmp_path), "--store", spec, "--source", "A team", "--json"]
    for _ in range(2):
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out) == {"files": 1, "scores": 1, "models": 1, "left out": {}}
    board = Board(open_store(spec))
    assert [score.source for score in board.references_for("aime_2024")] == ["A team"]
    assert (board.rows(), board.leaderboard()) == ((), [])
    write(tmp_path, historic(), time="2025-03-01T00-00-00.000000")
    assert main(command) == 0
    assert len(board.references_for("aime_2024")) == 2


def test_an_import_wants_an_address_that_can_be_linked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, historic())
    status = main(
        ["import-lighteval", str(tmp_path), "--store", str(tmp_path / "s.db"), "--url", "javascript:alert(1)"]
    )
    assert (status, "expected the https address" in capsys.readouterr().err) == (1, True)


def test_an_export_from_the_command_line_can_be_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(tmp_path / "store.db")
    (row,) = rows_of(store)
    assert main(["export-lighteval", str(tmp_path / "out"), "--store", str(tmp_path / "store.db"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 1
    assert main(["import-lighteval", str(tmp_path / "out"), "--store", str(tmp_path / "other.db")]) == 0
    (score,) = StoredReferences(open_store(str(tmp_path / "other.db"))).all()
    assert (score.model, score.score) == (row.model, pytest.approx(row.statistics.score))


def test_a_stored_file_that_is_no_list_of_scores_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, historic())
    spec = str(tmp_path / "store.db")
    assert main(["import-lighteval", str(tmp_path), "--store", spec]) == 0
    store = open_store(spec)
    parent = store.snapshot().version
    store.commit({"references/a/b.jsonl": b"{"}, parent=parent, message="a bad file")
    assert len(Board(store).references_for("aime_2024")) == 1
