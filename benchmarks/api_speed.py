"""The API over a board of 10,000 results: first byte, payload, 304, and many readers at once.

    python -m benchmarks.api_speed --results 10000 --readers 200

The server is a process of its own; the client asks over loopback. The peer in the same go is the same table as a page
built on gr.Dataframe would send it: plain JSON, made for every reader.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from backend_jobs.queue import StoreQueue
from evaluator.types import Lineage
from leaderboard.api.application import PREFIX, build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.dataset.columns import leaderboard_records
from leaderboard.live import FileLive
from leaderboard.results import problems_file, result_file, row_bytes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import ResultRow
from tests.leaderboard.page_content import measured, publish

FILES_PER_COMMIT = 2000
WARM, TIMED = 5, 40
BENCHMARKS = (("math_500", 500, 4), ("aime_2024", 30, 64), ("aime_2025", 30, 64))


def main() -> None:
    """Run it and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        fill(SqliteStore(Path(folder) / "store.db"), given.results)
        command = [sys.executable, "-m", "benchmarks.api_speed", "--serve", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            for line in asyncio.run(measure(f"http://127.0.0.1:{port}", given.readers, given.seconds)):
                print(line)
        finally:
            server.terminate()
            server.wait()


def fill(store: SqliteStore, results: int) -> None:
    """A board of so many results: models with one commit each, measured on three benchmarks, no two numbers alike."""
    for name, problems, attempts in BENCHMARKS:
        publish(store, measured(name, problems=problems, attempts=attempts, correct_problems=problems // 2))
    templates = Board(store).rows()
    counts = {row.benchmark: store.snapshot().read(problems_file(row.plan_key)) for row in templates}
    rows = [vary(templates[number % len(templates)], number) for number in range(results - len(templates))]
    files = {
        **{result_file(row.model, row.plan_key): row_bytes(row) for row in rows},
        **{problems_file(row.plan_key): counts[row.benchmark] for row in rows},
    }
    names = list(files)
    for start in range(0, len(names), FILES_PER_COMMIT):
        batch = {name: files[name] for name in names[start : start + FILES_PER_COMMIT]}
        store.commit(batch, parent=store.version(), message="fill")


def vary(row: ResultRow, number: int) -> ResultRow:
    """Another model's result: no two have equal keys or scores."""
    share = (number * 0.618033988749895) % 1
    low, high = 100 * share * 0.96, 100 * share * 0.96 + 4
    weights = number // len(BENCHMARKS)
    commit = hashlib.sha1(str(weights).encode()).hexdigest()
    score = replace(row.statistics, score=100 * share * 0.96 + 2 * share, ci95=(low, high), stderr_questions=1 + share)
    model = f"owner-{weights % 97}/model-{weights}"
    plan = replace(row.plan, model=model, commit=commit, run=0)
    return replace(
        row,
        model=model,
        commit=commit,
        plan=plan,
        plan_key=hashlib.sha256(str(number).encode()).hexdigest()[:16],
        statistics=score,
        ranked=False,
        not_ranked_because="measured with 3 attempts",
        lineage=Lineage(run=f"run-{weights % 31}", step=weights, recipe_hash="r"),
    )


def serve(folder: Path) -> None:
    """The server process: the API, and the peer beside it."""
    store = SqliteStore(folder / "store.db")
    board = Board(store)
    context = ApiContext(
        board=board,
        queue=StoreQueue(store),
        live=FileLive(folder / "live"),
        submit=lambda _form, _name: (_ for _ in ()).throw(AssertionError("nobody submits here")),
        identify=lambda _: None,
        local_mode=True,
    )
    root = build_root(context)

    def plain(_: Request) -> Response:
        return Response(orjson.dumps(leaderboard_records(board.leaderboard())), media_type="application/json")

    root.add_route("/plain", plain)
    server = uvicorn.Server(uvicorn.Config(root, host="127.0.0.1", port=0, log_level="error", backlog=4096))

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

    asyncio.run(run())


async def measure(root: str, readers: int, seconds: float) -> list[str]:
    """The lines of the table."""
    board, plain = f"{root}{PREFIX}/leaderboard", f"{root}/plain"
    lines = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as http:
        began = time.perf_counter()
        await _get(http, board)
        lines.append(f"{'first answer after a start':42} {1000 * (time.perf_counter() - began):.0f} ms")
        for encoding in ("br", "gzip", "identity"):
            headers = {"Accept-Encoding": encoding}
            times = [await _first_byte(http, board, headers) for _ in range(WARM + TIMED)][WARM:]
            size = len((await _get(http, board, headers))[1])
            lines.append(f"{f'leaderboard, {encoding}':42} {_ms(times)}, {size / 1000:,.0f} kB")
        columns = f"{board}/columns"
        for encoding in ("br", "gzip"):
            headers = {"Accept-Encoding": encoding}
            times = [await _first_byte(http, columns, headers) for _ in range(WARM + TIMED)][WARM:]
            size = len((await _get(http, columns, headers))[1])
            lines.append(f"{f'leaderboard as columns, {encoding}':42} {_ms(times)}, {size / 1000:,.0f} kB")
        tag = (await _get(http, board))[0]["ETag"]
        times = [await _first_byte(http, board, {"If-None-Match": tag}) for _ in range(WARM + TIMED)][WARM:]
        lines.append(f"{'leaderboard, not changed (304)':42} {_ms(times)}, 0 kB")
        times = [await _first_byte(http, plain, {}) for _ in range(10)]
        size = len((await _get(http, plain))[1])
        lines.append(f"{'peer: made for each reader, plain':42} {_ms(times)}, {size / 1000:,.0f} kB")
        key = (await _json(http, f"{root}{PREFIX}/results?limit=1"))["items"][0]["plan_key"]
        for name, url, sent in (
            ("304 of the leaderboard", board, {"If-None-Match": tag}),
            ("leaderboard, brotli", board, {"Accept-Encoding": "br"}),
            ("one result", f"{root}{PREFIX}/results/{key}", {}),
            ("peer", plain, {}),
        ):
            lines.append(f"{f'{readers} readers: {name}':42} {await _many(http, url, sent, readers, seconds)}")
    return lines


async def _get(http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    async with http.get(url, headers=headers) as answer:
        return answer.headers, await answer.read()


async def _json(http: aiohttp.ClientSession, url: str):  # type: ignore[no-untyped-def]
    return json.loads((await _get(http, url, {"Accept-Encoding": "identity"}))[1])


async def _first_byte(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    async with http.get(url, headers=headers) as answer:
        await answer.content.readany()
        took = time.perf_counter() - began
        await answer.read()
    return took


async def _many(http: aiohttp.ClientSession, url: str, headers: dict[str, str], readers: int, seconds: float) -> str:
    ends, times = time.perf_counter() + seconds, []

    async def read() -> None:
        while time.perf_counter() < ends:
            began = time.perf_counter()
            async with http.get(url, headers=headers) as answer:
                await answer.read()
                assert answer.status in (200, 304)
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(read() for _ in range(readers)))
    per_second = len(times) / (time.perf_counter() - began)
    ordered = sorted(times)
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    return f"{per_second:,.0f} requests/s, median {1000 * ordered[len(ordered) // 2]:.0f} ms, p99 {1000 * p99:.0f} ms"


def _ms(times: list[float]) -> str:
    return f"first byte {1000 * statistics.median(times):.1f} ms (worst {1000 * max(times):.1f})"


if __name__ == "__main__":
    main()
