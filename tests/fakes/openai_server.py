"""A fake model behind the OpenAI chat protocol: its answer is a pure function of (prompt, seed).

    with FakeOpenAI(lambda prompt, seed: "4", faults=first(3, Status(500))) as fake:
        ...  # fake.base_url ends in /v1; fake.requests tells what was asked and how each request ended

`faults` decides per request what goes wrong (None: nothing); it may be replaced while the server runs. Tokens are
words: an answer with more words than `max_tokens` is cut and ends with finish_reason "length".
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from aiohttp import web

from tests.fakes.server_thread import ServerThread


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer whose form matters too. None leaves a field out of the JSON."""

    text: str | None
    finish_reason: str | None = "stop"
    reasoning: str | None = None
    reasoning_field: str = "reasoning_content"
    usage: bool = True


@dataclass(kw_only=True)
class Asked:
    """One request as it came in. `turn` counts the requests for this (prompt, seed), `number` all, both from 1."""

    prompt: str
    seed: int
    turn: int
    number: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    at: float = field(default_factory=monotonic)
    ended: str = "open"
    """open, answered, disconnected (the client went away), or the name of the fault."""


@dataclass(frozen=True)
class Status:
    """An HTTP status with a body; `retry_after` becomes that header."""

    status: int
    message: str = "scripted"
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Raw:
    """HTTP 200 with exactly this body."""

    body: bytes


@dataclass(frozen=True)
class Truncated:
    """HTTP 200 whose JSON ends in the middle, with a Content-Length that agrees."""


@dataclass(frozen=True)
class Reset:
    """The connection is reset after so many bytes of the answer; 0: before its status line."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Delay:
    """A right answer, so many seconds late."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """A right answer, sent byte by byte over so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """No answer at all; the connection stays open."""


HELD_POLL_S = 0.02
Fault = Status | Raw | Truncated | Reset | Delay | Trickle | Hang
ERROR_BODY = Raw(b'{"error": {"message": "EngineCore encountered an issue", "code": 500}}')
NO_CHOICES = Raw(b'{"object": "chat.completion", "choices": [], "usage": null}')
Script = Callable[[Asked], Fault | None]


def first(count: int, fault: Fault) -> Script:
    """The first `count` requests of all go wrong."""
    return lambda asked: fault if asked.number <= count else None


def first_turns(count: int, fault: Fault) -> Script:
    """The first `count` requests for each (prompt, seed) go wrong."""
    return lambda asked: fault if asked.turn <= count else None


def always(fault: Fault) -> Script:
    """Every request goes wrong."""
    return lambda _: fault


def some_answer(prompt: str, seed: int) -> str:
    """A short answer that differs with the prompt and the seed."""
    digest = hashlib.sha256(f"{seed}\0{prompt}".encode()).hexdigest()
    return f"I think of {digest[:8]}. The final answer is $\\boxed{{{int(digest[8:12], 16) % 1000}}}$."


