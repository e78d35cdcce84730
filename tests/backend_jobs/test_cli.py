"""The command line that other programs rely on: exit status, the one line of an error, the JSON of `--json`."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.cli import main
from leaderboard.board import Board
from leaderboard.stores import open_store
from tests.fakes.openai_server import FakeOpenAI, Status, always

Run = Callable[..., tuple[int, str, str]]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROMISED = {
    "benchmark",
    "model",
    "plan_key",
    "problems",
    "attempts_per_problem",
    "score",
    "stderr_questions",
    "stderr_decoding",
    "ci95",
    "verdicts",
    "truncated",
    "mean_completion_tokens",
    "wall_seconds",
}


def adds_up(prompt: str, seed: int) -> str:
    """Adds the chain of a prompt such as `What is 8 - 4?`; every fifth seed is off by one."""
    chain = re.findall(r"[+-]?\s*\d", prompt)
    total = sum(int(term.replace(" ", "")) for term in chain)
    return f"<think>\nsteps\n</think>\n\\boxed{{{total + (seed % 5 == 0)}}}"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(adds_up, model="served") as fake:
        yield fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("OPEN_R1_DATA", str(tmp_path / "data"))

    def run_main(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_main


def evaluate(run: Run, server: FakeOpenAI, *flags: object) -> tuple[int, str, str]:
    """The verb with the flags given; the first of them may be a further benchmark."""
    return run("evaluate", "--model", "served", "--endpoint", server.base_url, "--benchmark", "arithmetic", *flags)


def test_evaluate_prints_one_json_object_with_every_promised_field(run: Run, server: FakeOpenAI) -> None:
    status, out, _ = evaluate(run, server, "--json")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert status == 0
    assert result.keys() >= PROMISED
    assert (result["benchmark"], result["model"]) == ("arithmetic", "served")
    assert (result["problems"], result["attempts_per_problem"]) == (400, 4)
    right = sum(bool(asked.seed % 5) for asked in server.requests)
    assert result["verdicts"]["correct"] == right
    assert result["score"] == pytest.approx(100 * right / 1600)
    assert result["ci95"][0] < result["score"] < result["ci95"][1]


def test_one_attempt_has_no_decoding_error_and_a_second_asks_only_for_itself(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    journal = ["--journal", tmp_path / "journal.db", "--json"]
    _, out, _ = evaluate(run, server, "--attempts", "1", *journal)
    assert json.loads(out.splitlines()[-1])["stderr_decoding"] is None
    assert len(server.requests) == 400
    _, out, _ = evaluate(run, server, "--attempts", "2", *journal)
    assert json.loads(out.splitlines()[-1])["stderr_decoding"] is not None
    assert len(server.requests) == 800
    assert set(server.asked.values()) == {1}


def test_nothing_is_published_without_a_store_and_everything_with_one(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    evaluate(run, server, "--attempts", "1")
    assert not store.exists()
    status, out, _ = evaluate(run, server, "--revision", COMMIT, "--store", store, "--json")
    (row,) = Board(open_store(str(store))).rows()
    result = json.loads(out.splitlines()[-1])
    assert status == 0
    assert (row.plan_key, row.commit, row.ranked) == (result["plan_key"], COMMIT, True)
    assert row.statistics.score == pytest.approx(result["score"])


def test_a_result_that_is_measured_again_is_kept_and_says_so(run: Run, server: FakeOpenAI, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    words = ["--attempts", "1", "--store", store]
    _, _, err = evaluate(run, server, *words, "--journal", tmp_path / "first.db")
    assert "already published" not in err
    before = Board(open_store(str(store))).rows()
    status, _, err = evaluate(run, server, *words, "--journal", tmp_path / "second.db")
    assert (status, len(server.requests)) == (0, 800)
    assert f"result {before[0].plan_key}: already published; kept" in err
    assert Board(open_store(str(store))).rows() == before


def test_a_path_that_is_no_store_is_refused_before_anything_is_asked(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    store.write_bytes(b"not a store at all" * 100)
    status, out, err = evaluate(run, server, "--attempts", "1", "--store", store)
    assert (status, out, server.requests) == (1, "", [])
    assert str(store) in err


def test_a_measurement_is_printed_although_its_store_broke_meanwhile(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "store.db"

    def breaks_the_store(prompt: str, seed: int) -> str:
        store.write_bytes(b"not a store any more" * 100)
        return adds_up(prompt, seed)

    with FakeOpenAI(breaks_the_store, model="served") as server:
        status, out, err = evaluate(run, server, "--attempts", "1", "--store", store, "--json")
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert (status, len(errors)) == (1, 1)
    assert "measured, but not published" in errors[0]
    assert json.loads(out.splitlines()[-1])["problems"] == 400


@pytest.mark.parametrize("flag", ["--completions", "--scores"])
def test_a_path_that_cannot_be_used_ends_with_one_line(run: Run, tmp_path: Path, flag: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"problem_id": "a", "completion": "4", "gold": "4"}\n')
    paths = {"--completions": rows, "--scores": tmp_path / "scores.jsonl"} | {flag: rows / "beneath" / "a-file"}
    words = [word for pair in paths.items() for word in pair]
    status, out, err = run("grade", "--benchmark", "math_500", *words)
    (error,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert (status, out) == (1, "")
    assert "rows.jsonl" in error
    assert "Traceback" not in err


def test_weights_that_only_the_server_knows_are_shown_but_not_ranked(
    run: Run, server: FakeOpenAI, tmp_path: Path
) -> None:
    evaluate(run, server, "--store", tmp_path / "store.db")
    (row,) = Board(open_store(str(tmp_path / "store.db"))).rows()
    assert (row.commit, row.ranked) == (None, False)
    assert "commit" in row.not_ranked_because


def test_a_limited_run_is_never_published(run: Run, server: FakeOpenAI, tmp_path: Path) -> None:
    status, _, err = evaluate(run, server, "--limit", "10", "--store", tmp_path / "store.db")
    assert status == 1
    assert "never published" in err
    assert not server.requests
    status, out, _ = evaluate(run, server, "--limit", "10", "--json")
    assert (status, json.loads(out.splitlines()[-1])["problems"]) == (0, 10)


def test_several_benchmarks_are_one_object_with_a_list(
    run: Run, server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror" / "HuggingFaceH4" / "aime_2024"
    folder.mkdir(parents=True)
    rows = [{"problem": f"What is {n} + 1?", "answer": f"{n + 1:03d}", "uid": f"aime24-I-{n:02d}"} for n in range(30)]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setenv("BENCHMARK_MIRROR", str(tmp_path / "mirror"))
    status, out, _ = evaluate(run, server, "aime_2024", "--attempts", "2", "--max-tokens", "50", "--json")
    measurements = json.loads(out.splitlines()[-1])["measurements"]
    assert status == 0
    assert [m["benchmark"] for m in measurements] == ["arithmetic", "aime_2024"]
    assert all(m.keys() >= PROMISED for m in measurements)


def test_a_token_that_is_refused_ends_with_one_line_that_says_what_to_do(run: Run, server: FakeOpenAI) -> None:
    server.faults = always(Status(401, "no"))
    status, out, err = evaluate(run, server)
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert (status, out, len(errors)) == (1, "", 1)
    assert "ENDPOINT_API_KEY" in errors[0]


def test_a_name_that_the_server_does_not_list_is_refused_naming_those_it_does(run: Run, server: FakeOpenAI) -> None:
    status, _, err = run("evaluate", "--model", "x", "--benchmark", "arithmetic", "--endpoint", server.base_url)
    assert status == 1
    assert "it lists: served" in err


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--model", "m", "--benchmark", "no_such_benchmark"],
        ["evaluate", "--benchmark", "arithmetic"],
        ["evaluate", "--model", "m", "--benchmark", "arithmetic", "--attempts", "0"],
        ["evaluate", "--model", "m", "--benchmark", "arithmetic", "--endpoint", "http://127.0.0.1:1"],
        ["reproduce", "key", "--endpoint", "127.0.0.1:1/v1"],
        ["plan"],
        ["plan", "--model", "m"],
        ["no-such-verb"],
        [],
    ],
)
def test_wrong_usage_is_exit_status_2(run: Run, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2


def test_grade_writes_one_row_per_row_in_order_and_reports_counts(run: Run, tmp_path: Path) -> None:
    rows = [
        {"problem_id": "a", "completion": "\\boxed{4}", "gold": "4", "finish_reason": "stop"},
        {"problem_id": "a", "completion": "\\boxed{5}", "gold": "4", "sample": 1, "finish_reason": "length"},
        {"problem_id": "b", "completion": "<think>\nhm", "gold": "4", "finish_reason": "length"},
    ]
    completions, scores = tmp_path / "rows.jsonl.gz", tmp_path / "scores.jsonl"
    completions.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    status, out, _ = run("grade", "--benchmark", "math_500", "--completions", completions, "--scores", scores, "--json")
    summary = json.loads(out.splitlines()[-1])
    assert status == 0
    assert summary["rows"] == 3
    assert {name: count for name, count in summary["verdicts"].items() if count} == {
        "correct": 1,
        "incorrect": 1,
        "no_answer": 1,
    }
    written = [json.loads(line) for line in scores.read_text().splitlines()]
    assert [(row["problem_id"], row["sample"], row["verdict"], row["truncated"]) for row in written] == [
        ("a", None, "correct", False),
        ("a", 1, "incorrect", True),
        ("b", None, "no_answer", True),
    ]


def test_grade_with_audit_lists_what_a_second_grader_sees_differently(run: Run, tmp_path: Path) -> None:
    rows = [
        {"problem_id": "same", "completion": "so \\boxed{4}", "gold": "4"},
        {"problem_id": "other", "completion": "so \\boxed{4}</think> Done.", "gold": "4"},
    ]
    completions, scores = tmp_path / "rows.jsonl", tmp_path / "scores.jsonl"
    completions.write_text("\n".join(map(json.dumps, rows)))
    words = ["grade", "--benchmark", "math_500", "--completions", completions, "--scores", scores, "--audit", "--json"]
    status, out, _ = run(*words)
    summary = json.loads(out.splitlines()[-1])
    assert status == 0
    assert summary["audit"] == {"rows": 2, "disagreements": 1}
    assert summary["verdicts"]["correct"] == 2
    (listed,) = [json.loads(line) for line in (tmp_path / "scores.jsonl.audit.jsonl").read_text().splitlines()]
    assert (listed["problem_id"], listed["verdict"], listed["second"]) == ("other", "correct", False)


def test_plan_of_a_recipe_runs_nothing_and_says_where_checkpoints_will_be(run: Run, tmp_path: Path) -> None:
    recipe = Path(__file__).resolve().parents[2] / "recipes" / "sft" / "arithmetic.yaml"
    status, out, _ = run("plan", recipe)
    assert status == 0
    assert "150, 300, 450, 600" in out
    assert not (tmp_path / "data" / "models").exists()


def test_submit_refuses_what_cannot_be_evaluated(run: Run, tmp_path: Path) -> None:
    words = ["submit", "--model", "../nowhere", "--benchmark", "arithmetic", "--store", tmp_path / "store.db"]
    status, _, err = run(*words)
    assert status == 1
    assert "there is no such folder" in err
