"""lighteval's result files, read as *measured elsewhere* and written from our rows. JSON only: no lighteval is needed.

The layout is `eval_results/<org>/<model>/<revision>/<task>/results_<time>.json`; files as lighteval itself places them
(`results/<org>/<model>/results_<time>.json`) are read too. In a file, `results` holds one object of metrics per task,
named `task|shots` (since 0.11) or `suite|task|shots` (before), with shares from 0 to 1; `config_general` says what was
measured, `config_tasks` how.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluator.benchmarks import BENCHMARKS, benchmark
from evaluator.errors import OpenR1Error
from evaluator.types import to_json
from leaderboard.results import store_folder
from leaderboard.types import ReferenceKind, ReferenceScore, ResultRow

PREFIX = "open_r1"
ROOT_FOLDER = "eval_results"
LARGEST_BYTES = 64 << 20
LONGEST_TEXT = 400
TASKS = {
    "math_500": "math_500",
    "aime24": "aime_2024",
    "aime24_avg": "aime_2024",
    "aime25": "aime_2025",
    "aime25_avg": "aime_2025",
    "gpqa:diamond": "gpqa_diamond",
    **{f"{PREFIX}:{name}": name for name in BENCHMARKS},
}
"""lighteval's tasks that ask a benchmark's problems; its prompts and graders differ from ours."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILE_NAME = re.compile(r"results_(\d{4}-\d{2}-\d{2})T[\d.-]+\.json")
SAMPLES = re.compile(r"(?:math_|gpqa_)?pass@1:(\d+)_samples")
PARAMETERS = re.compile(r"(?:(?:math_|gpqa_)?pass@k|avg@n):(.+)")
DECODING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
)


class LightevalUnreadable(OpenR1Error):
    """There is no lighteval result file where one was expected."""

    code = "lighteval_unreadable"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadResults:
    """What a folder of result files held. `left_out` counts, per reason, the files and tasks that make no score."""

    files: int
    scores: tuple[ReferenceScore, ...]
    left_out: Mapping[str, int]


class _LeftOut(Exception):
    """Why a file or a task makes no score."""


