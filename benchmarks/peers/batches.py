"""Fixed batches, as the first of Open-R1's generation scripts: the next begins when the last of the batch is there."""

import asyncio
import json

import aiohttp

from benchmarks.peers.common import Task, run


async def ask(task: Task) -> None:
    """Batches as large as the number of requests in flight; a batch is written when it is whole."""
    rows = [(prompt, attempt) for prompt in task.prompts for attempt in range(task.attempts)]
    output = task.out / "rows.jsonl"
    done = len(output.read_text().splitlines()) if output.exists() else 0
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        for start in range(done, len(rows), task.concurrency):
            batch = rows[start : start + task.concurrency]
            texts = await asyncio.gather(*(one(session, task, prompt, attempt) for prompt, attempt in batch))
            with output.open("a") as file:
                file.writelines(json.dumps(text) + "\n" for text in texts)


async def one(session: aiohttp.ClientSession, task: Task, prompt: str, attempt: int) -> str:
    """One answer."""
    body = {
        "model": task.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": task.max_tokens,
        "seed": attempt,
    }
    async with session.post(f"{task.url}/chat/completions", json=body) as response:
        return str((await response.json())["choices"][0]["message"]["content"])


if __name__ == "__main__":
    run(lambda task: asyncio.run(ask(task)))
