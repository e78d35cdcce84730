"""Answers that hold a program are checked by running it in the sandbox that was configured."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from backend_jobs.datasets.types import Dropped
from backend_jobs.generate.checks import LONGEST_DETAIL, Checked
from backend_jobs.generate.prompts import Prompt
from backend_jobs.piston import AT_ONCE, Sandbox, SandboxFailed, last_program
from evaluator.answers import answer_region
from evaluator.types import Completion

MOST_TESTS = 20
"""More cases of one program are not run: the first ones tell, and a sandbox is shared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxCheck:
    """Runs the last fenced program of an answer on the problem's test cases; right where all of them pass."""

    url: str
    language: str
    version: str
    timeout_s: float
    prompt_opens_thought: bool
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def check(self, prompt: Prompt, completion: Completion) -> Checked:
        """See Checker."""
        region = answer_region(
            completion.text,
            reasoning=completion.reasoning,
            finish_reason=completion.finish_reason,
            prompt_opens_thought=self.prompt_opens_thought,
        )
        program = last_program(region.text or "")
        if program is None:
            return False, Dropped(reason="no_answer", detail="no fenced program after the thought")
        try:
            cases = read_cases(prompt.tests)
            async with self.at_once:
                return await self._run(program, cases)
        except SandboxFailed as failed:
            return None, Dropped(reason="unverified", detail=str(failed)[:LONGEST_DETAIL])

    async def _run(self, program: str, cases: list[tuple[str, str]]) -> Checked:
        box = Sandbox(url=self.url, language=self.language, version=self.version, timeout_s=self.timeout_s)
        for number, (given, expected) in enumerate(cases, 1):
            fault = await asyncio.to_thread(box.fault, program, given, expected)
            if fault is not None:
                return False, Dropped(reason="wrong", detail=f"case {number} of {len(cases)}: {fault}"[:LONGEST_DETAIL])
        return True, None


def read_cases(tests: str | None) -> list[tuple[str, str]]:
    """(input, output) of each case: a JSON list of {input, output}, on its own or under `test_cases`.

    Raises:
        SandboxFailed: there are none that a program with standard input and output can be run on.
    """
    try:
        found = json.loads(tests or "null")
    except ValueError as error:
        raise SandboxFailed(f"the test cases are not JSON: {error}") from error
    listed = found.get("test_cases") if isinstance(found, dict) else found
    cases = listed if isinstance(listed, list) else []
    pairs = [(case["input"], case["output"]) for case in cases if _is_plain(case)]
    if not pairs or len(pairs) < len(cases):
        raise SandboxFailed("the problem has no test cases of text in and text out")
    return pairs[:MOST_TESTS]


def _is_plain(case: Any) -> bool:
    return (
        isinstance(case, dict)
        and not case.get("fn_name")
        and isinstance(case.get("input"), str)
        and isinstance(case.get("output"), str)
    )
