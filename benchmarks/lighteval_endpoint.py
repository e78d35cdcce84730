"""A model for lighteval that asks a server which speaks the OpenAI chat API, exactly as the evaluator asks it.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 .cache/venv-lighteval/bin/python -m lighteval custom \\
        SERVED_NAME benchmarks/lighteval_endpoint.py "open_r1:aime_2024" --custom-tasks evaluator/tasks.py

The same prompts, seeds and sampling parameters, through the evaluator's own client: what an engine answers to one way
it answers to the other. Answers are kept in memory until all have arrived, as lighteval does with every engine.
"""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

from lighteval.models.abstract_model import LightevalModel, ModelConfig
from lighteval.models.model_input import GenerationParameters
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.requests import Doc
from lighteval.utils.cache_management import SampleCache

from evaluator import plan
from evaluator.client import Endpoint, stream
from evaluator.engine import prompt_text
from evaluator.errors import EngineFailed
from evaluator.types import Completion, Refusal, Request, Sampling

CONCURRENCY = 128
SAMPLING = Sampling()
RECORDED = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
Key = tuple[str, str, int]


@dataclass
class EndpointResponse(ModelResponse):
    """lighteval's response, and why the server ended each answer."""

    finish_reasons: list[str | None] = field(default_factory=list)


class EndpointModel(LightevalModel):
    """See the module. The server's address is `base_url`, or OPENAI_BASE_URL where lighteval makes the model."""

    is_async = True

    def __init__(self, config: ModelConfig, base_url: str | None = None) -> None:
        # What lighteval's results file will say of the decoding is what is really sent.
        config.generation_parameters = GenerationParameters(**{name: getattr(SAMPLING, name) for name in RECORDED})
        self.config = config
        self.endpoint = Endpoint(
            base_url=base_url or os.environ["OPENAI_BASE_URL"],
            model=config.model_name,
            api_key=os.environ.get("ENDPOINT_API_KEY"),
        )
        # The pipeline writes to it; nothing here reads it: the journal of the evaluator is what keeps answers.
        self._cache = SampleCache(config)

    async def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
        """Every sample of every document. The name is lighteval's; nothing is greedy here.

        Raises:
            EngineFailed: the server refused a request; the message names it.
        """
        answers: dict[Key, Completion] = {}

        def keep(request: Request, answer: Completion | Refusal) -> None:
            if isinstance(answer, Refusal):
                raise EngineFailed(f"{request.problem_id}, attempt {request.attempt}: {answer.reason}")
            answers[request.generation_key, request.problem_id, request.attempt] = answer

        asked = [request for doc in docs for request in self._requests(doc)]
        await stream(asked, self.endpoint, concurrency=CONCURRENCY, on_answer=keep, cancel=asyncio.Event())
        rendered = await prompt_text(self.endpoint, docs[0].query)
        return [self._response(doc, answers, rendered) for doc in docs]

    def _requests(self, doc: Doc) -> list[Request]:
        """One request per sample; `generation_key` holds the task, for problem ids may repeat between tasks."""
        problem_id, first = str(doc.specific["problem_id"]), doc.specific.get("attempt", 0)
        return [
            Request(
                generation_key=doc.task_name,
                problem_id=problem_id,
                attempt=attempt,
                prompt=doc.query,
                system_prompt=self.config.system_prompt,
                seed=plan.seed(0, problem_id, attempt),
                max_tokens=doc.generation_size,
                sampling=SAMPLING,
                order=float(attempt),
            )
            for attempt in range(first, first + doc.num_samples)
        ]

    def _response(self, doc: Doc, answers: dict[Key, Completion], rendered: str | None) -> ModelResponse:
        """`rendered`: the first prompt as the server's template renders it. Templates treat all prompts alike."""
        given = [answers[r.generation_key, r.problem_id, r.attempt] for r in self._requests(doc)]
        return EndpointResponse(
            input=rendered,
            text=[answer.text for answer in given],
            reasonings=[answer.reasoning for answer in given],
            finish_reasons=[answer.finish_reason for answer in given],
        )

    @property
    def tokenizer(self) -> Any:
        """None: the server has it."""
        return None

    @property
    def add_special_tokens(self) -> bool:
        """The server's chat template does."""
        return False

    @property
    def max_length(self) -> int:
        """Not known here; the server refuses what does not fit."""
        return 0

    def loglikelihood(self, docs: list[Doc]) -> list[ModelResponse]:
        """No task of ours asks for it."""
        raise NotImplementedError

    def loglikelihood_rolling(self, docs: list[Doc]) -> list[ModelResponse]:
        """No task of ours asks for it."""
        raise NotImplementedError
