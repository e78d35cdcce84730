"""The same tasks and answers through lighteval and through the evaluator: one verdict per row, one number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from lighteval.metrics import apply_metric
from lighteval.models.abstract_model import ModelConfig
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc, SamplingMethod
from lighteval.utils.cache_management import SampleCache, cached

from evaluator import plan, tasks
from evaluator.benchmarks import AIME_2024, ARITHMETIC, BENCHMARKS, GPQA_DIAMOND
from evaluator.client import Endpoint, run_async
from evaluator.engine import given_engine
from evaluator.evaluate import evaluate
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.prepare import Options, PromptFacts, make_plans
from evaluator.samples import load_samples
from evaluator.types import Benchmark, Checkpoint, Measurement, Sample, Verdict
from tests.fakes.openai_server import FakeOpenAI, Reply

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class ToldResponse(ModelResponse):  # type: ignore[misc]
    """What a model returns to lighteval that also tells why each answer ended."""

    finish_reasons: list[str | None] = field(default_factory=list)


def answer_of_some_form(target: str, wrong: str, seed: int) -> Reply:
    """The forms that recorded answers have: boxes, lines, thoughts open and closed, cut, silent."""
    forms = [
        Reply(text=f"Thus $\\boxed{{{target}}}$."),
        Reply(text=f"Thus $\\boxed{{{wrong}}}$."),
        Reply(text=f"<think>hm</think>The answer is {target}.\n\nAnswer: {target}"),
        Reply(text=f"<think>it is $\\boxed{{{target}}}$</think>"),
        Reply(text=f"<think>perhaps $\\boxed{{{target}}}$, but", finish_reason="length"),
        Reply(text=f"<think>surely $\\boxed{{{target}}}$\n\nAnswer: {target}", finish_reason="stop"),
        Reply(text=f"Answer: {target}", reasoning=f"first I took it for {wrong}"),
        Reply(text="", reasoning="still thinking", finish_reason="length"),
        Reply(text="I do not know."),
    ]
    return forms[int(sha256(str(seed).encode()).hexdigest()[:8], 16) % len(forms)]


def gpqa_mirror(folder: Path) -> Path:
    place = folder / GPQA_DIAMOND.dataset / GPQA_DIAMOND.subset
    place.mkdir(parents=True)
    rows = (
        {"Record ID": f"rec{n:03d}", "Question": f"Question {n}?", "Correct Answer": f"right {n}"}
        | {f"Incorrect Answer {i}": f"wrong {i} of {n}" for i in (1, 2, 3)}
        for n in range(GPQA_DIAMOND.problems)
    )
    (place / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def measured(bench: Benchmark, samples: tuple[Sample, ...], attempts: int, tmp_path: Path) -> Measurement:
    """Our whole pipeline against a server that gives every attempt an answer of some form."""
    targets = {
        (sample.prompt, plan.seed(0, sample.problem_id, attempt)): sample.target
        for sample in samples
        for attempt in (range(attempts) if sample.attempt is None else (sample.attempt,))
    }

    def answer(prompt: str, seed: int) -> Reply:
        target = targets[prompt, seed]
        wrong = "ABCD"[("ABCD".index(target) + 1) % 4] if target in "ABCD" else f"1{target}"
        return answer_of_some_form(target, wrong, seed)

    with FakeOpenAI(answer, model="m") as server, GraderPool(workers=1) as grader:
        return run_async(_measured(bench, samples, attempts, tmp_path, server.base_url, grader))


async def _measured(
    bench: Benchmark, samples: tuple[Sample, ...], attempts: int, tmp_path: Path, base_url: str, grader: GraderPool
) -> Measurement:
    evaluations = make_plans(
        Checkpoint(model="m"),
        [(bench, attempts, samples)],
        options=Options(attempts=attempts),
        facts=PromptFacts(),
        endpoint=base_url,
    )

    @asynccontextmanager
    async def opened() -> Any:
        yield await given_engine(Endpoint(base_url=base_url, model="m"))

    with Journal(tmp_path / "journal.db") as journal:
        (measurement,) = await evaluate(
            evaluations,
            open_engine=opened,
            journal=journal,
            grader=grader,
            concurrency=64,
            on_progress=lambda _: None,
            cancel=asyncio.Event(),
        )
    return measurement


def as_responses(documents: Sequence[Doc], measurement: Measurement) -> list[ModelResponse]:
    """The completions of a measurement as a model would have returned them to lighteval, document by document."""
    by_problem: dict[str, list[Any]] = {}
    for completion in measurement.completions:
        by_problem.setdefault(completion.problem_id, []).append(completion)
    responses = []
    for doc in documents:
        answers = by_problem[doc.specific["problem_id"]]
        if "attempt" in doc.specific:
            answers = [answers[doc.specific["attempt"]]]
        responses.append(
            ToldResponse(
                text=[answer.text for answer in answers],
                reasonings=[answer.reasoning for answer in answers],
                finish_reasons=[answer.finish_reason for answer in answers],
            )
        )
    return responses


def assert_one_number(documents: Sequence[Doc], measurement: Measurement, config: Any) -> None:
    """Every document's metric is the share of right attempts that we counted; the mean is our score."""
    outputs = apply_metric(
        docs=list(documents), responses=as_responses(documents, measurement), metrics=list(config.metrics)
    )
    right: dict[tuple[str, int], bool] = {
        (score.problem_id, score.attempt): score.verdict is Verdict.CORRECT for score in measurement.scores
    }
    for doc, output in zip(documents, outputs, strict=True):
        problem = doc.specific["problem_id"]
        attempts = [doc.specific["attempt"]] if "attempt" in doc.specific else range(measurement.plan.attempts)
        assert output["pass@1"] == pytest.approx(sum(right[problem, a] for a in attempts) / len(attempts)), doc.id
    (metric,) = config.metrics
    mean = metric.get_corpus_aggregations()["pass@1"]([output["pass@1"] for output in outputs])
    assert 100 * mean == pytest.approx(measurement.statistics.score)
    assert 0 < measurement.statistics.score < 100
    assert measurement.truncated > 0


