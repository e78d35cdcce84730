"""Rewards for programs, which run in a sandbox that the recipe names, never here: a server of Piston's protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from backend_jobs.piston import AT_ONCE, FENCED, Sandbox, SandboxFailed, last_program
from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.types import Verdict


class CodeFormat(Reward):
    """1 where the text is a thought, then an answer that holds a code fence of `language`; else 0. Source: Open-R1."""

    name: Literal["code_format"]
    language: str

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(self._fits(rollout.text.strip())) for rollout in rollouts]

    def _fits(self, text: str) -> bool:
        thought, closed, answer = text.partition("\n</think>\n<answer>\n")
        fences = [found["language"].lower() for found in FENCED.finditer(answer)]
        return (
            bool(closed)
            and thought.startswith("<think>\n")
            and answer.endswith("\n</answer>")
            and self.language in fences
        )

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        program = f"```{self.language}\n1\n```"
        return Planted(right=f"<think>\nso\n</think>\n<answer>\n{program}\n</answer>", wrong=program)


class Code(Reward):
    """The share of a problem's tests that the last code fence passes, each in a sandbox. No code: 0.

    A test passes where the whole output is the expected one, spaces at line ends and empty lines at the end aside: a
    right beginning is not a right output. None where the sandbox fails, or the row has no tests. Source: Open-R1,
    `code`, which compares line by line up to the shorter of the two and turns failures of the sandbox into 0.
    """

    name: Literal["code"]
    tests: str
    """The column that holds the tests: `{"language": ..., "test_cases": [{"input": ..., "output": ...}]}`."""
    sandbox_url: str
    timeout_s: Annotated[float, Field(gt=0, le=600)]
    most_tests: Annotated[int, Field(ge=1)]

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.tests,)

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self._one, rollouts))

    def _one(self, rollout: Rollout) -> float | None:
        described = rollout.row[self.tests]
        tests = json.loads(described) if isinstance(described, str) else described
        cases = tests["test_cases"][: self.most_tests] if tests else []
        if not cases:
            return None
        program = last_program(rollout.text)
        if program is None:
            return 0.0
        box = Sandbox(url=self.sandbox_url, language=str(tests["language"]), timeout_s=self.timeout_s)
        try:
            faults = [box.fault(program, str(case["input"]), str(case["output"])) for case in cases]
        except SandboxFailed:
            return None
        return faults.count(None) / len(faults)

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        tests = json.loads(row[self.tests]) if isinstance(row[self.tests], str) else row[self.tests]
        answers = {str(case["input"]): str(case["output"]) for case in tests["test_cases"]}
        program = f"import sys\nprint({answers!r}[sys.stdin.read()])"
        return Planted(right=f"```python\n{program}\n```", wrong="```python\nprint('no such output')\n```")
