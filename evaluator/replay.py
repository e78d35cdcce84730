"""An OpenAI-compatible server that says what models once said: recorded completions over a real socket.

A reply is found by (model, prompt, seed), the three things that tell one attempt from every other. The standard library
serves it: one thread per connection, each kept open between requests.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

WAITING_CONNECTIONS = 1024
SHUTDOWN_POLL_S = 0.05

ReplyKey = tuple[str, str, int]
"""(model, prompt, seed) of a request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a model said to one attempt. What was not recorded is None, and left out of the answer."""

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    completion_tokens: int | None = None


class ReplayServer:
    """Serves recorded replies on a loopback port while its block runs. A request that nobody recorded gets HTTP 404.

    with ReplayServer({("owner/model", "What is 2 + 2?", 17): Reply(text="4")}) as server:
        ...  # server.base_url ends in /v1
    """

    def __init__(self, replies: Mapping[ReplyKey, Reply]) -> None:
        self._replies = replies
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The OpenAI base URL.

        Raises:
            RuntimeError: the server does not run.
        """
        if self._server is None:
            raise RuntimeError("the replay server does not run; use it as a context manager")
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._server = _Server(self._replies)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(SHUTDOWN_POLL_S,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = self._thread = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = WAITING_CONNECTIONS

    def __init__(self, replies: Mapping[ReplyKey, Reply]) -> None:
        self.replies = replies
        self.models = sorted({model for model, _, _ in replies})
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error: a cancelled run closes its connections."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes: with Nagle's algorithm the second waits for a delayed ACK, 40 ms each time.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {})
        elif self.path == "/v1/models":
            self._answer(200, {"object": "list", "data": [{"id": m, "object": "model"} for m in self.server.models]})
        else:
            self._refuse(404, f"there is no {self.path}; this server has /health, /v1/models and /v1/chat/completions")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/chat/completions":
            self._refuse(404, f"there is no {self.path}; post to /v1/chat/completions")
            return
        try:
            asked = json.loads(content)
            key = (asked["model"], asked["messages"][-1]["content"], asked["seed"])
            reply = self.server.replies.get(key)
        except (ValueError, LookupError, TypeError) as error:
            self._refuse(400, f"not a chat request with model, messages and seed: {error!r}")
            return
        if reply is None:
            self._refuse(404, f"model {key[0]!r} has no recorded answer to {key[1][:80]!r} with seed {key[2]}")
            return
        self._answer(200, _completion(key[0], reply))

    def log_message(self, format: str, *args: Any) -> None:
        """One line per request would drown everything else."""

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"error": {"message": message, "code": status}})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _completion(model: str, reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    choice: dict[str, Any] = {"index": 0, "message": message}
    if reply.finish_reason is not None:
        choice["finish_reason"] = reply.finish_reason
    usage = {} if reply.completion_tokens is None else {"usage": {"completion_tokens": reply.completion_tokens}}
    return {"id": "replay", "object": "chat.completion", "model": model, "choices": [choice]} | usage
