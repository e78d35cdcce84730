"""Programs are judged by running them elsewhere; what the sandbox cannot say is not known, never wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend_jobs.generate.prompts import Prompt
from backend_jobs.generate.sandbox import SandboxCheck, read_cases
from backend_jobs.piston import SandboxFailed, last_program
from evaluator.client import run_async
from evaluator.errors import PlanRejected
from evaluator.types import Completion
from tests.backend_jobs.generate.recipes import recipe, run
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.piston import FakePiston

TESTS = json.dumps({"test_cases": [{"input": "1 2\n", "output": "3\n"}, {"input": "4 5\n", "output": "9"}]})
RIGHT = "print(sum(map(int, input().split())))"
FENCED = "<think>\nI add.\n</think>\n\nFirst try:\n```python\nprint(0)\n```\nBetter:\n```python\n{program}\n```\n"


def checked(piston: FakePiston, program: str, tests: str | None = TESTS) -> tuple[bool | None, str]:
    check = SandboxCheck(url=piston.root, language="python", version="*", timeout_s=5, prompt_opens_thought=False)
    prompt = Prompt(number=0, id="0", problem="Add.", text="Add.", source="s", license="mit", tests=tests)
    completion = Completion(problem_id="0", attempt=0, seed=0, text=FENCED.format(program=program))
    verified, dropped = run_async(check.check(prompt, completion))
    return verified, "" if dropped is None else f"{dropped.reason}: {dropped.detail}"


def test_a_right_program_passes_every_case() -> None:
    with FakePiston() as piston:
        assert checked(piston, RIGHT) == (True, "")
        assert [body["stdin"] for body in piston.runs] == ["1 2\n", "4 5\n"]
        assert piston.runs[0]["language"] == "python"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("print(3)", "wrong: case 2 of 2: line 1 is '3', expected '9'"),
        (
            "print(sum(map(int, input().split())))\nprint()\nprint(1)",
            "wrong: case 1 of 2: 3 lines of output, expected 1",
        ),
        ("pass", "wrong: case 1 of 2: 0 lines of output, expected 1"),
        ("raise SystemExit(3)", "wrong: case 1 of 2: ended with 3"),
        ("1/0", "wrong: case 1 of 2: ended with 1: ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_program_is_wrong_and_says_where(program: str, why: str) -> None:
    with FakePiston() as piston:
        assert checked(piston, program) == (False, why)


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_sandbox_that_fails_makes_a_right_program_unverified(status: int) -> None:
    with FakePiston() as piston:
        piston.status = status
        verified, why = checked(piston, RIGHT)
    assert verified is None
    assert why.startswith(f"unverified: the sandbox answers HTTP {status}")


def test_a_sandbox_that_is_not_there_or_stops_by_itself_says_nothing_of_a_program() -> None:
    with FakePiston() as piston:
        piston.trouble = "XX"
        assert checked(piston, "print(0)") == (None, "unverified: the sandbox stopped by itself: scripted")
    verified, why = checked(piston, RIGHT)
    assert verified is None
    assert "does not answer" in why


def test_an_answer_without_a_program_is_no_answer() -> None:
    assert last_program("only words") is None
    assert last_program("```\nx\n```") == "x\n"


@pytest.mark.parametrize(
    "tests",
    [None, "[]", "nonsense", '[{"input": [1], "output": "1"}]', '[{"fn_name": "f", "input": "1", "output": "1"}]'],
)
def test_cases_that_cannot_be_run_make_a_program_unverified(tests: str | None) -> None:
    with pytest.raises(SandboxFailed):
        read_cases(tests)


def test_a_generation_checks_programs_only_where_a_sandbox_is_configured(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"problem": "Add two numbers.", "info": json.loads(TESTS)}) + "\n")
    columns = {"answer": None, "source": None, "tests": "info"}
    code = {"kind": "code", "language": "python"}
    with (
        FakeOpenAI(lambda _, seed: FENCED.format(program=RIGHT if seed % 2 else "print(3)")) as fake,
        FakePiston() as piston,
    ):
        asked_for = recipe(problems, fake.base_url, prompts=columns, verify=code, decoding={"samples": 6})
        with pytest.raises(PlanRejected, match="CODE_SANDBOX"):
            run(asked_for, tmp_path)
        made = run(asked_for, tmp_path, code_sandbox=piston.root)
    [source] = made.report.sources
    assert (source.right + source.wrong, made.report.rows) == (6, source.right)
    assert 0 < source.right < 6
