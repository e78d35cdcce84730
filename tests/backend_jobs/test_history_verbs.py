"""The verbs that go back to a result, through the command line, a real store and a server on a real socket."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from backend_jobs.cli import main
from backend_jobs.reproduce import WeightsMissing, ask_again, require_the_same
from evaluator.checkpoint import local_checkpoint
from evaluator.errors import PlanRejected
from evaluator.grading import GRADER_VERSION
from evaluator.types import Checkpoint
from leaderboard.board import Board
from leaderboard.sqlite_store import SqliteStore
from leaderboard.stores import open_store
from tests.fakes.openai_server import FakeOpenAI
from tests.leaderboard.measurements import COMMIT, measurement, publish

Run = Callable[..., tuple[int, Any, str]]


def adds_up(prompt: str, seed: int) -> str:
    """Adds the chain of a prompt such as `What is 8 - 4?`; every fifth seed is off by one."""
    total = sum(int(term.replace(" ", "")) for term in re.findall(r"[+-]?\s*\d", prompt))
    return f"<think>\nsteps\n</think>\n\\boxed{{{total + (seed % 5 == 0)}}}"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(adds_up, model="served") as fake:
        yield fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a verb on the store of this test; returns exit status, the JSON of the last line, and what went wrong."""
    monkeypatch.setenv("OPEN_R1_DATA", str(tmp_path / "data"))

    def run_main(*words: object) -> tuple[int, Any, str]:
        status = main([*map(str, words), "--store", str(tmp_path / "store.db"), "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out.splitlines()[-1]) if captured.out else None, captured.err

    return run_main


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def board(tmp_path: Path) -> Board:
    return Board(open_store(str(tmp_path / "store.db")))


def measured(run: Run, server: FakeOpenAI, attempts: int = 2, *flags: str) -> str:
    words = ["evaluate", "--model", "served", "--endpoint", server.base_url, "--benchmark", "arithmetic"]
    status, result, _ = run(*words, "--attempts", attempts, *flags)
    assert status == 0
    return str(result["plan_key"])


# reproduce


def test_a_reproduction_asks_everything_again_under_other_seeds_and_agrees(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    key = measured(run, server, 2, "--revision", COMMIT)
    first = {(asked.prompt, asked.seed) for asked in server.requests}
    status, result, _ = run("reproduce", key, "--publish")
    second = {(asked.prompt, asked.seed) for asked in server.requests[len(first) :]}
    assert status == 0
    assert (len(first), len(second), first & second) == (800, 800, set())
    assert (result["agrees"], result["run"], result["published"]) == (True, 1, True)
    assert abs(result["difference"]) <= result["agrees_within"]
    assert result["score_again"] == pytest.approx(result["score"] + result["difference"])
    shown = board(tmp_path)
    assert {row.plan_key for row in shown.rows()} == {key, result["plan_key"]}
    (entry,) = shown.leaderboard()
    assert entry.scores["arithmetic"].plan_key == key


def test_a_model_that_became_another_does_not_agree_and_the_exit_status_is_still_0(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    key = measured(run, server)
    server.answer = lambda prompt, seed: adds_up(prompt, seed) if seed % 2 else "I cannot say"
    status, result, _ = run("reproduce", key)
    assert (status, result["agrees"], result["published"]) == (0, False, False)
    assert [row.plan_key for row in board(tmp_path).rows()] == [key]


def test_a_second_call_takes_the_answers_from_the_journal(run: Run, server: FakeOpenAI) -> None:
    key = measured(run, server)
    _, first, _ = run("reproduce", key)
    asked = len(server.requests)
    _, second, _ = run("reproduce", key)
    assert len(server.requests) == asked
    assert second == first


def test_one_attempt_per_problem_cannot_tell_whether_it_agrees(run: Run, server: FakeOpenAI) -> None:
    status, result, _ = run("reproduce", measured(run, server, 1))
    assert (status, result["agrees"], result["agrees_within"]) == (0, None, None)


def test_print_says_exactly_how_and_asks_nothing(run: Run, server: FakeOpenAI) -> None:
    key = measured(run, server)
    asked = len(server.requests)
    status, result, _ = run("reproduce", key, "--print")
    assert status == 0
    assert result["command"].startswith(f"python -m backend_jobs reproduce {key} --store ")
    assert server.base_url in result["weights"]
    assert (result["settings"]["run"], result["settings"]["sampling"]["temperature"]) == (1, 0.6)
    assert len(server.requests) == asked


def test_a_plan_that_this_program_cannot_make_is_refused_before_anything_is_asked(
    run: Run, server: FakeOpenAI, store: SqliteStore
) -> None:
    made = measurement([1, 0], attempts=2, model="served", commit=None, grader_version=GRADER_VERSION)
    plan = replace(made.plan, system_prompt="Be brief.", endpoint=server.base_url)
    (key,) = publish(store, replace(made, plan=plan))
    status, _, err = run("reproduce", key)
    assert status == 1
    assert "system prompt" in err
    assert not server.requests


def test_a_result_of_an_older_grader_is_regraded_first(run: Run, store: SqliteStore) -> None:
    (key,) = publish(store, measurement([1, 0]))
    status, _, err = run("reproduce", key)
    assert status == 1
    assert f"python -m backend_jobs regrade {key}" in err


def test_local_weights_are_served_only_where_their_hash_still_matches(tmp_path: Path, store: SqliteStore) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    found = local_checkpoint(folder)
    weights = Checkpoint(model=found.model, commit=found.commit)
    (key,) = publish(store, measurement([1], model=found.model, commit=found.commit), weights=weights)
    row = Board(store).row(key)
    ask = ask_again(row, replace(row.plan, run=1), folder=folder, endpoint=None, concurrency=None)
    assert (ask.model, ask.revision, ask.options.run) == (str(folder), None, 1)
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(WeightsMissing, match="holds other weights"):
        ask_again(row, row.plan, folder=folder, endpoint=None, concurrency=None)
    shutil.rmtree(folder)
    for gone in (folder, None):
        with pytest.raises(WeightsMissing, match="add --model PATH"):
            ask_again(row, row.plan, folder=gone, endpoint=None, concurrency=None)


def test_hub_weights_are_asked_for_by_commit(store: SqliteStore) -> None:
    row = Board(store).row(publish(store, measurement([1]))[0])
    ask = ask_again(row, replace(row.plan, run=3), folder=None, endpoint=None, concurrency=7)
    assert (ask.model, ask.revision) == ("owner/model", COMMIT)
    assert (ask.options.run, ask.options.attempts, ask.options.concurrency) == (3, 4, 7)


def test_plans_that_would_measure_something_else_are_told_apart_in_words() -> None:
    plan = measurement([1]).plan
    require_the_same(plan, replace(plan, endpoint="http://elsewhere/v1"))
    with pytest.raises(PlanRejected, match=r"temperature 0\.6 vs 0"):
        require_the_same(plan, replace(plan, sampling=replace(plan.sampling, temperature=0.0)))


# regrade


def test_regrade_reports_scores_and_problems_and_a_second_call_has_nothing_to_do(run: Run, store: SqliteStore) -> None:
    (key,) = publish(store, measurement([4, 2, 0], grader_version="0"))
    status, result, _ = run("regrade", key)
    assert status == 0
    assert (result["regraded"], result["supersedes"], result["score_before"]) == (True, key, 50)
    assert result["grader_version"] == GRADER_VERSION
    assert result["difference"] == pytest.approx(result["score"] - 50)
    assert {problem["problem_id"] for problem in result["changed"]} <= {"p000", "p001", "p002"}
    status, again, _ = run("regrade", key)
    assert (status, again["regraded"], again["result"]) == (0, False, result["result"])


def test_regrade_all_goes_on_past_a_result_that_fails_and_names_it(run: Run, store: SqliteStore) -> None:
    (private,) = publish(store, measurement([1], bench="gpqa_diamond", grader_version="0"))
    (one,) = publish(store, measurement([1], grader_version="0"))
    (two,) = publish(store, measurement([1], bench="math_500", grader_version="0"))
    status, result, err = run("regrade", "--all")
    assert status == 1
    assert {done["supersedes"] for done in result["regraded"]} == {one, two}
    assert [failed["result"] for failed in result["failed"]] == [private]
    assert "1 of 3 results could not be regraded" in err


def test_regrade_all_of_a_board_that_is_up_to_date_says_so(run: Run, store: SqliteStore) -> None:
    publish(store, measurement([1], grader_version=GRADER_VERSION))
    status, result, _ = run("regrade", "--all")
    assert (status, result["regraded"], result["failed"]) == (0, [], [])
    assert "already" in result["message"]


def test_an_unknown_result_is_one_line(run: Run) -> None:
    status, _, err = run("regrade", "nothing")
    assert (status, len([line for line in err.splitlines() if line.startswith("error:")])) == (1, 1)


# budget


def test_exact_points_are_computed_with_the_checkpoints_tokenizer_and_kept_on_request(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    key = measured(run, server)
    status, _, err = run("budget", key, "--at", "2")
    assert (status, "add --model PATH" in err) == (1, True)
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    asked = len(server.requests)
    status, result, _ = run("budget", key, "--at", "4", "2", "--model", tmp_path, "--publish")
    assert status == 0
    assert [(point["tokens"], point["exact"]) for point in result["points"]] == [(2, True), (4, True)]
    assert [point["score"] for point in result["points"]] == [0, pytest.approx(result["score"])]
    kept = [point for point in board(tmp_path).row(key).budget if point.exact]
    assert [point.tokens for point in kept] == [2, 4]
    assert len(server.requests) == asked
