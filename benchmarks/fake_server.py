"""A deterministic OpenAI server as a process of its own: long-tailed answers, a bounded number of slots, cheap to ask.

    python -m benchmarks.fake_server --port P --log asked.jsonl --slots 64 --token-s 0.0004

The answer to (prompt, seed) is a pure function of both, so that two runs can be compared; where no seed is sent, the
turn at which a prompt is asked takes its place. An answer of n tokens takes n x `--token-s` seconds in one of `--slots`
slots, first come first served, as a vLLM with that many sequences would. Every request and every answer is one line in
the log, written before it is sent, so that the log tells after a kill what had been asked and what had been answered.
The protocol is spoken by hand: a server that costs more than its clients could not measure them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benchmarks.workloads import SHAPES, LengthShape, length_of

MODEL = "fake"
BACKLOG = 8192
CHARACTERS_PER_TOKEN = 2.8
CHAIN = re.compile(r"[0-9](?: ?[-+] ?[0-9])+")
RIGHT_SHARE = 0.6
STARTS = ("so ", "if ", "then ", "we ", "a", "be", "re", "co")
WORDS = [f"{start}{end}" for start in STARTS for end in range(250)]
ROUTES = {
    "/health": (b"text/plain", lambda _: b""),
    "/version": (b"application/json", lambda _: b'{"version": "0.31.0"}'),
    "/v1/models": (
        b"application/json",
        lambda engine: json.dumps(
            {"object": "list", "data": [{"id": engine.name, "object": "model", "max_model_len": 65536}]}
        ).encode(),
    ),
    "/metrics": (b"text/plain", lambda engine: engine.metrics().encode()),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the fake model says: a text and its length in tokens."""

    text: str
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeModel:
    """Answers as a pure function of prompt and turn. `characters` fixes the length of every text, if given.

    `varied` texts are words in random order, which compress about as prose does; others repeat themselves.
    """

    shape: LengthShape
    characters: int | None = None
    varied: bool = False

    def answer(self, prompt: str, turn: int) -> Answer:
        """A thought of the drawn length, then a boxed number: for a chain of digits mostly the right one."""
        digest = hashlib.sha256(f"{turn}\0{prompt}".encode()).digest()
        tokens = length_of(self.shape, prompt, turn)
        characters = self.characters or int(tokens * CHARACTERS_PER_TOKEN)
        last = f"</think>The final answer is $\\boxed{{{_number(prompt, digest)}}}$."
        filler = " ".join(random.Random(digest).choices(WORDS, k=characters // 4)) if self.varied else digest.hex()
        filler += " "
        return Answer((filler * (characters // len(filler) + 1))[: max(0, characters - len(last))] + last, tokens)


def _number(prompt: str, digest: bytes) -> int:
    found = CHAIN.search(prompt)
    wrong = int.from_bytes(digest[:2]) % 1000
    if found is None or digest[2] / 256 > RIGHT_SHARE:
        return wrong
    return sum(int(term) for term in re.findall(r"[-+]?[0-9]", found.group().replace(" ", "")))


@dataclass(slots=True)
class FakeEngine:
    """The slots and the counts behind /metrics."""

    model: FakeModel
    slots: int
    token_s: float
    log: int | None
    running: int = 0
    waiting: deque[tuple[float, asyncio.Future[None]]] = field(default_factory=deque)
    generated: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    failing: float = 0.0
    """The share of (prompt, turn) whose first request is answered with HTTP 500."""
    failed: set[bytes] = field(default_factory=set)
    name: str = MODEL

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; several samples of one prompt take a slot each."""
        prompt = body["messages"][-1]["content"]
        seed, limit, samples = body.get("seed"), body.get("max_tokens") or 1 << 30, body.get("n") or 1
        turns = [self._turn(prompt, seed) + index for index in range(samples)]
        self._note("asked", prompt, turns)
        answers = [self.model.answer(prompt, turn) for turn in turns]
        await asyncio.gather(*(self._serve(min(answer.tokens, limit)) for answer in answers))
        self._note("answered", prompt, turns)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text},
                "finish_reason": "length" if answer.tokens > limit else "stop",
            }
            for index, answer in enumerate(answers)
        ]
        tokens = sum(min(answer.tokens, limit) for answer in answers)
        usage = {"prompt_tokens": len(prompt) // 3, "completion_tokens": tokens}
        usage["total_tokens"] = sum(usage.values())
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": choices,
            "usage": usage,
        }

    def fails(self, body: dict[str, Any]) -> bool:
        """Whether this request is one of those that go wrong: each does once."""
        key = hashlib.sha256(f"{body.get('seed')}\0{body['messages'][-1]['content']}".encode()).digest()
        if int.from_bytes(key[:4]) >= self.failing * 2**32 or key in self.failed:
            return False
        self.failed.add(key)
        return True

    def metrics(self) -> str:
        """The five numbers that a controller reads, under vLLM's names."""
        rows = {
            "num_requests_running": self.running,
            "num_requests_waiting": len(self.waiting),
            "kv_cache_usage_perc": min(1.0, 0.9 * self.running / self.slots),
            "num_preemptions_total": 0,
            "generation_tokens_total": self.generated,
        }
        return "".join(f'vllm:{name}{{model_name="{MODEL}"}} {value}\n' for name, value in rows.items())

    def _turn(self, prompt: str, seed: int | None) -> int:
        if seed is not None:
            return seed
        self.turns[prompt] += 1
        return self.turns[prompt] - 1

    async def _serve(self, tokens: int) -> None:
        if self.running >= self.slots:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append((tokens * self.token_s, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._free()
                raise
        else:
            self.running += 1
        try:
            await asyncio.sleep(tokens * self.token_s)
            self.generated += tokens
        finally:
            self._free()

    def _free(self) -> None:
        """Hand the slot on to whoever waits."""
        while self.waiting:
            _, turn = self.waiting.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                return
        self.running -= 1

    def _note(self, what: str, prompt: str, turns: list[int]) -> None:
        if self.log is not None:
            key = hashlib.sha256(prompt.encode()).hexdigest()[:16]
            at = time.time()
            os.write(self.log, b"".join(f"{what} {key} {turn} {at:.4f}\n".encode() for turn in turns))


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests with a Content-Length, one after another."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.buffer = engine, bytearray()
        self.transport: Any = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio names it)
        """The client went away: its request is aborted."""
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect a whole request, then answer it."""
        self.buffer += data
        head, separator, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if not separator:
            return
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        wanted = int(length[1]) if length else 0
        if len(rest) < wanted:
            return
        self.buffer = bytearray(rest[wanted:])
        method, path = head.split(b" ", 2)[:2]
        last = re.search(rb"(?i)\r\nconnection: *close", head) is not None
        self.task = asyncio.ensure_future(self._answer(method.decode(), path.decode(), rest[:wanted], last=last))

    async def _answer(self, method: str, path: str, body: bytes, *, last: bool) -> None:
        if method == "POST" and path.endswith("/chat/completions"):
            asked = orjson.loads(body)
            if not asked.get("messages"):
                self._send(400, b"application/json", b'{"error": {"message": "no messages"}}')
            elif self.engine.fails(asked):
                self._send(500, b"application/json", b'{"error": {"message": "scripted", "code": 500}}')
            else:
                self._send(200, b"application/json", orjson.dumps(await self.engine.chat(asked)))
        elif path in ROUTES:
            kind, content = ROUTES[path]
            self._send(200, kind, content(self.engine))
        else:
            self._send(404, b"application/json", b'{"error": {"message": "no such route"}}')
        if last:
            self.transport.close()

    def _send(self, status: int, kind: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %d OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (status, kind, len(body))
        self.transport.write(head + body)


async def serve(engine: FakeEngine, port: int) -> None:
    """Listen until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(engine), "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--slots", type=int, default=1 << 30)
    parser.add_argument("--token-s", type=float, default=0.0)
    parser.add_argument("--shape", choices=SHAPES, default="aime")
    parser.add_argument("--median", type=float, help="another median length, in tokens")
    parser.add_argument("--cap", type=int, help="another longest answer, in tokens")
    parser.add_argument("--characters", type=int, help="every text has this length, whatever its tokens")
    parser.add_argument("--varied", action="store_true", help="texts that do not repeat themselves")
    parser.add_argument("--name", default=MODEL, help="what the model is called (%(default)s)")
    parser.add_argument("--failing", type=float, default=0.0, help="the share of requests that fail once")
    given = parser.parse_args()
    shape = SHAPES[given.shape]
    shape = LengthShape(
        median=given.median or shape.median, sigma=shape.sigma, cap=given.cap or shape.cap, between=shape.between
    )
    log = os.open(given.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if given.log else None
    engine = FakeEngine(
        FakeModel(shape=shape, characters=given.characters, varied=given.varied),
        given.slots,
        given.token_s,
        log,
        failing=given.failing,
        name=given.name,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(engine, given.port))


if __name__ == "__main__":
    main()