def test_answers_to_problems_get_the_same_verdicts_both_ways(tmp_path: Path) -> None:
    samples = load_samples(ARITHMETIC, attempts=3)
    config = tasks.task_config(ARITHMETIC, attempts=3)
    documents = tasks.docs(config)
    assert {doc.num_samples for doc in documents} == {3}
    assert_one_number(documents, measured(ARITHMETIC, samples, 3, tmp_path), config)


def test_gpqas_documents_and_letters_are_the_same_both_ways(tmp_path: Path) -> None:
    mirror = gpqa_mirror(tmp_path / "mirror")
    samples = load_samples(GPQA_DIAMOND, attempts=3, mirror=mirror)
    (config,) = tasks.table(["gpqa_diamond"], mirror=mirror, attempts=3)
    documents = tasks.docs(config)
    assert len(documents) == 198 * 3
    assert {doc.num_samples for doc in documents} == {1}
    letters = {(doc.specific["problem_id"], doc.specific["attempt"]): doc.get_golds()[0] for doc in documents}
    assert letters == {(sample.problem_id, sample.attempt): sample.target for sample in samples}
    assert_one_number(documents, measured(GPQA_DIAMOND, samples, 3, tmp_path), config)


def test_lightevals_cache_keeps_the_attempts_at_one_question_apart(tmp_path: Path) -> None:
    """It looks answers up by document id, and lighteval numbers documents by row: eight attempts would share one."""

    class Model:
        _cache = SampleCache(ModelConfig(model_name="m", cache_dir=str(tmp_path / "cache")))

        @cached(SamplingMethod.GENERATIVE)  # type: ignore[untyped-decorator]
        def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
            return [ModelResponse(text=[doc.query], logprobs=[]) for doc in docs]

    (config,) = tasks.table(["gpqa_diamond"], mirror=gpqa_mirror(tmp_path), attempts=2)
    documents = [doc for doc in tasks.docs(config) if doc.specific["problem_id"] in ("rec001", "rec002")]
    assert sorted(doc.id for doc in documents) == ["1@0", "1@1", "2@0", "2@1"]
    for _ in ("asked", "from the cache"):
        responses = Model().greedy_until(documents)
        assert [response.text for response in responses] == [[doc.query] for doc in documents]


def math_doc(generation_size: int = 4) -> Doc:
    return Doc(
        query="q",
        choices=["7"],
        gold_index=0,
        task_name="t",
        specific={"problem_id": "p"},
        generation_size=generation_size,
    )


def pass_at_1(response: ModelResponse, attempts: int = 1) -> float:
    return tasks.PassAtOne(ARITHMETIC.extraction, attempts).compute(response, math_doc())


def test_a_sample_that_is_missing_is_an_error_and_not_a_smaller_n() -> None:
    with pytest.raises(ValueError, match="p: 1 samples, expected 4"):
        pass_at_1(ModelResponse(text=["$\\boxed{7}$"]), attempts=4)


@pytest.mark.parametrize(("tokens", "expected"), [(3, 1.0), (4, 0.0)])
def test_an_answer_that_used_its_whole_budget_is_read_as_cut(tokens: int, expected: float) -> None:
    response = ModelResponse(text=["<think>$\\boxed{7}$ but"], output_tokens=[list(range(tokens))])
    assert pass_at_1(response) == expected


def test_a_rendered_prompt_that_opens_a_thought_is_seen() -> None:
    cut = {"text": ["$\\boxed{7}$ but"], "output_tokens": [[1, 2, 3, 4]]}
    assert pass_at_1(ModelResponse(input="<user>q<assistant>", **cut)) == 1.0
    assert pass_at_1(ModelResponse(input="<user>q<assistant><think>\n", **cut)) == 0.0


def test_what_was_thought_apart_counts_as_thought() -> None:
    assert pass_at_1(ModelResponse(text=["$\\boxed{7}$"], reasonings=["it is $\\boxed{8}$"])) == 1.0
    assert pass_at_1(ModelResponse(text=["done"], reasonings=["it is $\\boxed{7}$"])) == 1.0


@pytest.mark.parametrize("load", [lambda: str(ROOT / "evaluator" / "tasks.py"), lambda: "evaluator.tasks"])
def test_lighteval_loads_the_tasks_file_by_path_and_by_name(load: Callable[[], str]) -> None:
    configs = Registry._extract_configs(Registry.create_custom_tasks_module(load()))
    assert set(configs) == {f"open_r1:{name}" for name in BENCHMARKS}
    assert [configs[f"open_r1:{b.name}"].version for b in BENCHMARKS.values()] == [
        b.version for b in BENCHMARKS.values()
    ]


def test_a_table_of_tasks_reads_a_mirror(tmp_path: Path) -> None:
    place = tmp_path / AIME_2024.dataset
    place.mkdir(parents=True)
    (place / "train.jsonl").write_text(json.dumps({"problem": "p?", "answer": "025", "url": ""}))
    (config,) = tasks.table(["aime_2024"], mirror=tmp_path, attempts=2)
    (doc,) = tasks.docs(config)
    assert (doc.query.endswith("p?"), doc.get_golds(), doc.num_samples) == (True, ["025"], 2)
