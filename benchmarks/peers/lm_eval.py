"""lm-evaluation-harness: its chat completions model behind its own response cache."""

from benchmarks.peers.common import Task, run


def ask(task: Task) -> None:
    """Every repeat of every instance."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import CachingLM
    from lm_eval.models.openai_completions import LocalChatCompletion

    model = LocalChatCompletion(
        model=task.model,
        base_url=f"{task.url}/chat/completions",
        num_concurrent=task.concurrency,
        max_gen_toks=task.max_tokens,
        max_length=task.max_tokens + 1024,
        tokenizer_backend=None,
        tokenized_requests=False,
        timeout=3600,
    )
    settings = {"do_sample": True, "temperature": 0.6, "until": []}
    instances = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(model.apply_chat_template([{"role": "user", "content": prompt}]), settings),
            idx=attempt,
        )
        for prompt in task.prompts
        for attempt in range(task.attempts)
    ]
    answers = CachingLM(model, str(task.out / "cache.db")).generate_until(instances)
    if len(answers) != len(instances):
        raise RuntimeError(f"lm-eval returned {len(answers)} answers, expected {len(instances)}")


if __name__ == "__main__":
    run(ask)
