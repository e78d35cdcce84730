"""Programs that a model wrote, run in somebody else's box: a server that speaks Piston's HTTP protocol, never here.

Where the server fails, is busy or cannot be reached, the answer is "not known", never wrong: one outage must not teach
a model that right programs are wrong. Standard library only: training runs in an environment of its own.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from evaluator.errors import OpenR1Error

FENCED = re.compile(r"```[ \t]*(?P<language>[A-Za-z0-9+#_-]*)[^\n]*\n(?P<code>.*?)```", re.DOTALL)
AT_ONCE = 8
"""Programs that are run at one time: a sandbox is shared."""
TRIES = 3
FIRST_PAUSE_S = 0.5
GRACE_S = 30.0
"""What a request may take beyond the time of the program: queueing in the sandbox."""
MEMORY_BYTES = 512 << 20
OUR_TROUBLE = ("XX", "EL", "OL")
"""Piston's words for a failure of its own and for output that it cut off."""
WORTH_ANOTHER_TRY = frozenset({408, 425, 429, *range(500, 600)})


class SandboxFailed(OpenR1Error):
    """The sandbox could not say anything about a program."""

    code = "sandbox_failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """A Piston server, and how one program is run in it. `timeout_s` is the program's."""

    url: str
    language: str
    timeout_s: float
    version: str = "*"

    def fault(self, program: str, given: str, expected: str) -> str | None:
        """What is wrong with a program on one input; None where it ended well and wrote what was expected.

        Output is compared whole, spaces at line ends and empty lines at the end aside: a right beginning is not right.
        Busy and broken servers are asked again, a bounded number of times; may be called from several threads.

        Raises:
            SandboxFailed: nothing is known of the program.
        """
        return _fault(_outcome(self._execute(program, given)), expected)

    def _execute(self, program: str, given: str) -> bytes:
        body = {
            "language": self.language,
            "version": self.version,
            "files": [{"content": program}],
            "stdin": given,
            "run_timeout": round(1000 * self.timeout_s),
            "run_memory_limit": MEMORY_BYTES,
        }
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/api/v2/execute",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        last = ""
        for turn in range(TRIES):
            if turn:
                time.sleep(FIRST_PAUSE_S * 2.0 ** (turn - 1))
            try:
                with urllib.request.urlopen(request, timeout=3 * self.timeout_s + GRACE_S) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    last = f"the sandbox answers HTTP {error.code}: {error.read(100).decode(errors='replace')}"
                if error.code not in WORTH_ANOTHER_TRY:
                    break
            except OSError as error:
                last = f"the sandbox {self.url} does not answer ({error}); is it running?"
        raise SandboxFailed(last)


def last_program(text: str) -> str | None:
    """The last fenced block of a text; None where there is none."""
    blocks = FENCED.findall(text)
    return blocks[-1][1] if blocks else None


def _outcome(answer: bytes) -> dict[str, Any]:
    """The run, or the failed compilation, in an answer."""
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise SandboxFailed("the sandbox answers something else than JSON") from error
    compiled, ran = (found.get("compile"), found.get("run")) if isinstance(found, dict) else (None, None)
    not_compiled = isinstance(compiled, dict) and (compiled.get("code") not in (0, None) or compiled.get("signal"))
    outcome = compiled if not_compiled else ran
    if not isinstance(outcome, dict) or not isinstance(outcome.get("stdout"), str):
        raise SandboxFailed(f"the sandbox's answer lacks a run with its output: {str(found)[:100]}")
    if outcome.get("status") in OUR_TROUBLE:
        raise SandboxFailed(f"the sandbox stopped by itself: {outcome.get('message')}")
    return outcome


def _fault(outcome: dict[str, Any], expected: str) -> str | None:
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
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
