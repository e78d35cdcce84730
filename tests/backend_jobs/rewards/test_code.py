"""The reward for programs, against a server that speaks Piston's protocol over a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from backend_jobs.rewards.code import Code, CodeFormat
from backend_jobs.rewards.judging import check_rewards
from backend_jobs.rewards.types import Rollout
from evaluator.grading_pool import GraderPool
from evaluator.types import Verdict
from tests.fakes.piston import FakePiston

TESTS: dict[str, Any] = {
    "language": "python",
    "test_cases": [{"input": "1\n", "output": "1\n2\n3\n"}, {"input": "2\n", "output": "4"}],
}


ANSWERS = {case["input"]: case["output"] for case in TESTS["test_cases"]}
RIGHT = f"import sys\nprint({ANSWERS!r}[sys.stdin.read()])"


@pytest.fixture
def sandbox() -> Iterator[FakePiston]:
    with FakePiston() as piston:
        yield piston


def reward(url: str, program: str | None, tests: Any = TESTS) -> float | None:
    code = Code(name="code", weight=1.0, tests="tests", sandbox_url=url, timeout_s=5.0, most_tests=8)
    text = "no program" if program is None else f"<think>\n</think>\n```python\n{program}\n```"
    rollout = Rollout(text=text, tokens=5, row={"tests": json.dumps(tests)})
    (value,) = code.score([rollout], [Verdict.UNGRADED])
    return value


def test_the_share_of_passed_tests_is_the_reward(sandbox: FakePiston) -> None:
    assert reward(sandbox.root, RIGHT) == 1
    assert reward(sandbox.root, "print(4)") == 0.5
    assert reward(sandbox.root, None) == 0


def test_the_right_beginning_of_an_output_is_not_the_right_output(sandbox: FakePiston) -> None:
    assert reward(sandbox.root, "print(1)\nprint(2)") == 0


def test_a_program_that_crashes_or_does_not_compile_passes_nothing(sandbox: FakePiston) -> None:
    assert reward(sandbox.root, f"{RIGHT}\nraise SystemExit(1)") == 0
    sandbox.answer = {"compile": {"code": 1, "stdout": ""}, "run": {"stdout": "4", "code": 0}}
    assert reward(sandbox.root, RIGHT) == 0


def test_a_sandbox_that_fails_gives_none_and_never_zero(sandbox: FakePiston) -> None:
    sandbox.answer = {"message": "runtime is unknown"}
    assert reward(sandbox.root, RIGHT) is None
    sandbox.answer, sandbox.status = None, 503
    assert reward(sandbox.root, RIGHT) is None
    assert reward("http://127.0.0.1:1", RIGHT) is None


def test_a_sandbox_that_is_busy_for_a_moment_is_asked_again(sandbox: FakePiston) -> None:
    sandbox.busy_times = 2
    assert reward(sandbox.root, RIGHT) == 1


def test_a_row_without_tests_gives_none(sandbox: FakePiston) -> None:
    assert reward(sandbox.root, RIGHT, {"language": "python", "test_cases": []}) is None


def test_planted_programs_are_told_apart_in_the_sandbox(sandbox: FakePiston) -> None:
    code = Code(name="code", weight=1.0, tests="tests", sandbox_url=sandbox.root, timeout_s=5.0, most_tests=8)
    with GraderPool(workers=1) as pool:
        assert check_rewards([code], {"tests": json.dumps(TESTS)}, None, opened="", pool=pool) == {"code": (1.0, 0.0)}


def test_the_code_format_wants_a_fence_of_its_language_inside_the_answer() -> None:
    wanted = CodeFormat(name="code_format", weight=0.1, language="python")
    good = "<think>\nso\n</think>\n<answer>\n```python\n1\n```\n</answer>"
    texts = (good, good.replace("python", "cpp"), "```python\n1\n```", "")
    rollouts = [Rollout(text=text, tokens=1) for text in texts]
    assert wanted.score(rollouts, [Verdict.UNGRADED] * 4) == [1, 0, 0, 0]
