"""The anchor check: recorded completions through the whole evaluation, over real sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.anchor import anchor, anchor_table
from evaluator.errors import CompletionsRejected
from evaluator.replay import ReplayServer, Reply
from settings import ROOT

RECORDED = ROOT / ".." / "shared" / "data" / "completions"
CONNECTIONS = 128


def row(problem: int, sample: int, completion: str, *, right: bool, **more: Any) -> dict[str, Any]:
    said = {"problem_id": f"p{problem}", "sample": sample, "completion": completion, "gold": str(problem)}
    return {"model": "lab/model", "benchmark": "SUMS", **said, "author_verdict": right, **more}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "\n".join(json.dumps(r) for r in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


ROWS = [
    row(1, 0, "So \\boxed{1}.", right=True, finish_reason="stop", n_tokens=5),
    row(1, 1, "Wait, \\boxed{1}. Wait", right=True, finish_reason="length", n_tokens=9),
    row(2, 0, "So \\boxed{3}.", right=True, finish_reason="stop", n_tokens=5),
    row(2, 1, "So \\boxed{\\frac{4}{2}}.", right=True, finish_reason="stop", n_tokens=5),
]


def test_scores_agreement_and_every_disagreement_stand_beside_the_authors(tmp_path: Path) -> None:
    result = anchor([write(tmp_path / "rows.jsonl.gz", ROWS)], workers=1)
    (one,) = result.rows
    assert (one.model, one.benchmark, one.problems, one.attempts) == ("lab/model", "SUMS", 2, 2)
    assert (one.score, one.author_score, one.agreement) == (75, 100, 75)
    assert (one.verdicts["correct"], one.verdicts["incorrect"], one.truncated) == (3, 1, 1)
    (differing,) = one.disagreements
    assert (differing.problem_id, differing.attempt, differing.answer, differing.target) == ("p2", 0, "3", "2")
    assert "75.00  100.00  -25.00" in anchor_table(result)


def test_the_other_reading_costs_what_was_cut_off_inside_an_opened_thought(tmp_path: Path) -> None:
    result = anchor([write(tmp_path / "rows.jsonl", ROWS)], opened=True, workers=1)
    plain, opened = result.rows
    assert (plain.opened, opened.opened) == (False, True)
    assert (plain.score, opened.score) == (75, 50)
    assert opened.verdicts["no_answer"] == 1


def test_what_was_not_recorded_stays_unknown(tmp_path: Path) -> None:
    bare = {name: value for name, value in row(7, 0, "Seven: 7", right=True).items() if name != "sample"}
    (one,) = anchor([write(tmp_path / "rows.jsonl", [bare])], workers=1).rows
    assert (one.attempts, one.score, one.truncated) == (1, 100, 0)


def test_equal_runs_have_equal_digests_and_one_other_verdict_moves_them(tmp_path: Path) -> None:
    first, again = (anchor([write(tmp_path / "rows.jsonl", ROWS)], workers=1).digest for _ in range(2))
    changed = [*ROWS[:3], {**ROWS[3], "completion": "So \\boxed{5}."}]
    assert first == again
    assert anchor([write(tmp_path / "rows.jsonl", changed)], workers=1).digest != first


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"model": "m", "benchmark": "b"}], "line 1 has no problem_id, completion, gold, author_verdict"),
        ([{**ROWS[0], "author_verdict": "yes"}], "author_verdict is 'yes', expected bool"),
        ([ROWS[0], ROWS[0]], r"line 2: sample 0 of problem p1 .* was read before"),
        (ROWS[:3], r"problem p2 has 1 samples .* expected 2 samples"),
        ([ROWS[0], {**ROWS[1], "gold": "5"}], "golds"),
    ],
)
def test_rows_that_cannot_be_replayed_are_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(CompletionsRejected, match=message):
        anchor([write(tmp_path / "rows.jsonl", rows)], workers=1)


def test_the_command_line_prints_one_json_object(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS)
    command = [sys.executable, "-m", "backend_jobs", "anchor", "--completions", str(path), "--opened", "--json"]
    environment = {**os.environ, "OPEN_R1_DATA": str(tmp_path / "data")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert [(r["opened"], r["score"], r["author_score"]) for r in result["rows"]] == [(False, 75, 100), (True, 50, 100)]


# The server


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    replies = {("m", "p", seed): Reply(text=f"answer {seed}") for seed in range(2 * CONNECTIONS)}
    with ReplayServer(replies) as started:
        yield started


def body(seed: int) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "p"}], "seed": seed}).encode()


def port(server: ReplayServer) -> int:
    return int(server.base_url.split(":")[2].split("/")[0])


def asked(seed: int) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body(seed))}\r\n\r\n"
    return head.encode() + body(seed)


def answer(connection: socket.socket) -> str:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return str(json.loads(response.read())["choices"][0]["message"]["content"])


def test_128_requests_are_in_flight_at_once_and_their_connections_stay_open(server: ReplayServer) -> None:
    connections = [socket.create_connection(("127.0.0.1", port(server)), timeout=30) for _ in range(CONNECTIONS)]
    try:
        for again in range(2):
            seeds = range(again * CONNECTIONS, (again + 1) * CONNECTIONS)
            requests = [asked(seed) for seed in seeds]
            # Every request is begun before any is whole: none can be answered before all are in flight.
            for connection, request in zip(connections, requests, strict=True):
                connection.sendall(request[:-1])
            for connection, request in zip(connections, requests, strict=True):
                connection.sendall(request[-1:])
            assert [answer(c) for c in connections] == [f"answer {seed}" for seed in seeds]
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [(body(10_000), 404, "no recorded answer to 'p' with seed 10000"), (b"{", 400, "not a chat"), (b"[]", 400, "chat")],
)
def test_what_was_not_recorded_is_refused(server: ReplayServer, content: bytes, status: int, message: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port(server), timeout=30)
    client.request("POST", "/v1/chat/completions", content)
    response = client.getresponse()
    assert response.status == status
    assert message in json.loads(response.read())["error"]["message"]
    client.close()


# The recorded completions


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("thip_math500", 0.6),
        ("thip_aime", 0.6),
        ("openai_gsm8k", 0.6),
        ("skythought_math500", 2.0),
        ("skythought_aime24_checkpoints", 2.0),
    ],
)
def test_every_recorded_model_scores_as_its_author_said(name: str, within: float) -> None:
    path = RECORDED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the recorded completions (../shared/data) are not here")
    result = anchor([path], workers=1)
    assert all(abs(r.score - r.author_score) <= within for r in result.rows), anchor_table(result)
    assert all(r.verdicts["ungraded"] == 0 for r in result.rows)
