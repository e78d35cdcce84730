"""The evaluator's stream and journal. Imports nothing that grades: a runner asks, it does not judge."""

import asyncio

from benchmarks.peers.common import Task, run
from evaluator.client import Endpoint, run_async, stream
from evaluator.journal import Journal
from evaluator.types import Completion, Refusal, Request, Sampling


def ask(task: Task) -> None:
    """Everything that the journal does not hold yet."""
    requests = [
        Request(
            generation_key="peers",
            problem_id=str(problem),
            attempt=attempt,
            prompt=prompt,
            system_prompt=None,
            seed=attempt,
            max_tokens=task.max_tokens,
            sampling=Sampling(),
        )
        for problem, prompt in enumerate(task.prompts)
        for attempt in range(task.attempts)
    ]
    with Journal(task.out / "journal.db") as journal:
        recorded = journal.recorded("peers")

        def keep(request: Request, answer: Completion | Refusal) -> None:
            if isinstance(answer, Refusal):
                raise RuntimeError(answer.reason)
            journal.add(request.generation_key, answer)

        missing = [request for request in requests if (request.problem_id, request.attempt) not in recorded]
        endpoint = Endpoint(base_url=task.url, model=task.model)
        run_async(stream(missing, endpoint, concurrency=task.concurrency, on_answer=keep, cancel=asyncio.Event()))


if __name__ == "__main__":
    run(ask)
