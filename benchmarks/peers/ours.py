"""The evaluator's stream and journal. Imports nothing that grades: a runner asks, it does not judge."""

import asyncio
from collections.abc import Sequence

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

        def keep(answers: Sequence[tuple[Request, Completion | Refusal]]) -> None:
            journal.add_many((request.generation_key, answer) for request, answer in answers)

        def check(_: Request, answer: Completion | Refusal) -> None:
            if isinstance(answer, Refusal):
                raise RuntimeError(answer.reason)

        missing = [request for request in requests if (request.problem_id, request.attempt) not in recorded]
        endpoint = Endpoint(base_url=task.url, model=task.model)
        never = asyncio.Event()
        run_async(stream(missing, endpoint, concurrency=task.concurrency, keep=keep, on_answer=check, cancel=never))


if __name__ == "__main__":
    run(ask)
