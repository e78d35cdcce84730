"""The Model Context Protocol for agents, at `/mcp`: streamable HTTP without sessions, tools only.

Written out, because Gradio's own server pins `pydantic <= 2.12.5`, which this board's other packages refuse.
Protocol: JSON-RPC 2.0 in POST bodies, answers as `application/json`; revisions 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evaluator.errors import OpenR1Error
from leaderboard.api.tools import Tool

ADDRESS = "/mcp"
REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
SERVER = {"name": "open-r1-leaderboard", "title": "open-r1 leaderboard", "version": "1"}
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
LARGEST_BODY_BYTES = 1 << 20
INSTRUCTIONS = (
    "Scores of open reasoning models, in points from 0 to 100. A result is named by its plan key; begin with "
    "leaderboard or find_results. Differences smaller than the intervals mean nothing: use compare."
)


class _Refused(Exception):
    """A request that gets a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def mcp_route(tools: Mapping[str, Tool]) -> Route:
    """The protocol's one address over some functions."""
    server = _Server(tools)

    async def answer(request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=405, headers={"Allow": "POST"})
        body = await request.body()
        said = await run_in_threadpool(server.answer, body)
        if said is None:
            return Response(status_code=202)
        return Response(orjson.dumps(said), media_type="application/json")

    return Route(ADDRESS, answer, methods=["GET", "POST", "DELETE"])


class _Server:
    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._inputs = {name: _input_model(tool) for name, tool in tools.items()}

    def answer(self, body: bytes) -> dict[str, Any] | None:
        """One message's answer; None where it wants none."""
        asked: Any = None
        try:
            asked = _message(body)
            if "id" not in asked:
                return None
            result = self._result(asked["method"], asked.get("params") or {})
        except _Refused as refused:
            identity = asked.get("id") if isinstance(asked, dict) else None
            return {"jsonrpc": "2.0", "id": identity, "error": {"code": refused.code, "message": str(refused)}}
        return {"jsonrpc": "2.0", "id": asked["id"], "result": result}

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                wanted = params.get("protocolVersion")
                revision = wanted if wanted in REVISIONS else REVISIONS[-1]
                return {
                    "protocolVersion": revision,
                    "capabilities": {"tools": {"listChanged": False}},
                    "serverInfo": SERVER,
                    "instructions": INSTRUCTIONS,
                }
            case "ping":
                return {}
            case "tools/list":
                return {"tools": [self._described(name) for name in self._tools]}
            case "tools/call":
                return self._call(params)
        raise _Refused(
            NO_METHOD, f"there is no method {method[:60]!r}; there are initialize, ping, tools/list, tools/call"
        )

    def _described(self, name: str) -> dict[str, Any]:
        schema = self._inputs[name].model_json_schema()
        schema.pop("title", None)
        return {
            "name": name,
            "description": inspect.getdoc(self._tools[name]) or "",
            "inputSchema": schema,
            "annotations": {"readOnlyHint": True, "openWorldHint": False},
        }

    def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        name = params.get("name")
        if not isinstance(name, str) or name not in self._tools:
            raise _Refused(INVALID_PARAMS, f"there is no tool {str(name)[:60]!r}; there are {', '.join(self._tools)}")
        try:
            given = self._inputs[name].model_validate(params.get("arguments") or {})
            found = self._tools[name](**given.model_dump())
        except (ValidationError, OpenR1Error) as error:
            # A tool's own refusal is a result: the agent reads it and asks better.
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}
        text = orjson.dumps(found).decode()
        return {"content": [{"type": "text", "text": text}], "structuredContent": {"result": found}, "isError": False}


def _message(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST_BODY_BYTES:
        raise _Refused(INVALID_REQUEST, f"the message has {len(body):,} bytes, at most {LARGEST_BODY_BYTES:,} are read")
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _Refused(PARSE_ERROR, f"the message is not JSON: {error}") from error
    known = isinstance(message, dict) and message.get("jsonrpc") == "2.0" and isinstance(message.get("method"), str)
    if not known or not isinstance(message.get("params") or {}, dict):
        raise _Refused(INVALID_REQUEST, "expected one JSON-RPC 2.0 message with a method and, where needed, params")
    return dict(message)


def _input_model(tool: Tool) -> type[BaseModel]:
    """What a tool takes, from its signature."""
    hints = get_type_hints(tool)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(tool).parameters.items()
    }
    return create_model(tool.__name__, __config__=ConfigDict(extra="forbid"), **fields)
