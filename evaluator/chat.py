"""The OpenAI chat protocol as pure functions: a request as bytes, and what an HTTP answer to it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from evaluator.errors import EngineRefused
from evaluator.retry import retry_after_s
from evaluator.types import Completion, Refusal, Request

LONGEST_REASON = 400
FOR_A_PERSON = {
    401: "it wants a token: set ENDPOINT_API_KEY to one that it accepts",
    402: "it wants payment: check the account behind ENDPOINT_API_KEY",
    403: "the token in ENDPOINT_API_KEY may not use this model: ask for access or use another token",
}
BACK_PRESSURE = (429, 503)
TRANSIENT_4XX = (408, 425)
# The server ended these itself, in the middle: an answer of the engine's making, not of the model's.
NOT_AN_ANSWER = ("abort", "error")


@dataclass(frozen=True, slots=True)
class Fault:
    """The server is suspect: what it did says nothing about the request, which must be sent again."""

    what: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Back-pressure: the server wants the request later. `after_s` is what its Retry-After asks for."""

    what: str
    after_s: float | None


def request_body(request: Request, model: str) -> bytes:
    """The JSON of one chat request for one answer, with every sampling parameter spelled out.

    What is left out a server fills in from the checkpoint's generation_config.json, in silence. `max_tokens` is the
    name that every server knows.
    """
    sampling = request.sampling
    system = (("system", request.system_prompt),) if request.system_prompt is not None else ()
    conversation = request.messages or (*system, ("user", request.prompt))
    return orjson.dumps(
        {
            "model": model,
            "messages": [{"role": role, "content": content} for role, content in conversation],
            "n": 1,
            "stream": False,
            "seed": request.seed,
            "max_tokens": request.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            # vLLM 0.31 takes 0 and -1 as "no limit"; earlier releases and other servers refuse 0.
            "top_k": sampling.top_k or -1,
            "min_p": sampling.min_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "repetition_penalty": sampling.repetition_penalty,
        }
    )


def read_answer(
    request: Request, status: int, body: bytes, *, retry_after: str | None, latency_s: float, retries: int
) -> Completion | Refusal | Fault | Busy:
    """What one HTTP answer means. `latency_s` and `retries` are carried into the completion.

    Raises:
        EngineRefused: 401, 402, 403: no request will be answered until a person has done something.
    """
    if status == 200:
        return _read_completion(request, body, latency_s=latency_s, retries=retries)
    what = f"HTTP {status}: {_message(body)}"
    if status in FOR_A_PERSON:
        raise EngineRefused(f"the engine answers {what}; {FOR_A_PERSON[status]}")
    if status in BACK_PRESSURE:
        return Busy(what, retry_after_s(retry_after))
    if 400 <= status < 500 and status not in TRANSIENT_4XX:
        return Refusal(
            problem_id=request.problem_id,
            attempt=request.attempt,
            code=f"refused_{status}",
            reason=_message(body),
        )
    return Fault(what)


def _read_completion(request: Request, body: bytes, *, latency_s: float, retries: int) -> Completion | Fault:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Fault(f"HTTP 200 with broken JSON ({error}; {len(body)} bytes)")
    choice = _first_choice(answer)
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        return Fault(f"HTTP 200 without a choice: {_message(body)}")
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        return Fault(f"HTTP 200 with a {type(text).__name__} as message content, expected a string")
    finish_reason = _string(choice.get("finish_reason"))
    if finish_reason in NOT_AN_ANSWER:
        return Fault(f"HTTP 200 with finish_reason {finish_reason!r}: the server broke the answer off")
    given = answer.get("usage")
    usage = given if isinstance(given, dict) else {}
    return Completion(
        problem_id=request.problem_id,
        attempt=request.attempt,
        seed=request.seed,
        text=text or "",
        reasoning=_string(message.get("reasoning_content")) or _string(message.get("reasoning")),
        finish_reason=finish_reason,
        completion_tokens=_count(usage.get("completion_tokens")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        latency_s=latency_s,
        retries=retries,
    )


def _first_choice(answer: Any) -> dict[str, Any] | None:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _message(body: bytes) -> str:
    """The server's own words, wherever it puts them, on one line and shortened."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = body[: 4 * LONGEST_REASON].decode("utf-8", errors="replace")
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    text = found if isinstance(found, str) else orjson.dumps(found).decode()
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