def read_results(path: Path, *, source: str = "lighteval", url: str = "") -> ReadResults:
    """Every score in one result file, or in all of a folder. `source` and `url` say whose files they are.

    Several files of one model and task stay several measurements.

    Raises:
        LightevalUnreadable: there is no result file at `path`.
    """
    files = sorted(path.rglob("results_*.json")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise LightevalUnreadable(f"{path} is no result file and holds none; expected results_<time>.json")
    scores: list[ReferenceScore] = []
    left_out: Counter[str] = Counter()
    for file in files:
        try:
            for score in _file_scores(file, path, source, url):
                if isinstance(score, ReferenceScore):
                    scores.append(score)
                else:
                    left_out[score] += 1
        except _LeftOut as reason:
            left_out[str(reason)] += 1
    return ReadResults(files=len(files), scores=tuple(scores), left_out=dict(left_out))


def _file_scores(file: Path, given: Path, source: str, url: str) -> Iterator[ReferenceScore | str]:
    """The scores of one file, and for each of its tasks that makes none the reason."""
    dated = FILE_NAME.fullmatch(file.name)
    if dated is None:
        raise _LeftOut("the file's name has no time: expected results_<time>.json")
    content = _content(file)
    general = _mapping(content.get("config_general"))
    if general.get("max_samples"):
        raise _LeftOut("limited to some problems (max_samples)")
    model, revision = _model(general, file, given)
    for key, metrics in _mapping(content.get("results")).items():
        name = _task_name(key)
        if name == "all" or name.endswith(":_average"):
            continue
        if name not in TASKS:
            yield f"task {name[:60]} is no benchmark of this board"
            continue
        config = _task_config(content, key, name)
        try:
            metric, samples = _pass_at_1(_mapping(metrics), config)
            score = _points(metrics[metric])
        except _LeftOut as reason:
            yield str(reason)
            continue
        generation = _generation(general)
        budget = generation.get("max_new_tokens") or config.get("generation_size")
        yield ReferenceScore(
            model=model,
            benchmark=TASKS[name],
            score=score,
            kind=ReferenceKind.MEASURED_ELSEWHERE,
            source=source,
            url=url,
            date=dated[1],
            settings=_settings(general, generation, revision, key, metric, metrics.get(f"{metric}_stderr")),
            samples_per_problem=samples,
            max_tokens=budget if isinstance(budget, int) and budget > 0 else None,
        )


def _content(file: Path) -> Mapping[str, Any]:
    if file.stat().st_size > LARGEST_BYTES:
        raise _LeftOut(f"larger than {LARGEST_BYTES >> 20} MB")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _LeftOut("not JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        raise _LeftOut("not lighteval's layout: no object named results")
    return content


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _task_name(key: str) -> str:
    """`aime24` from `aime24|0`, `lighteval|aime24|0` and `lighteval|aime24|0|0`."""
    parts = key.split("|")
    return parts[0] if len(parts) < 3 else parts[1]


def _task_config(content: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    """How a task was set up; older files leave the shots out of its key."""
    configs = _mapping(content.get("config_tasks"))
    return _mapping(configs.get(key) or next((c for k, c in configs.items() if _task_name(f"{k}|0") == name), None))


def _model(general: Mapping[str, Any], file: Path, given: Path) -> tuple[str, str]:
    """Model and revision: as the file says where that is a Hub id, else from the layout's folders.

    An owner `_` stands for names that are no path: those the file alone knows.
    """
    config = _mapping(general.get("model_config"))
    named = str(general.get("model_name") or config.get("model_name") or "")
    folders = _layout(file, given)
    if not HUB_NAME.fullmatch(named) and folders and folders[0] != "_":
        named = f"{folders[0]}/{folders[1]}"
    if not named:
        raise _LeftOut("no model name, neither in the file nor in its path")
    revision = config.get("revision") or general.get("model_sha") or (folders[2] if folders else "")
    return named[:LONGEST_TEXT], str(revision)


def _layout(file: Path, given: Path) -> tuple[str, ...]:
    """(org, model, revision, task) where the path has that layout; empty otherwise."""
    parts = file.absolute().parts[:-1]
    below = parts[-4:] if ROOT_FOLDER in parts and parts.index(ROOT_FOLDER) == len(parts) - 5 else ()
    relative = file.relative_to(given).parts[:-1] if given.is_dir() else ()
    return below or (relative if len(relative) == 4 else ())


def _pass_at_1(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, int | None]:
    """The metric that is the mean of right answers, from the most samples, and how many those are.

    maj@n, pass@k with k above 1 and G-pass@k are other quantities.
    """
    found = [(name, _samples(name, config)) for name in metrics if not name.endswith("_stderr")]
    means = [(samples, name) for name, samples in found if samples is not None]
    if not means:
        raise _LeftOut("no metric is a mean of right answers (pass@1, avg@n, extractive_match)")
    samples, metric = max(means)
    return metric, samples or None


def _samples(metric: str, config: Mapping[str, Any]) -> int | None:
    """Samples per problem behind a metric: 0 where it does not say, None where it is no mean of right answers."""
    if metric == "extractive_match":
        return 1
    if metric == "pass@1":
        walks, per_document = config.get("evaluation_splits"), config.get("num_samples")
        if not isinstance(walks, list) or not isinstance(per_document, list):
            return 0
        return len(walks) * max((n for n in per_document if isinstance(n, int)), default=0)
    if named := SAMPLES.fullmatch(metric):
        return int(named[1])
    if parameters := PARAMETERS.fullmatch(metric):
        values = dict(re.findall(r"(\w+)=(\d+)", parameters[1]))
        if metric.startswith("avg@n") or values.get("k") == "1":
            return int(values.get("n", 0))
    return None


def _points(share: Any) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise _LeftOut("a score that is no share from 0 to 1")
    return round(100 * share, 9)


def _generation(general: Mapping[str, Any]) -> Mapping[str, Any]:
    config = _mapping(general.get("model_config"))
    return _mapping(config.get("generation_parameters") or general.get("generation_parameters"))


def _settings(
    general: Mapping[str, Any], generation: Mapping[str, Any], revision: str, key: str, metric: str, stderr: Any
) -> str:
    """How a number was made, in words: all that the file tells."""
    config = _mapping(general.get("model_config"))
    decoding = [f"{name} {generation[name]}" for name in DECODING if generation.get(name) is not None]
    parts = [
        f"lighteval task {key}, metric {metric}",
        ", ".join(decoding) or "decoding not recorded",
        "a system prompt" if config.get("system_prompt") or general.get("system_prompt") else "",
        f"revision {revision}" if revision else "revision not recorded",
        str(config.get("dtype") or general.get("model_dtype") or ""),
        f"its standard error {100 * stderr:.1f}" if isinstance(stderr, float) and 0 <= stderr <= 1 else "",
    ]
    return "; ".join(part for part in parts if part)[:LONGEST_TEXT]


def export_results(rows: Iterable[ResultRow], folder: Path) -> list[Path]:
    """Write one result file per row below `folder`, which stands for `eval_results`; returns them in that order."""
    written = []
    for row in rows:
        file = folder / result_path(row)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result_json(row), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        written.append(file)
    return written


def result_path(row: ResultRow) -> str:
    """`<org>/<model>/<revision>/<task>/results_<time>.json`.

    The time is when the row was measured, in UTC. Its microseconds come from the plan's key, so that two rows of one
    second stay two files.
    """
    revision = re.sub(r"[^A-Za-z0-9_-][^A-Za-z0-9._-]*", "_", row.revision or row.commit or "unknown")
    moment = datetime.fromisoformat(row.measured_at).astimezone(UTC)
    moment = moment.replace(microsecond=int(row.plan_key, 16) % 1_000_000, tzinfo=None)
    time = moment.isoformat(timespec="microseconds").replace(":", "-")
    return f"{store_folder(row.model)}/{revision}/{row.benchmark}/results_{time}.json"


def result_json(row: ResultRow) -> dict[str, Any]:
    """A row as lighteval writes a result, with the whole row beside it under `open_r1`."""
    bench, plan, numbers = benchmark(row.benchmark), row.plan, row.statistics
    task = f"{PREFIX}:{row.benchmark}|0"
    metrics = {"pass@1": numbers.score / 100, "pass@1_stderr": numbers.stderr_questions / 100}
    return {
        "config_general": {
            "lighteval_sha": "?",
            "num_fewshot_seeds": 1,
            "max_samples": None,
            "job_id": row.job_id or "",
            "start_time": None,
            "end_time": None,
            "total_evaluation_time_secondes": str(row.wall_seconds),
            "model_config": {
                "model_name": row.model,
                "revision": row.revision or row.commit,
                "dtype": plan.dtype,
                "system_prompt": plan.system_prompt,
                "generation_parameters": {**to_json(plan.sampling), "max_new_tokens": plan.max_tokens},
            },
            "model_name": row.model,
            "model_sha": row.commit,
        },
        "results": {task: metrics, "all": dict(metrics)},
        "versions": {task: plan.benchmark_version},
        "config_tasks": {
            task: {
                "name": f"{PREFIX}:{row.benchmark}",
                "hf_repo": bench.dataset,
                "hf_subset": bench.subset,
                "evaluation_splits": [bench.split],
                "generation_size": plan.max_tokens,
                "num_samples": [row.attempts_per_problem],
                "num_fewshots": 0,
                "version": plan.benchmark_version,
            }
        },
        "summary_tasks": {},
        "summary_general": {},
        PREFIX: to_json(row),
    }
