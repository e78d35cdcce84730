"""Agents over MCP and programs through gradio_client get what the board says, and sentences where it says no."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from backend_jobs.run_log import FileTrainingLog
from leaderboard.api.application import build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.pages.frame import PageContext
from leaderboard.pages.site import build_page, mount_page
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import Status
from tests.leaderboard.measurements import measurement
from tests.leaderboard.page_content import MemoryLive, MemoryQueue, job, measured, publish
from tests.site import served


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running site and what it shows."""

    url: str
    board: Board
    keys: tuple[str, ...]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    store = SqliteStore(tmp_path_factory.mktemp("store") / "store.db")
    keys = (
        publish(store, measured()),
        publish(store, measured(model="open-r1/other", correct_problems=2)),
        publish(store, measurement([1, 2], bench="gpqa_diamond", attempts=8)),
    )
    board, queue, live = Board(store), MemoryQueue([job("j1", Status.PENDING)]), MemoryLive()
    context = ApiContext(board=board, queue=queue, live=live, submit=refuse, identify=lambda _: None, local_mode=False)
    root, files = build_root(context), BoardFiles(board)
    no_runs = FileTrainingLog(Path("no-runs"))
    page = PageContext(
        board=board, files=files, queue=queue, live=live, submit=refuse, training=no_runs, local_mode=False
    )
    mount_page(root, build_page(page), files)
    with served(root) as url:
        yield Site(url=url, board=board, keys=keys)


def refuse(*_: Any) -> Any:
    raise AssertionError("tools only read")


def call(site: Site, tool: str, **arguments: Any) -> Any:
    async def ask() -> Any:
        async with (
            streamable_http_client(f"{site.url}/mcp") as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            return await session.call_tool(tool, arguments)

    return asyncio.run(ask())


def test_an_agents_own_client_lists_every_tool_with_its_words(site: Site) -> None:
    async def ask() -> Any:
        async with (
            streamable_http_client(f"{site.url}/mcp") as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            started = await session.initialize()
            return started, await session.list_tools()

    started, listed = asyncio.run(ask())
    assert started.server_info.name == "open-r1-leaderboard"
    assert {tool.name for tool in listed.tools} >= {"leaderboard", "get_result", "get_attempts", "compare"}
    assert all(tool.description and tool.input_schema["type"] == "object" for tool in listed.tools)


def test_an_agent_gets_the_boards_numbers(site: Site) -> None:
    answer = call(site, "leaderboard", benchmark_name="math_500")
    row = site.board.row(site.keys[0])
    first = answer.structured_content["result"][0]
    assert (first["model"], first["score"]) == (row.model, row.statistics.score)
    assert json.loads(answer.content[0].text) == answer.structured_content["result"]
    compared = call(site, "compare", first_plan_key=site.keys[0], second_plan_key=site.keys[1])
    assert compared.structured_content["result"]["a"]["plan_key"] == site.keys[0]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("get_result", {"plan_key": "nothing"}, "no result 'nothing' is published"),
        ("get_result", {}, "plan_key"),
        ("leaderboard", {"benchmark_name": "none"}, "there is no benchmark"),
        ("leaderboard", {"surprise": 1}, "surprise"),
    ],
)
def test_an_agent_that_asks_wrongly_is_told_in_words(
    site: Site, tool: str, arguments: dict[str, Any], said: str
) -> None:
    answer = call(site, tool, **arguments)
    assert answer.is_error
    assert said in answer.content[0].text


def test_no_text_of_gpqa_reaches_an_agent(site: Site) -> None:
    answer = call(site, "get_attempts", plan_key=site.keys[2], problem_id="p000")
    assert answer.structured_content["result"]["total"] == 8
    assert "secret question" not in answer.content[0].text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "rm"}}', -32602),
    ],
)
def test_messages_that_are_none_get_json_rpc_errors(site: Site, body: bytes, code: int) -> None:
    answer = httpx.post(f"{site.url}/mcp", content=body)
    assert answer.json()["error"]["code"] == code


def test_gradios_client_calls_the_same_functions(site: Site) -> None:
    client = Client(site.url, verbose=False)
    rows = client.predict("math_500", api_name="/leaderboard")
    assert [row["model"] for row in rows] == ["open-r1/OpenR1-Distill-7B", "open-r1/other"]
    assert client.predict(site.keys[0], api_name="/get_result")["plan_key"] == site.keys[0]
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/leaderboard", "/compare", "/get_attempts"} <= set(named)
