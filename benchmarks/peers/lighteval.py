"""lighteval 0.13.0's endpoint engine (litellm), asked for one document per problem with so many samples."""

import os

from benchmarks.peers.common import Task, run


def ask(task: Task) -> None:
    """Every sample of every document; its disk cache is in the output folder."""
    os.chdir(task.out)
    from lighteval.models.endpoints.litellm_model import LiteLLMClient, LiteLLMModelConfig
    from lighteval.models.model_input import GenerationParameters
    from lighteval.tasks.requests import Doc

    config = LiteLLMModelConfig(
        model_name=f"openai/{task.model}",
        base_url=task.url,
        api_key="none",
        concurrent_requests=task.concurrency,
        max_model_length=task.max_tokens + 1024,
        cache_dir=str(task.out / "cache"),
        timeout=3600,
        generation_parameters=GenerationParameters(temperature=0.6, top_p=0.95, max_new_tokens=task.max_tokens),
    )
    docs = [
        Doc(
            query=prompt,
            choices=[""],
            gold_index=0,
            task_name="peers|0",
            id=str(number),
            num_samples=task.attempts,
            generation_size=task.max_tokens,
            stop_sequences=[],
        )
        for number, prompt in enumerate(task.prompts)
    ]
    answers = LiteLLMClient(config).greedy_until(docs)
    given = sum(len(answer.text) for answer in answers)
    if given != len(docs) * task.attempts:
        raise RuntimeError(f"lighteval returned {given} answers, expected {len(docs) * task.attempts}")


if __name__ == "__main__":
    run(ask)
