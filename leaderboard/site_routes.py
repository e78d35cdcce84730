"""What the pages fetch beside Gradio's own: style sheets, scripts and the board's files. All from this machine."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from evaluator.errors import OpenR1Error
from leaderboard.board_files import NAMES, BoardFiles
from leaderboard.table import frame_parquet, standings_frame, to_csv
from leaderboard.types import Standing

ASSETS = Path(__file__).parent / "assets"
TYPES = {".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml"}
TABLES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableAsked:
    """What a reader wants to keep: the rows as shown, by their numbers in the files of one version."""

    version: str
    rows: tuple[int, ...]
    benchmarks: tuple[str, ...]


@lru_cache(maxsize=1)
def assets() -> dict[str, bytes]:
    """Every script, style sheet and dictionary by its path below the assets folder. Read once."""
    return {
        path.relative_to(ASSETS).as_posix(): path.read_bytes()
        for path in sorted(ASSETS.rglob("*"))
        if path.suffix in TYPES and path.is_file()
    }


@lru_cache(maxsize=1)
def assets_version() -> str:
    """Names the content of all assets: part of their addresses, so that browsers may keep them for ever."""
    whole = hashlib.sha256()
    for name, content in assets().items():
        whole.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return whole.hexdigest()[:12]


def asset_link(name: str) -> str:
    """The address of an asset, relative to the board's root."""
    return f"site/{assets_version()}/{name}"


def site_routes(files: BoardFiles) -> list[Route]:
    """The routes, to be matched before any other of the application."""

    async def data(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in NAMES:
            return PlainTextResponse(f"there is no {name}; there are {', '.join(NAMES)}", 404)
        try:
            prepared = await run_in_threadpool(files.get, name)
        except OpenR1Error as failure:
            return PlainTextResponse(str(failure), 503, headers={"Retry-After": "5"})
        headers = {"ETag": prepared.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if prepared.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return _compressed(request, prepared.content, headers, "application/json")

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        content = assets().get(name)
        if content is None:
            return PlainTextResponse(f"there is no {name}", 404)
        known = request.path_params["version"] == assets_version()
        headers = {"Cache-Control": FOR_EVER if known else "no-cache", "Vary": "Accept-Encoding"}
        return _compressed(request, _zipped(name), headers, TYPES[Path(name).suffix])

    async def table(request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in TABLES:
            return PlainTextResponse(f"there is no table.{kind}; there are table.csv and table.parquet", 404)
        asked = _asked(await request.body())
        version, rows = await run_in_threadpool(files.standings)
        if asked is None or not all(0 <= place < len(rows) for place in asked.rows):
            return PlainTextResponse("expected the rows of a table: version, row numbers and benchmarks", 400)
        if asked.version != version:
            return PlainTextResponse("the results have moved on; load them again", 409)
        content = await run_in_threadpool(_table, kind, [rows[place] for place in asked.rows], asked.benchmarks)
        return Response(content, media_type=TABLES[kind])

    return [
        Route("/site/data/table.{kind}", table, methods=["POST"]),
        Route("/site/data/{name}", data),
        Route("/site/{version}/{name:path}", asset),
    ]


def _asked(body: bytes) -> TableAsked | None:
    try:
        return TypeAdapter(TableAsked).validate_json(body)
    except ValidationError:
        return None


def _table(kind: str, rows: list[Standing], benchmarks: tuple[str, ...]) -> bytes:
    frame = standings_frame(rows, benchmarks)
    return to_csv(frame).encode() if kind == "csv" else frame_parquet(frame)


@lru_cache(maxsize=256)
def _zipped(name: str) -> bytes:
    return gzip.compress(assets()[name], 9, mtime=0)


def _compressed(request: Request, zipped: bytes, headers: dict[str, str], media_type: str) -> Response:
    """The content as the reader's browser takes it; every browser takes gzip."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=media_type)
    return Response(gzip.decompress(zipped), headers=headers, media_type=media_type)
