"""Bounded tasks, as the Open-R1 update describes: a task per row, a bounded number at a time, each row appended.

A finished row has a key in the output file; a run that is started again leaves out the keys that it finds there.
"""

import asyncio
import json

import aiohttp

from benchmarks.peers.batches import one
from benchmarks.peers.common import Task, run


async def ask(task: Task) -> None:
    """All rows that are not in the file yet."""
    output = task.out / "rows.jsonl"
    known = {tuple(json.loads(line)["key"]) for line in whole_lines(output.read_text())} if output.exists() else set()
    slots, lock = asyncio.Semaphore(task.concurrency), asyncio.Lock()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def row(number: int, prompt: str, attempt: int) -> None:
            async with slots:
                text = await one(session, task, prompt, attempt)
            async with lock:
                with output.open("a") as file:
                    file.write(json.dumps({"key": [number, attempt], "text": text}) + "\n")

        await asyncio.gather(
            *(
                row(number, prompt, attempt)
                for number, prompt in enumerate(task.prompts)
                for attempt in range(task.attempts)
                if (number, attempt) not in known
            )
        )


def whole_lines(text: str) -> list[str]:
    """The lines that a kill did not tear."""
    return text[: text.rfind("\n") + 1].splitlines()


if __name__ == "__main__":
    run(lambda task: asyncio.run(ask(task)))
