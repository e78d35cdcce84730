"""Programs checked by running them, in somebody else's box: a server that speaks Piston's HTTP protocol.

Nothing that a model wrote ever runs here. Where the server fails, is busy or cannot be reached, the answer is "not
known", never wrong: one outage must not teach a model that right programs are wrong.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

from backend_jobs.datasets.types import Dropped
from backend_jobs.generate.checks import LONGEST_DETAIL, Checked
from backend_jobs.generate.prompts import Prompt
from evaluator.answers import answer_region
from evaluator.client import EngineUnreachable, fetch
from evaluator.types import Completion

FENCED = re.compile(r"```[ \t]*([A-Za-z0-9+#_-]*)[^\n]*\n(.*?)```", re.DOTALL)
MOST_TESTS = 20
"""More cases of one program are not run: the first ones tell, and a sandbox is shared."""
AT_ONCE = 8
TRIES = 3
FIRST_PAUSE_S = 0.5
MEMORY_BYTES = 512 << 20
OUR_TROUBLE = ("XX", "EL", "OL")
"""Piston's words for a failure of its own and for output that it cut off."""


class SandboxFailed(Exception):
    """The sandbox could not say anything about a program."""


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
        for number, (given, expected) in enumerate(cases, 1):
            outcome = await self._execute(program, given)
            fault = _fault(outcome, expected)
            if fault is not None:
                return False, Dropped(reason="wrong", detail=f"case {number} of {len(cases)}: {fault}"[:LONGEST_DETAIL])
        return True, None

    async def _execute(self, program: str, given: str) -> dict[str, Any]:
        """One run. Busy and broken servers are asked again, a bounded number of times."""
        body = {
            "language": self.language,
            "version": self.version,
            "files": [{"content": program}],
            "stdin": given,
            "run_timeout": round(1000 * self.timeout_s),
            "run_memory_limit": MEMORY_BYTES,
        }
        last = ""
        for turn in range(TRIES):
            if turn:
                await asyncio.sleep(FIRST_PAUSE_S * 2.0 ** (turn - 1))
            try:
                status, answer = await fetch(
                    f"{self.url.rstrip('/')}/api/v2/execute",
                    method="POST",
                    json=body,
                    timeout_s=3 * self.timeout_s + 30,
                )
            except EngineUnreachable as error:
                last = str(error)
                continue
            if status == 200:
                return _outcome(answer)
            last = f"the sandbox answers HTTP {status}: {answer[:100].decode(errors='replace')}"
            if status not in (408, 425, 429) and status < 500:
                break
        raise SandboxFailed(last)


def last_program(text: str) -> str | None:
    """The last fenced block of a text; None where there is none."""
    blocks = FENCED.findall(text)
    return blocks[-1][1] if blocks else None


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


def _outcome(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise SandboxFailed("the sandbox answers something else than JSON") from error
    compiled, ran = (found.get("compile"), found.get("run")) if isinstance(found, dict) else (None, None)
    not_compiled = isinstance(compiled, dict) and (compiled.get("code") not in (0, None) or compiled.get("signal"))
    outcome = compiled if not_compiled else ran
    if not isinstance(outcome, dict) or not isinstance(outcome.get("stdout"), str):
        raise SandboxFailed("the sandbox's answer lacks a run with its output")
    if outcome.get("status") in OUR_TROUBLE:
        raise SandboxFailed(f"the sandbox stopped by itself: {outcome.get('message')}")
    return outcome


def _fault(outcome: dict[str, Any], expected: str) -> str | None:
    """What is wrong with a run; None where it ended well and wrote what was expected."""
    if outcome.get("code") != 0:
        ended = outcome.get("signal") or outcome.get("code")
        stderr = str(outcome.get("stderr") or "").strip().splitlines()
        return f"ended with {ended}{f': {stderr[-1]}' if stderr else ''}"
    lines, wanted = _lines(outcome["stdout"]), _lines(expected)
    if len(lines) != len(wanted):
        return f"{len(lines)} lines of output, expected {len(wanted)}"
    wrong = next((n for n, (line, want) in enumerate(zip(lines, wanted, strict=True), 1) if line != want), None)
    return None if wrong is None else f"line {wrong} is {lines[wrong - 1][:40]!r}, expected {wanted[wrong - 1][:40]!r}"


def _lines(text: str) -> list[str]:
    """Lines without space at their ends, and without empty ones at the end of the text."""
    return [line.rstrip() for line in text.rstrip().splitlines()]
