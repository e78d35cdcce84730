"""Every Eval Ever records, schema 0.3: one JSON file per result, and one line per attempt beside it.

Paths are `data/open-r1/<developer>/<model>/<uuid>.json` and `<uuid>_samples.jsonl`. The uuid follows from the plan key:
the same result always has the same record. Attempts of a private benchmark have no record: the schema wants their text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from evaluator.benchmarks import BENCHMARKS, benchmark
from evaluator.types import Benchmark
from leaderboard.board import Board
from leaderboard.types import AttemptRow, ResultRow

SCHEMA_VERSION = "0.3.0"
COLLECTION = "open-r1"
SOURCE = "open-r1 leaderboard"


def write_records(board: Board, folder: Path, *, organization: str) -> list[Path]:
    """Write the records of every result that stands on its own below `folder`; returns the files written.

    `organization` is whose board this is. Demonstration benchmarks and results with unknown weights are left out.
    """
    written: list[Path] = []
    for row in board.rows():
        if not exportable(row):
            continue
        place = folder / record_path(row)
        place.parent.mkdir(parents=True, exist_ok=True)
        samples = b"" if BENCHMARKS[row.benchmark].private else _samples(row, board.attempts(row.plan_key))
        if samples:
            beside = place.with_name(f"{place.stem}_samples.jsonl")
            beside.write_bytes(samples)
            written.append(beside)
        place.write_text(json.dumps(record(row, organization, samples), indent=2, ensure_ascii=False) + "\n", "utf-8")
        written.append(place)
    return written


def exportable(row: ResultRow) -> bool:
    """Whether a result means something outside this board: known weights, a public benchmark, not replaced."""
    known = BENCHMARKS.get(row.benchmark)
    return known is not None and not known.demonstration and row.commit is not None and row.superseded_by is None


def record_path(row: ResultRow) -> str:
    """Where the record of a result belongs in the collection."""
    developer, _, name = row.model.rpartition("/")
    return f"data/{COLLECTION}/{developer or 'unknown'}/{name}/{record_uuid(row)}.json"


def record_uuid(row: ResultRow) -> UUID:
    """A version 4 UUID that the plan key decides."""
    return UUID(bytes=hashlib.sha256(row.plan_key.encode()).digest()[:16], version=4)


def record(row: ResultRow, organization: str, samples: bytes = b"") -> dict[str, Any]:
    """A result as one record. `samples` is the content of the file beside it."""
    measured = str(datetime.fromisoformat(row.measured_at).timestamp())
    made: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _evaluation_id(row),
        "evaluation_timestamp": measured,
        "retrieved_timestamp": measured,
        "source_metadata": {
            "source_name": SOURCE,
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "first_party" if row.model.startswith(f"{organization}/") else "third_party",
        },
        "eval_library": {
            "name": "open-r1-leaderboard",
            "version": str(row.plan.benchmark_version),
            "additional_details": {"grader": row.plan.grader_version, "plan_key": row.plan_key},
        },
        "model_info": _model(row),
        "evaluation_results": [_result(row, benchmark(row.benchmark))],
    }
    if samples:
        made["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": record_path(row).removesuffix(".json") + "_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples).hexdigest(),
            "total_rows": samples.count(b"\n"),
        }
    return made


def _evaluation_id(row: ResultRow) -> str:
    return f"{row.benchmark}/{row.model}/{datetime.fromisoformat(row.measured_at).timestamp()}"


def _model(row: ResultRow) -> dict[str, Any]:
    details = {"deployment_type": "self_deployed", "model_availability": "open_weights"}
    facts = {"commit": row.commit, "dtype": row.plan.dtype, "quantization": row.plan.quantization}
    return {
        "name": row.model,
        "id": row.model,
        "developer": row.model.rpartition("/")[0] or "unknown",
        "inference_engine": {"name": row.engine.engine or "unknown", "version": row.engine.version or "unknown"},
        "additional_details": details | {name: value for name, value in facts.items() if value},
    }


def _result(row: ResultRow, bench: Benchmark) -> dict[str, Any]:
    numbers, plan = row.statistics, row.plan
    details = {
        "problems": row.problems,
        "attempts_per_problem": row.attempts_per_problem,
        "maj_at_n": numbers.maj_at_n / 100,
        "pass_at_n": numbers.pass_at_n / 100,
        "truncated_attempts": row.truncated,
        **{f"{verdict}_attempts": count for verdict, count in row.verdicts.items()},
    }
    return {
        "evaluation_result_id": row.plan_key,
        "evaluation_name": row.benchmark,
        "source_data": {
            "dataset_name": bench.title,
            "source_type": "hf_dataset",
            "hf_repo": bench.dataset,
            "hf_split": bench.split,
            "samples_number": row.problems,
        },
        "metric_config": {
            "evaluation_description": f"share of right answers over {row.attempts_per_problem} attempts per problem",
            "metric_id": "pass_at_k",
            "metric_name": "pass@1",
            "metric_kind": "pass_rate",
            "metric_unit": "proportion",
            "metric_parameters": {"k": 1, "n": row.attempts_per_problem},
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": numbers.score / 100,
            "details": {name: str(value) for name, value in details.items()},
            "uncertainty": {
                "standard_error": {"value": numbers.stderr_questions / 100, "method": "analytic, over problems"},
                "confidence_interval": {
                    "lower": numbers.ci95[0] / 100,
                    "upper": numbers.ci95[1] / 100,
                    "confidence_level": 0.95,
                    "method": "Wilson with an effective sample size",
                },
                "num_samples": row.problems,
            },
        },
        "generation_config": {
            "generation_args": {
                "temperature": plan.sampling.temperature,
                "top_p": plan.sampling.top_p,
                "top_k": plan.sampling.top_k or None,
                "max_tokens": plan.max_tokens,
                "reasoning": True,
            }
        },
    }


def _samples(row: ResultRow, attempts: Sequence[AttemptRow]) -> bytes:
    lines = (json.dumps(_sample(row, attempt), ensure_ascii=False) for attempt in attempts if attempt.text is not None)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _sample(row: ResultRow, attempt: AttemptRow) -> dict[str, Any]:
    right = attempt.verdict == "correct"
    made: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _evaluation_id(row),
        "model_id": row.model,
        "evaluation_name": row.benchmark,
        "evaluation_result_id": row.plan_key,
        "sample_id": f"{attempt.problem_id}#{attempt.attempt}",
        "sample_hash": attempt.prompt_sha256,
        "interaction_type": "single_turn",
        "input": {"raw": attempt.prompt or "", "reference": [attempt.target or ""]},
        "output": {"raw": [attempt.text or ""]},
        "answer_attribution": [],
        "evaluation": {"score": float(right), "is_correct": right},
        "performance": {"latency_ms": attempt.latency_s * 1000},
        "metadata": {"verdict": attempt.verdict, "attempt": str(attempt.attempt), "seed": str(attempt.seed)},
    }
    if attempt.reasoning is not None:
        made["output"]["reasoning_trace"] = [attempt.reasoning]
    if attempt.answer is not None:
        made["answer_attribution"] = [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": attempt.answer,
                "extraction_method": f"grader {attempt.grader_version}",
                "is_terminal": True,
            }
        ]
    if attempt.prompt_tokens is not None and attempt.completion_tokens is not None:
        made["token_usage"] = {
            "input_tokens": attempt.prompt_tokens,
            "output_tokens": attempt.completion_tokens,
            "total_tokens": attempt.prompt_tokens + attempt.completion_tokens,
        }
    return made
