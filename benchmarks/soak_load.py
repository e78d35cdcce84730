"""Readers of a board for `benchmarks.soak`: visits as a browser makes them, and a program's questions to the API."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

API = "/api/v1"
THINKS_S = (0.2, 1.5)
STREAM, STREAM_S = "text/event-stream", 5
GIVES_UP_S = 60.0
PAGES = ("", "charts", "runs", "compare", "datasets", "submit", "queue", "about")
FILES = ("board.json", "details.json", "charts.json")
TABLES = ("leaderboard", "leaderboard/columns", "benchmarks", "results", "results/table", "submissions", "curves")
MACHINES = ("health", "ready", "metrics")
EVENT = re.compile(r'"id":(\d+),"targets":\[\[\d+,"(load|tick)"\]\],"inputs":\[([\d,]*)\]')


@dataclass
class Tally:
    """Seconds of every answer by route, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def rows(self) -> list[str]:
        """One line per route, the slowest first."""
        lines = [f"{'route':<38}{'answers':>9}{'median ms':>11}{'p99 ms':>9}{'worst ms':>10}{'faults':>8}"]
        for route, times in sorted(self.seconds.items(), key=lambda each: -share(each[1], 0.99)):
            middle, high, worst = (1000 * share(times, part) for part in (0.5, 0.99, 1.0))
            faults = len(self.faults.get(route, ()))
            lines.append(f"{route:<38}{len(times):>9,}{middle:>11,.1f}{high:>9,.0f}{worst:>10,.0f}{faults:>8}")
        return lines

    def wrong(self) -> list[str]:
        """Every kind of fault once, with how often it happened."""
        counted = {(route, what): found.count(what) for route, found in self.faults.items() for what in found}
        return [f"{route}: {what} ({count} times)" for (route, what), count in sorted(counted.items())]


def share(values: list[float], part: float) -> float:
    """The value below which `part` of them lie."""
    return sorted(values)[round(part * (len(values) - 1))] if values else 0.0


class Reader:
    """One of those who look at the board, at a person's pace. `jobs` gives the jobs there are."""

    def __init__(self, url: str, tally: Tally, seed: int, *, jobs: Callable[[], list[str]]) -> None:
        self._url, self._tally, self._jobs = url, tally, jobs
        self._chance, self._keys = random.Random(seed), [""]

    async def read(self, until: asyncio.Event) -> None:
        """Read until the event is set; what does not answer is counted, never raised."""
        timeout = aiohttp.ClientTimeout(total=GIVES_UP_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while not until.is_set():
                act = self._chance.choice(
                    (self._visit, self._visit, self._table, self._result, self._machine, self._job)
                )
                await act(http)
                await asyncio.sleep(self._chance.uniform(*THINKS_S))

    async def _visit(self, http: aiohttp.ClientSession) -> None:
        """A page, then what its scripts ask at once, then its clock's first tick."""
        page = self._chance.choice(PAGES)
        text = await self._ask(http, "GET", f"/{page}", f"page /{page}")
        session = uuid4().hex[:12]
        for number, kind, inputs in EVENT.findall(text.replace(" ", "")):
            data = [None] * len([each for each in inputs.split(",") if each])
            body = {"data": data, "fn_index": int(number), "session_hash": session, "event_data": None}
            await self._ask(http, "POST", "/gradio_api/run/predict", f"page /{page} {kind}", json=body)
        if page == "":
            name = self._chance.choice(FILES)
            await self._ask(http, "GET", f"/site/data/{name}", f"file {name}")

    async def _table(self, http: aiohttp.ClientSession) -> None:
        table = self._chance.choice(TABLES)
        text = await self._ask(http, "GET", f"{API}/{table}", f"api {table}")
        if table == "results" and text:
            self._keys = [row["plan_key"] for row in json.loads(text)["items"]] or [""]

    async def _result(self, http: aiohttp.ClientSession) -> None:
        key = self._chance.choice(self._keys)
        if key:
            part = self._chance.choice(("", "/problems", "/attempts", "/attempts/file"))
            await self._ask(http, "GET", f"{API}/results/{key}{part}", f"api results/*{part}")

    async def _machine(self, http: aiohttp.ClientSession) -> None:
        name = self._chance.choice(MACHINES)
        await self._ask(http, "GET", f"/{name}", name)

    async def _job(self, http: aiohttp.ClientSession) -> None:
        jobs = self._jobs()
        if jobs:
            job = self._chance.choice(jobs[-5:])
            part, query = self._chance.choice((("", ""), ("/log", ""), ("/events", f"?seconds={STREAM_S}")))
            await self._ask(http, "GET", f"{API}/submissions/{job}{part}{query}", f"api submissions/*{part}")

    async def _ask(self, http: aiohttp.ClientSession, method: str, path: str, route: str, **more: Any) -> str:
        """The whole answer. Its seconds are until the last byte, of a stream until the first."""
        began, took = time.monotonic(), None
        try:
            async with http.request(method, self._url + path, **more) as answer:
                text = (await answer.content.readany()).decode(errors="replace")
                took = time.monotonic() - began if answer.content_type == STREAM else None
                text += (await answer.read()).decode(errors="replace")
                if answer.status != 200:
                    self._tally.faults[route].append(f"HTTP {answer.status}: {text[:120]}")
                    text = ""
        except (aiohttp.ClientError, TimeoutError) as error:
            self._tally.faults[route].append(type(error).__name__)
            text = ""
        self._tally.seconds[route].append(time.monotonic() - began if took is None else took)
        return text
