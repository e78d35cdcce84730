"""Sound inputs of every parser that reads foreign bytes: what `benchmarks/fuzz.py` changes until something breaks."""

from __future__ import annotations

import gzip
import io
import json
import math
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from backend_jobs.records import record_bytes
from evaluator.journal import Journal
from evaluator.types import Completion, EngineFacts, EvalPlan, Statistics
from leaderboard.results import row_bytes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.table import attempts_parquet, problems_parquet
from leaderboard.transfer import backup
from leaderboard.types import (
    AttemptRow,
    Failure,
    JobKind,
    JobRecord,
    ProblemRow,
    ResultRow,
    Status,
    Submission,
)

CONFIG = json.dumps(
    {
        "architectures": ["Qwen2ForCausalLM"],
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 8,
        "max_position_embeddings": 4096,
    }
).encode()
ANSWER = (
    json.dumps(
        {
            "id": "c",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }
    ).encode(),
    b'{"error": {"message": "too long", "type": "BadRequestError", "code": 400}}',
    b'{"object": "error", "message": "no"}',
)
METRICS = (
    b"# TYPE vllm:num_requests_running gauge\n"
    b'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
    b'vllm:num_requests_waiting{engine="0"} 0.0\nvllm:kv_cache_usage_perc{engine="0"} 0.25\n'
    b'vllm:num_preemptions_total{engine="0"} 1.0\nvllm:generation_tokens_total{engine="0"} 9e3\n'
    b'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n',
)
TEXTS = tuple(
    text.encode()
    for text in (
        "<think>2 + 2</think> It is \\boxed{4}.",
        "so $\\frac{1}{2}$\nTherefore, the final answer is: $\\boxed{\\frac{1}{2}}$. I hope it is correct",
        "Answer: B",
        "\\boxed{\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}}",
        "\\text{(B)} x \\in [-2,7] \\cup (3, \\infty) 3 \\pm 2\\sqrt{2} \\left( \\frac{a}{b} \\right)^{10}_{i=1}",
    )
)
COMPLETIONS = (b'{"problem_id": "p1", "completion": "4", "gold": "4", "finish_reason": "stop", "n_tokens": 3}\n' * 2,)
LIGHTEVAL = (
    json.dumps(
        {
            "config_general": {
                "model_name": "org/model",
                "model_sha": "main",
                "lighteval_sha": "1",
                "max_samples": None,
            },
            "results": {"custom|aime24|0|0": {"extractive_match": 0.5, "extractive_match_stderr": 0.09}},
            "versions": {"custom|aime24|0": 1},
            "config_tasks": {"custom|aime24": {"metric": [{"metric_name": "extractive_match"}]}},
        }
    ).encode(),
)
RECIPE = (Path(__file__).resolve().parents[1].joinpath("recipes/sft/arithmetic.yaml").read_bytes(),)
RECORD = record_bytes(
    JobRecord(
        submission=Submission(
            id="job-1", kind=JobKind.EVALUATE, model="org/model", submitted_at="2026-03-01T12:00:00+00:00",
            benchmarks=("aime_2024",),
        ),
        status=Status.FAILED, worker="w", attempt=1, failure=Failure(code="engine_failed", reason="no memory"),
    )
)  # fmt: skip
ATTEMPT = AttemptRow(
    problem_id="p", attempt=0, seed=1, prompt_sha256="0" * 64, prompt="q", text_sha256="0" * 64, text="4",
    reasoning=None, finish_reason="stop", completion_tokens=3, prompt_tokens=4, latency_s=0.5, retries=0, answer="4",
    verdict="correct", truncated=False, answered_in_thought=False, target="4", grader_version="1",
)  # fmt: skip
PROBLEM = ProblemRow(
    plan_key="k", problem_id="p", n=4, correct=2, no_answer=0, truncated=0, mean_tokens=3.5, majority="4"
)
AUDIT_ENTRY = b'{"action": "cancel", "at": "2026-03-01T12:00:00+00:00", "by": "ada", "detail": "", "subject": "job-1"}'
HIDING = b'{"at": "2026-03-01T12:00:00+00:00", "by": "ada", "plan_key": "abcdef01", "reason": "because"}'
FORM = b'{"model": "org/model", "benchmarks": ["aime_2024"], "attempts": 4, "note": "a note"}'


def weights() -> bytes:
    """A small safetensors file."""
    shapes = {"model.embed_tokens.weight": (8, 16), "model.layers.0.w": (4,)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + b"\0" * end


def attempts() -> bytes:
    """A stored file of attempts."""
    return attempts_parquet([ATTEMPT])


def problems() -> bytes:
    """A stored file of counts per problem."""
    return problems_parquet([PROBLEM])


def journal() -> bytes:
    """A journal with one answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        with Journal(path) as opened:
            opened.add("k", Completion(problem_id="p", attempt=0, seed=1, text="4"))
        return path.read_bytes()


def backups() -> tuple[bytes, bytes]:
    """A whole backup, and an archive that is none of ours and names a path outside."""
    with tempfile.TemporaryDirectory() as folder:
        store, file = SqliteStore(Path(folder) / "store.db"), Path(folder) / "backup.tar.gz"
        store.commit({"results/a.json": b"{}"}, parent=store.version(), message="one")
        backup(store.snapshot(), file)
        store.close()
        whole = file.read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("../../outside")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"{}"))
    return whole, gzip.compress(packed.getvalue())


def result_row() -> bytes:
    """A published row."""
    plan = EvalPlan(
        benchmark="arithmetic", benchmark_version=1, model="org/model", commit="a" * 40, problems_hash="b" * 64,
        chat_template_hash="c" * 64, prompt_opens_thought=False, max_tokens=128, attempts=4, grader_version="1",
    )  # fmt: skip
    numbers = Statistics(
        score=50.0, stderr_questions=2.0, stderr_decoding=1.0, ci95=(46.0, 54.0), pass_at_n=60.0, maj_at_n=55.0
    )
    row = ResultRow(
        plan_key="d" * 16, generation_key="e" * 16, protocol_key="f" * 16, benchmark="arithmetic", model="org/model",
        revision="main", commit="a" * 40, ranked=True, not_ranked_because="", plan=plan, statistics=numbers,
        problems=400, attempts_per_problem=4, verdicts={"correct": 800, "incorrect": 800}, truncated=0,
        truncation_unknown=0, answered_in_thought=0, mean_completion_tokens=10.0, completion_tokens=16_000,
        wall_seconds=60.0,
        engine=EngineFacts(engine="vLLM"), measured_at="2026-03-01T12:00:00+00:00",
    )  # fmt: skip
    return row_bytes(row)
