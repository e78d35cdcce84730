"""Rewards for programs, which run in a sandbox that the recipe names, never here: a server of Piston's protocol."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.errors import OpenR1Error
from evaluator.types import Verdict

FENCE = re.compile(r"```(?P<language>[A-Za-z+#]*)\n(?P<code>.*?)```", re.DOTALL)
AT_ONCE = 8
GRACE_S = 30.0
"""What a request may take beyond the time of the program: queueing in the sandbox."""


class SandboxUnavailable(OpenR1Error):
    """The sandbox could not say how a program did: nothing may be learned from that."""

    code = "sandbox_unavailable"


class CodeFormat(Reward):
    """1 where the text is a thought, then an answer that holds a code fence of `language`; else 0. Source: Open-R1."""

    name: Literal["code_format"]
    language: str

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(self._fits(rollout.text.strip())) for rollout in rollouts]

    def _fits(self, text: str) -> bool:
        thought, closed, answer = text.partition("\n</think>\n<answer>\n")
        fences = [found["language"].lower() for found in FENCE.finditer(answer)]
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
        fences = list(FENCE.finditer(rollout.text))
        if not fences:
            return 0.0
        try:
            passed = [self._passes(fences[-1]["code"], str(tests["language"]), case) for case in cases]
        except SandboxUnavailable:
            return None
        return sum(passed) / len(passed)

    def _passes(self, program: str, language: str, case: Mapping[str, Any]) -> bool:
        ran = self._run(program, language, str(case["input"]))
        return ran.get("code") == 0 and _lines(str(ran.get("stdout", ""))) == _lines(str(case["output"]))

    def _run(self, program: str, language: str, given: str) -> Mapping[str, Any]:
        """Run one program on one input; what Piston says of its run."""
        asked = {
            "language": language,
            "version": "*",
            "files": [{"content": program}],
            "stdin": given,
            "run_timeout": int(self.timeout_s * 1000),
        }
        request = urllib.request.Request(
            f"{self.sandbox_url.rstrip('/')}/api/v2/execute",
            data=json.dumps(asked).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s + GRACE_S) as answer:
                ran = json.load(answer)
        except (OSError, ValueError) as error:
            raise SandboxUnavailable(f"the sandbox {self.sandbox_url} failed ({error}); is it running?") from error
        failed_to_compile = ran.get("compile") if isinstance(ran, dict) else None
        if isinstance(failed_to_compile, dict) and failed_to_compile.get("code") not in (0, None):
            return {"code": failed_to_compile["code"]}
        run = ran.get("run") if isinstance(ran, dict) else None
        if not isinstance(run, dict):
            raise SandboxUnavailable(f"the sandbox {self.sandbox_url} answered without a run: {str(ran)[:200]}")
        return run

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        tests = json.loads(row[self.tests]) if isinstance(row[self.tests], str) else row[self.tests]
        answers = {str(case["input"]): str(case["output"]) for case in tests["test_cases"]}
        program = f"import sys\nprint({answers!r}[sys.stdin.read()])"
        return Planted(right=f"```python\n{program}\n```", wrong="```python\nprint('no such output')\n```")


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
