"""The reward for programs, against a server that speaks Piston's protocol over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backend_jobs.rewards.code import Code, CodeFormat
from backend_jobs.rewards.judging import check_rewards
from backend_jobs.rewards.types import Rollout
from evaluator.grading_pool import GraderPool
from evaluator.types import Verdict

TESTS = {"language": "python", "test_cases": [{"input": "1\n", "output": "1\n2\n3\n"}, {"input": "2\n", "output": "4"}]}


class FakePiston(BaseHTTPRequestHandler):
    """Runs no program: it prints what `answers` has for the program's first line."""

    answers: dict[str, Any]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/v2/execute"
        program = asked["files"][0]["content"].strip().split("\n")[0]
        answer = self.answers[program]
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        sent = json.dumps(body(asked) if callable(body) else body).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sandbox() -> Iterator[str]:
    expected = {case["input"]: case["output"] for case in TESTS["test_cases"]}  # type: ignore[index]

    def ran(stdout: str, code: int = 0) -> dict[str, Any]:
        return {"run": {"stdout": stdout, "code": code, "stderr": ""}}

    FakePiston.answers = {
        "right": lambda asked: ran(expected[asked["stdin"]] + "\n"),
        "import sys": lambda asked: ran(expected[asked["stdin"]]),
        "print('no such output')": ran("no such output"),
        "beginning": ran("1\n2\n"),
        "crashes": ran("1\n2\n3\n", code=1),
        "no compile": {"compile": {"code": 1}, "run": {"stdout": "4", "code": 0}},
        "down": (503, {"message": "busy"}),
        "odd": {"message": "runtime is unknown"},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakePiston)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def reward(url: str, program: str | None, tests: Any = TESTS) -> float | None:
    code = Code(name="code", weight=1.0, tests="tests", sandbox_url=url, timeout_s=5.0, most_tests=8)
    text = "no program" if program is None else f"<think>\n</think>\n```python\n{program}\n```"
    rollout = Rollout(text=text, tokens=5, row={"tests": json.dumps(tests)})
    (value,) = code.score([rollout], [Verdict.UNGRADED])
    return value


def test_the_share_of_passed_tests_is_the_reward(sandbox: str) -> None:
    assert reward(sandbox, "right") == 1
    assert reward(sandbox, None) == 0


def test_the_right_beginning_of_an_output_is_not_the_right_output(sandbox: str) -> None:
    assert reward(sandbox, "beginning") == 0


def test_a_program_that_crashes_or_does_not_compile_passes_nothing(sandbox: str) -> None:
    assert reward(sandbox, "crashes") == 0
    assert reward(sandbox, "no compile") == 0


def test_a_sandbox_that_fails_gives_none_and_never_zero(sandbox: str) -> None:
    assert reward(sandbox, "down") is None
    assert reward(sandbox, "odd") is None
    assert reward("http://127.0.0.1:1", "right") is None


def test_a_row_without_tests_gives_none(sandbox: str) -> None:
    assert reward(sandbox, "right", {"language": "python", "test_cases": []}) is None


def test_planted_programs_are_told_apart_in_the_sandbox(sandbox: str) -> None:
    code = Code(name="code", weight=1.0, tests="tests", sandbox_url=sandbox, timeout_s=5.0, most_tests=8)
    with GraderPool(workers=1) as pool:
        assert check_rewards([code], {"tests": json.dumps(TESTS)}, None, opened="", pool=pool) == {"code": (1.0, 0.0)}


def test_the_code_format_wants_a_fence_of_its_language_inside_the_answer() -> None:
    wanted = CodeFormat(name="code_format", weight=0.1, language="python")
    good = "<think>\nso\n</think>\n<answer>\n```python\n1\n```\n</answer>"
    texts = (good, good.replace("python", "cpp"), "```python\n1\n```", "")
    rollouts = [Rollout(text=text, tokens=1) for text in texts]
    assert wanted.score(rollouts, [Verdict.UNGRADED] * 4) == [1, 0, 0, 0]
