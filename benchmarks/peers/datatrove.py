"""datatrove's inference runner against an endpoint, with its checkpoints."""

import sys

from benchmarks.peers.common import Task, run


async def rollout(document, generate):  # type: ignore[no-untyped-def]
    """One answer to one document."""
    result = await generate({"messages": [{"role": "user", "content": document.text}]})
    return result.text


def ask(task: Task) -> None:
    """Every rollout of every document."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path=task.model,
        endpoint_url=task.url.removesuffix("/v1"),
        default_generation_params={"temperature": 0.6, "top_p": 0.95, "max_tokens": task.max_tokens},
        rollouts_per_document=task.attempts,
        max_concurrent_generations=task.concurrency,
        max_concurrent_documents=task.concurrency,
        metric_interval=3600,
    )
    runner = InferenceRunner(
        rollout_fn=rollout,
        config=config,
        output_writer=JsonlWriter(str(task.out / "output"), output_filename="${rank}_${chunk_index}.jsonl"),
        checkpoints_local_dir=str(task.out / "checkpoints"),
        records_per_chunk=10,
    )
    documents = [Document(text=prompt, id=str(number)) for number, prompt in enumerate(task.prompts)]
    LocalPipelineExecutor(pipeline=[documents, runner], logging_dir=str(task.out / "logs"), tasks=1).run()


if __name__ == "__main__":
    sys.modules["__main__"].rollout = rollout
    run(ask)
