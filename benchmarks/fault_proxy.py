"""A fault server between a client and an engine, as a process of its own.

    python -m benchmarks.fault_proxy --port P --engine-port E --fault reset --rate 0.1 --seed 3 --log proxy.log

Every request for an answer meets the fault with the given probability, decided by (seed, request, how often it came).
Its log has two lines per such request: `asked SEED`, and before the client can see the outcome `faulted SEED` or
`delivered SEED`. Everything else, /health above all, is passed on; where the engine is gone, the connection is reset.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

SLOW_S = 0.4
CHUNKS = 40
HEAD_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP message: its head with the empty line, and its body."""

    head: bytes
    body: bytes


Writer = asyncio.StreamWriter
Pass = Callable[[], Awaitable[Message]]


def reply(status: int, body: bytes, *extra: bytes) -> bytes:
    """A whole HTTP answer."""
    lines = [b"HTTP/1.1 %d Scripted" % status, b"content-type: application/json", *extra]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


def abort(writer: Writer) -> None:
    """Reset the connection: lingering for zero seconds makes the kernel send RST instead of an orderly FIN."""
    opened = writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answers(status: int, body: bytes = b'{"error": {"message": "scripted"}}', *extra: bytes) -> Fault:
    """The engine is not asked; this is the answer."""

    async def act(writer: Writer, ask: Pass) -> None:  # noqa: ARG001
        writer.write(reply(status, body, *extra))

    return act


async def refuse(writer: Writer, ask: Pass) -> None:  # noqa: ARG001
    """The connection breaks before anything was said."""
    abort(writer)


async def half_open(writer: Writer, ask: Pass) -> None:  # noqa: ARG001
    """Silence, then the connection breaks."""
    await asyncio.sleep(SLOW_S)
    abort(writer)


async def reset(writer: Writer, ask: Pass) -> None:
    """The connection breaks in the middle of the answer."""
    message = await ask()
    writer.write(message.head + message.body[: len(message.body) // 2])
    await writer.drain()
    abort(writer)


async def truncate(writer: Writer, ask: Pass) -> None:
    """A whole HTTP answer with half of the JSON."""
    message = await ask()
    writer.write(reply(200, message.body[: len(message.body) // 2]))


async def delay(writer: Writer, ask: Pass) -> None:
    """The right answer, late."""
    message = await ask()
    await asyncio.sleep(SLOW_S)
    writer.write(message.head + message.body)


async def trickle(writer: Writer, ask: Pass) -> None:
    """The right answer, in small pieces."""
    message = await ask()
    content = message.head + message.body
    size = len(content) // CHUNKS + 1
    for start in range(0, len(content), size):
        writer.write(content[start : start + size])
        await asyncio.sleep(SLOW_S / CHUNKS)


Fault = Callable[[Writer, Pass], Awaitable[None]]
TRANSIENT: dict[str, Fault] = {
    "429": answers(429, b'{"error": {"message": "slow down"}}', b"retry-after: 0.2"),
    "503": answers(503),
    "500": answers(500),
    "502": answers(502),
    "504": answers(504),
    "error body": answers(200, b'{"error": {"message": "EngineCore encountered an issue", "code": 500}}'),
    "no choices": answers(200, b'{"object": "chat.completion", "choices": []}'),
    "refused": refuse,
    "half open": half_open,
    "reset": reset,
    "truncated": truncate,
    "late": delay,
    "trickle": trickle,
}
PERMANENT: dict[str, Fault] = {str(status): answers(status) for status in (400, 401, 403, 404, 422)}
ILL_FOR_GOOD = ("500", "no choices", "reset")
"""Transient faults that are none where every request meets them."""
UNHARMED = {"late", "trickle"}


@dataclass(slots=True)
class Proxy:
    """See the module."""

    engine_port: int
    fault: str | None
    rate: float
    seed: int
    log: int
    turns: Counter[int] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """One client's connection, request after request."""
        try:
            while not writer.is_closing():
                await self._exchange(await read_message(reader), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, RuntimeError):
            # RuntimeError: uvloop's word for writing to a connection that the other side has closed.
            if not writer.is_closing():
                abort(writer)

    async def _exchange(self, request: Message, writer: Writer) -> None:
        asked = re.search(rb'"seed": ?(\d+)', request.body)

        async def ask() -> Message:
            return await self._forward(request)

        if asked is None:
            message = await ask()
            writer.write(message.head + message.body)
            return
        seed = int(asked[1])
        self._note("asked", seed)
        fault = self._chosen(seed)
        if fault is not None and self.fault not in UNHARMED:
            self._note("faulted", seed)
            await fault(writer, ask)
            return
        message = await ask()
        self._note("delivered", seed)

        async def known() -> Message:
            return message

        if fault is None:
            writer.write(message.head + message.body)
        else:
            await fault(writer, known)

    def _chosen(self, seed: int) -> Fault | None:
        if self.fault is None:
            return None
        self.turns[seed] += 1
        digest = hashlib.sha256(f"{self.seed}/{seed}/{self.turns[seed]}".encode()).digest()
        hit = int.from_bytes(digest[:8]) / 2**64 < self.rate
        return (TRANSIENT | PERMANENT)[self.fault] if hit else None

    async def _forward(self, request: Message) -> Message:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.engine_port)
        try:
            writer.write(request.head + request.body)
            return await read_message(reader)
        finally:
            writer.close()

    def _note(self, what: str, seed: int) -> None:
        os.write(self.log, f"{what} {seed}\n".encode())


async def read_message(reader: asyncio.StreamReader) -> Message:
    """One HTTP message with a Content-Length, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return Message(head, await reader.readexactly(int(length[1])) if length else b"")


async def run(proxy: Proxy, port: int) -> None:
    """Listen until the process ends."""
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port, backlog=4096, limit=HEAD_LIMIT)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine-port", type=int, required=True)
    parser.add_argument("--fault", choices=[*TRANSIENT, *PERMANENT])
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    log = os.open(given.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Proxy(given.engine_port, given.fault, given.rate, given.seed, log), given.port))


if __name__ == "__main__":
    main()
