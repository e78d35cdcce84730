"""inspect_ai: one task with epochs; `eval_set` continues a run that was killed."""

import os

from benchmarks.peers.common import Task, run


def ask(task: Task) -> None:
    """Every epoch of every sample."""
    os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": task.url, "INSPECT_DISPLAY": "none"}
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig
    from inspect_ai.solver import generate

    asked = inspect_ai.Task(
        dataset=[Sample(input=prompt) for prompt in task.prompts],
        solver=generate(),
        epochs=task.attempts,
        config=GenerateConfig(temperature=0.6, top_p=0.95, max_tokens=task.max_tokens),
        name="peers",
    )
    done, logs = inspect_ai.eval_set(
        [asked],
        model=f"openai/{task.model}",
        model_args={"responses_api": False},
        max_connections=task.concurrency,
        max_samples=task.concurrency,
        log_dir=str(task.out),
    )
    if not done:
        raise RuntimeError(f"inspect_ai: {logs[0].error}")


if __name__ == "__main__":
    run(ask)
