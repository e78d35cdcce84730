"""The benchmarks as lighteval tasks, and the only module that imports lighteval and datasets.

lighteval's own command line can run this file as custom tasks (`TASKS_TABLE`; README, "Run the same tasks with
lighteval"). Everything the evaluator knows of a problem (id, prompt, target) comes from `LightevalTask.get_docs()`:
change a word here and it reaches the server.

Prompt wording: simple-evals (github.com/openai/simple-evals) and the Llama 3 evaluation details, verbatim.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import datasets
from lighteval.metrics.metrics import Metrics
from lighteval.metrics.metrics_sample import SampleLevelComputation, SamplingMetric
from lighteval.metrics.utils.metric_utils import SampleLevelMetric
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.lighteval_task import LightevalTask, LightevalTaskConfig
from lighteval.tasks.requests import Doc, SamplingMethod

from evaluator import arithmetic, grading
from evaluator.benchmarks import BENCHMARKS
from evaluator.samples import mirror_folder
from evaluator.template import opens_thought
from evaluator.types import Benchmark, Extraction, GradeInput, Verdict

PREFIX = "open_r1"

MATH_PROMPT = (
    "Solve the following math problem efficiently and clearly.  The last line of your response should be of the "
    "following format: 'Therefore, the final answer is: $\\boxed{{ANSWER}}$. I hope it is correct' (without quotes) "
    "where ANSWER is just the final number or expression that solves the problem. Think step by step before "
    "answering.\n\n{problem}"
)
GPQA_PROMPT = (
    "Answer the following multiple choice question. The last line of your response should be of the following "
    "format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.\n\n"
    "{question}\n\nA) {a}\nB) {b}\nC) {c}\nD) {d}"
)
GPQA_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def math_500_doc(row: dict[str, Any], task_name: str) -> Doc:
    """One MATH-500 problem; its id is the dataset's `unique_id`."""
    return _math_doc(row, task_name, row["unique_id"], subject=row["subject"], level=str(row["level"]))


def aime_doc(row: dict[str, Any], task_name: str) -> Doc:
    """One AIME problem; its id is like `aime24-I-07`, from whichever columns the dataset has."""
    return _math_doc(row, task_name, aime_id(row))


def arithmetic_doc(row: dict[str, Any], task_name: str) -> Doc:
    """One chain of digits, asked without the long instructions: a 0.6 M-parameter model cannot read them."""
    return Doc(
        task_name=task_name,
        query=row["problem"],
        choices=[row["answer"]],
        gold_index=0,
        specific={"problem_id": row["problem_id"], "subject": f"{row['terms']} terms"},
    )


def _math_doc(row: dict[str, Any], task_name: str, problem_id: str, subject: str = "", level: str = "") -> Doc:
    return Doc(
        task_name=task_name,
        query=MATH_PROMPT.format(problem=row["problem"]),
        choices=[str(row["answer"])],
        gold_index=0,
        specific={"problem_id": problem_id, "subject": subject, "level": level},
    )


def aime_id(row: dict[str, Any]) -> str:
    """The contest, part and number of an AIME row: its own `uid`, or read off its `url`, or its row number."""
    if row.get("uid"):
        return str(row["uid"])
    found = re.search(r"(\d{4})_AIME_(I{1,2})_Problems/Problem_(\d+)", str(row.get("url") or ""))
    if found:
        return f"aime{found[1][2:]}-{found[2]}-{int(found[3]):02d}"
    return f"row-{row['__index']:02d}"


class AttemptDoc(Doc):  # type: ignore[misc]
    """A document that exists once per attempt, with an id of its own at each.

    lighteval gives every document its row number as id, and looks cached answers up by it: the attempts at one question
    would be taken for one document.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """The row number and the attempt, such as `17@3`."""
        row = str(Doc.id.__get__(self))
        return f"{row}@{self.specific['attempt']}" if self.specific else row

    @id.setter  # noqa: A003  (the name is lighteval's)
    def id(self, value: str) -> None:
        Doc.id.__set__(self, value.partition("@")[0])


class GpqaDocs:
    """Renders each GPQA question once per attempt, each time with that attempt's own option order.

    lighteval walks the split once per attempt (`evaluation_splits` names it that often); the n-th time a question is
    seen is its attempt n. The order comes from a hash of question and attempt: nothing that ran before moves it.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._seen: Counter[str] = Counter()

    def __call__(self, row: dict[str, Any], task_name: str) -> Doc:
        """One document: a question as one attempt sees it."""
        record = str(row["Record ID"])
        attempt = self._seen[record] % self._attempts
        self._seen[record] += 1
        order = option_order(record, attempt)
        shown = [str(row[GPQA_OPTIONS[option]]).strip() for option in order]
        return AttemptDoc(
            task_name=task_name,
            query=GPQA_PROMPT.format(
                question=str(row["Question"]).strip(), a=shown[0], b=shown[1], c=shown[2], d=shown[3]
            ),
            choices=list(ascii_uppercase[:4]),
            gold_index=order.index(0),
            specific={
                "problem_id": record,
                "attempt": attempt,
                "options": [str(option) for option in order],
                "subject": str(row.get("High-level domain") or ""),
            },
        )


def option_order(record: str, attempt: int) -> list[int]:
    """The four options of a question as shown at one attempt: a permutation of 0..3, 0 being the correct one."""
    return sorted(range(4), key=lambda option: hashlib.sha256(f"{record}\0{attempt}\0{option}".encode()).digest())


