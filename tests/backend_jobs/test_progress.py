"""Progress on a terminal, in a log and as a stream of events."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from backend_jobs.cli import main
from backend_jobs.progress import Events
from evaluator.types import Progress
from settings import ROOT
from tests.fakes.openai_server import FakeOpenAI, Status, always

STATE = Progress(
    phase="generating", done=30, total=120, in_flight=16, score=41.5, ci95=(30.0, 53.0), tokens_per_s=5120, eta_s=95
)
SHOW = """
import sys, time
from backend_jobs.progress import Bars
from evaluator.types import Progress
bars = Bars()
for done in (30, 60, 120):
    state = Progress(phase="generating", done=done, total=120, in_flight=16, score=41.5, ci95=(30.0, 53.0),
                     tokens_per_s=5120.0, eta_s=95.0, message="x" * 300)
    bars.show({"math_500": state, "aime_2024": Progress(phase="waiting", message="loading weights")})
bars.end()
"""


def test_on_a_terminal_the_bars_are_drawn_in_place_and_never_wrap() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-c", SHOW], cwd=ROOT, env=environment, stderr=theirs)
    os.close(theirs)
    drawn = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        drawn += chunk
    assert process.wait() == 0
    text = drawn.decode()
    assert text.count("\x1b[2F\x1b[J") == 2, "the second and third state are drawn over the one before"
    lines = [line for line in text.replace("\x1b[2F\x1b[J", "").splitlines() if line]
    assert len(lines) == 6
    assert all(len(line) < 80 for line in lines)
    assert "█" * 24 in lines[4]
    assert "30/120" in lines[0]
    assert lines[1] == "aime_2024  loading weights"


def test_in_a_log_there_are_plain_lines_and_few_of_them() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True)
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert "41.5 [30.0, 53.0] so far  16 in flight  5,120 tokens/s  95 s left" in done.stderr.splitlines()[0]


def test_events_are_one_object_per_line_and_only_where_something_changed() -> None:
    stream = io.StringIO()
    events = Events(stream)
    events.show({"math_500": STATE})
    events.show({"math_500": STATE})
    events.write("failed", code="engine_failed", reason="it ended")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["event"], first["benchmark"], first["done"], first["eta_s"]) == ("progress", "math_500", 30, 95)
    assert (second["event"], second["code"]) == ("failed", "engine_failed")
    assert first["at"] <= second["at"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_can_be_followed_in_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    monkeypatch.setenv("OPEN_R1_DATA", str(tmp_path / "data"))
    events = tmp_path / "events.jsonl"
    with FakeOpenAI(model="served", faults=always(Status(401)) if fails else lambda _: None) as server:
        words = ["evaluate", "--model", "served", "--endpoint", server.base_url, "--benchmark", "arithmetic"]
        status = main([*words, "--limit", "5", "--events", str(events), "--json"])
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert status == int(fails)
    assert told[0]["event"] == "progress"
    last = told[-1]
    if fails:
        assert (last["event"], last["code"]) == ("failed", "engine_refused")
    else:
        assert (last["event"], last["result"]["benchmark"]) == ("finished", "arithmetic")
        assert [each["done"] for each in told if each["event"] == "progress"][-1] == 20


def test_events_that_cannot_be_written_are_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPEN_R1_DATA", str(tmp_path / "data"))
    with FakeOpenAI(model="served") as server:
        words = ["evaluate", "--model", "served", "--endpoint", server.base_url, "--benchmark", "arithmetic"]
        assert main([*words, "--events", str(tmp_path / "no" / "folder")]) == 1
        assert not server.requests
    assert "--events" in capsys.readouterr().err


def test_several_endpoints_share_one_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPEN_R1_DATA", str(tmp_path / "data"))
    with FakeOpenAI(model="served", latency_s=0.02) as one, FakeOpenAI(model="served", latency_s=0.02) as two:
        words = ["evaluate", "--model", "served", "--endpoint", one.base_url, two.base_url]
        assert main([*words, "--benchmark", "arithmetic", "--limit", "30", "--json"]) == 0
        assert min(len(one.requests), len(two.requests)) > 20
        assert len(one.requests) + len(two.requests) == 120