class FakeOpenAI(ServerThread):
    """See the module. `capacity` requests run at once, more get HTTP 503; `api_key` is asked for where given."""

    def __init__(
        self,
        answer: Callable[[str, int], str | Reply] = some_answer,
        *,
        faults: Script = lambda _: None,
        model: str = "fake",
        latency_s: float | Callable[[Asked], float] = 0.0,
        capacity: int | None = None,
        api_key: str | None = None,
        health: int = 200,
        version: str = "0.31.0",
        max_model_len: int = 40_960,
        template: str = "<|user|>{prompt}<|assistant|>",
    ) -> None:
        super().__init__()
        self.answer, self.faults, self.model = answer, faults, model
        self.latency_s, self.capacity, self.api_key = latency_s, capacity, api_key
        self.health, self.version, self.max_model_len = health, version, max_model_len
        self.template = template
        self.metrics: Callable[[], dict[str, float]] = dict
        """Further numbers for /metrics, without their prefix; a KV cache is shown only where this names one."""
        self.held_after: int | None = None
        """Requests after so many get their answer only when this is raised, or None."""
        self.requests: list[Asked] = []
        self.asked: Counter[tuple[str, int]] = Counter()
        self.in_flight = self.most_in_flight = self.health_probes = 0

    @property
    def base_url(self) -> str:
        """The OpenAI base URL."""
        return f"{self.root}/v1"

    def ended(self) -> Counter[str]:
        """How the requests ended so far, with counts."""
        return Counter(asked.ended for asked in self.requests)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/detokenize", self._detokenize)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request):
            return refused
        body = await request.json()
        prompt, seed = body["messages"][-1]["content"], body["seed"]
        self.asked[prompt, seed] += 1
        asked = Asked(
            prompt=prompt,
            seed=seed,
            turn=self.asked[prompt, seed],
            number=len(self.requests) + 1,
            body=body,
            headers=dict(request.headers),
        )
        self.requests.append(asked)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._carry_out(request, asked)
        except asyncio.CancelledError:
            asked.ended = "disconnected"
            raise
        finally:
            self.in_flight -= 1

    async def _carry_out(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        fault = self.faults(asked)
        if fault is None and self.capacity is not None and self.in_flight > self.capacity:
            fault = Status(503, "too many requests are queued")
        await asyncio.sleep(self.latency_s(asked) if callable(self.latency_s) else self.latency_s)
        while self.held_after is not None and asked.number > self.held_after:
            await asyncio.sleep(HELD_POLL_S)
        content = json.dumps(self._completion(asked)).encode()
        asked.ended = "answered" if fault is None else type(fault).__name__.lower()
        match fault:
            case Status():
                return _status(fault)
            case Raw():
                return web.Response(body=fault.body, content_type="application/json")
            case Truncated():
                return web.Response(body=content[: len(content) // 2], content_type="application/json")
            case Reset():
                return await _reset(request, content, fault.after_bytes)
            case Delay():
                await asyncio.sleep(fault.seconds)
            case Trickle():
                return await _trickle(request, content, fault.seconds)
            case Hang():
                await asyncio.Event().wait()
        asked.ended = "answered"
        return web.Response(body=content, content_type="application/json")

    def _completion(self, asked: Asked) -> dict[str, Any]:
        given = self.answer(asked.prompt, asked.seed)
        reply = given if isinstance(given, Reply) else Reply(text=given)
        words = (reply.text or "").split()
        limit = asked.body["max_tokens"]
        cut = len(words) > limit
        message: dict[str, Any] = {"role": "assistant", "content": " ".join(words[:limit]) if cut else reply.text}
        if reply.reasoning is not None:
            message[reply.reasoning_field] = reply.reasoning
        choice: dict[str, Any] = {"index": 0, "message": message}
        if reply.finish_reason is not None:
            choice["finish_reason"] = "length" if cut else reply.finish_reason
        counts = {"prompt_tokens": len(asked.prompt.split()), "completion_tokens": min(len(words), limit)}
        usage = {"usage": counts} if reply.usage else {}
        return {"id": "chatcmpl-fake", "object": "chat.completion", "model": self.model, "choices": [choice]} | usage

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}":
            return None
        return _status(Status(401, "invalid API key"))

    async def _models(self, request: web.Request) -> web.Response:
        entry = {"id": self.model, "object": "model", "max_model_len": self.max_model_len}
        return self._refused(request) or web.json_response({"object": "list", "data": [entry]})

    async def _health(self, request: web.Request) -> web.Response:
        self.health_probes += 1
        return web.Response(status=self.health)

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self.version})

    async def _metrics(self, request: web.Request) -> web.Response:
        tokens = sum(asked.ended == "answered" for asked in self.requests)
        shown: dict[str, float] = {
            "num_requests_running": self.in_flight,
            "num_requests_waiting": 0,
            "generation_tokens_total": tokens,
        }
        lines = (
            f'vllm:{name}{{model_name="{self.model}"}} {value}' for name, value in (shown | self.metrics()).items()
        )
        return web.Response(text="\n".join(lines) + "\n")

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body.get("prompt")
        if text is None:
            text = self.template.format(prompt=body["messages"][-1]["content"])
        tokens = [ord(character) for character in text]
        return web.json_response({"count": len(tokens), "max_model_len": self.max_model_len, "tokens": tokens})

    async def _detokenize(self, request: web.Request) -> web.Response:
        tokens = (await request.json())["tokens"]
        return web.json_response({"prompt": "".join(map(chr, tokens))})


def _status(fault: Status) -> web.Response:
    named = {"Retry-After": fault.retry_after, "Location": fault.location}
    headers = {name: value for name, value in named.items() if value is not None}
    error = {"message": fault.message, "type": "Scripted", "code": fault.status}
    return web.json_response({"error": error}, status=fault.status, headers=headers)


async def _reset(request: web.Request, content: bytes, after_bytes: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(content))})
    transport = request.transport
    assert transport is not None
    if after_bytes:
        await response.prepare(request)
        await response.write(content[:after_bytes])
    # Lingering for zero seconds makes the kernel send RST instead of an orderly FIN.
    opened = transport.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return response


async def _trickle(request: web.Request, content: bytes, seconds: float) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(content))})
    await response.prepare(request)
    for byte in content:
        await response.write(bytes([byte]))
        await asyncio.sleep(seconds / len(content))
    return response