class PassAtOne(SamplingMetric, SampleLevelComputation):  # type: ignore[misc]
    """Our grader as a lighteval metric: the share of a document's samples that are correct."""

    def __init__(self, extraction: Extraction, attempts: int) -> None:
        super().__init__()
        self.extraction = extraction
        self.attempts = attempts

    def num_samples(self) -> int:
        """Samples that lighteval asks for per document."""
        return self.attempts

    def compute(self, model_response: ModelResponse, doc: Doc, **_: Any) -> float:
        """Mean correctness, 0 to 1, over a document's samples; one that is missing or ungraded is an error."""
        scores = [grading.grade(item) for item in grade_inputs(model_response, doc, self.extraction)]
        if len(scores) != self.attempts or any(score.verdict is Verdict.UNGRADED for score in scores):
            ungraded = sum(score.verdict is Verdict.UNGRADED for score in scores)
            raise ValueError(
                f"{doc.specific['problem_id']}: {len(scores)} samples, expected {self.attempts}; {ungraded} ungraded. "
                "A missing or ungraded sample has no score: run it again"
            )
        return sum(score.verdict is Verdict.CORRECT for score in scores) / len(scores)


def grade_inputs(response: ModelResponse, doc: Doc, extraction: Extraction) -> list[GradeInput]:
    """What our grader is asked about each sample of a lighteval response.

    lighteval's responses have no finish_reason. It is taken from a model that adds `finish_reasons` all the same, or
    else from the tokens: an answer that used its whole budget was cut. The rendered prompt, where a model returns it,
    shows whether it opens a thought. Where nothing is known, an answer is read as one that the model ended by itself.
    """
    opened = isinstance(response.input, str) and opens_thought(response.input)
    samples = range(len(response.text))
    first = doc.specific.get("attempt", 0)
    return [
        GradeInput(
            problem_id=str(doc.specific["problem_id"]),
            attempt=first + sample,
            text=response.text[sample],
            reasoning=response.reasonings[sample] if sample < len(response.reasonings) else None,
            finish_reason=_finish_reason(response, doc, sample),
            prompt_opens_thought=opened,
            target=doc.get_golds()[0],
            extraction=extraction,
        )
        for sample in samples
    ]


def second_opinion(item: GradeInput) -> bool:
    """Whether lighteval's extractive match, as its own math and GPQA tasks configure it, takes a completion as right.

    It reads the text after the last closed thought, or all of it where none is closed. sympy may hang in it.
    """
    text = item.text.rpartition("</think>")[2]
    letter = item.extraction is Extraction.LETTER
    metric = Metrics.gpqa_instruct_metric.value if letter else Metrics.avg_at_n_math.value
    extractive = metric.sample_level_fn.compute if letter else metric.sample_level_fn.compute_score
    doc = Doc(query="", choices=list(ascii_uppercase[:4]) if letter else [item.target], gold_index=0)
    if letter:
        doc.gold_index = ascii_uppercase.index(item.target)
    elif "$" not in item.target and "\\boxed" not in item.target:
        doc.choices = [f"${item.target}$"]
    return bool(extractive(doc=doc, model_response=ModelResponse(text=[text])) > 0)


def _finish_reason(response: ModelResponse, doc: Doc, sample: int) -> str | None:
    if told := getattr(response, "finish_reasons", None):
        return str(told[sample]) if told[sample] is not None else None
    if doc.generation_size is None or sample >= len(response.output_tokens):
        return None
    return "length" if len(response.output_tokens[sample]) >= doc.generation_size else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def task_config(bench: Benchmark, *, attempts: int | None = None, hf_repo: str | None = None) -> LightevalTaskConfig:
    """The lighteval task of one benchmark.

    `attempts` replaces the protocol's number; `hf_repo` replaces the Hub's dataset by a local folder.
    """
    count = attempts or bench.attempts
    documents_per_problem = count if bench.extraction is Extraction.LETTER else 1
    return LightevalTaskConfig(
        name=f"{PREFIX}:{bench.name}",
        prompt_function=_prompt_function(bench, count),
        hf_repo=hf_repo or (str(arithmetic.FOLDER) if bench.demonstration else bench.dataset),
        hf_subset="default" if hf_repo else bench.subset,
        hf_avail_splits=[bench.split],
        evaluation_splits=[bench.split] * documents_per_problem,
        few_shots_split=bench.split,
        generation_size=bench.max_tokens,
        num_samples=[count // documents_per_problem],
        metrics=[
            SampleLevelMetric(
                metric_name="pass@1",
                higher_is_better=True,
                category=SamplingMethod.GENERATIVE,
                sample_level_fn=PassAtOne(bench.extraction, count // documents_per_problem),
                corpus_level_fn=_mean,
            )
        ],
        version=bench.version,
    )


def _prompt_function(bench: Benchmark, attempts: int) -> Callable[[dict[str, Any], str], Doc]:
    if bench.extraction is Extraction.LETTER:
        return GpqaDocs(attempts)
    return {"math_500": math_500_doc, "arithmetic": arithmetic_doc}.get(bench.name, aime_doc)


def docs(config: LightevalTaskConfig) -> list[Doc]:
    """Every document of a task, as lighteval makes them (its order is shuffled with a fixed seed)."""
    datasets.disable_progress_bars()
    documents: list[Doc] = LightevalTask(config).get_docs()
    return documents


def table(
    names: Iterable[str] = tuple(BENCHMARKS), *, mirror: Path | None = None, attempts: int | None = None
) -> list[LightevalTaskConfig]:
    """The tasks of some benchmarks, as lighteval takes them from a custom tasks file.

    `mirror` stands in for the Hub: see `evaluator.samples.load_samples`. `attempts` replaces the protocol's number.
    """
    configs = []
    for bench in (BENCHMARKS[name] for name in names):
        folder = None if mirror is None or bench.demonstration else str(mirror_folder(mirror, bench))
        configs.append(task_config(bench, attempts=attempts, hf_repo=folder))
    return configs


TASKS_TABLE = table()
