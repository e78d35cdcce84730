"""Scores on a model's own page: `.eval_results/*.yaml` as a pull request, and the older model-index metadata.

A door to huggingface_hub: its own classes write both forms. A result is proposed once: what was proposed is kept in the
store, and pull requests that name the result already are found on the Hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import yaml
from huggingface_hub import CommitOperationAdd, EvalResult, EvalResultEntry, HfApi, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from evaluator.benchmarks import benchmark
from leaderboard.board import Board
from leaderboard.exports.every_eval_ever import exportable
from leaderboard.hub import hub_errors
from leaderboard.store import Changes, Snapshot, Store, update
from leaderboard.types import ResultRow

PROPOSED = "proposed/"
"""One JSON file per result that was proposed to its model's page: `proposed/<plan_key>.json`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What would be, or was, proposed to one model's page. `url` is the pull request; None in a dry run."""

    model: str
    plan_keys: tuple[str, ...]
    files: Mapping[str, bytes]
    url: str | None = None


def proposals(board: Board, stored: Snapshot, *, board_url: str, only: Sequence[str] = ()) -> list[Proposal]:
    """The ranked results that were never proposed, one proposal per model. `only` limits it to some plan keys."""
    rows = [
        row
        for entry in board.leaderboard()
        for score in entry.scores.values()
        if (row := board.row(score.plan_key)).ranked
        and exportable(row)
        and "/" in row.model
        and not row.model.startswith("local/")
        and (not only or row.plan_key in only)
        and f"{PROPOSED}{row.plan_key}.json" not in stored.names
    ]
    by_model: dict[str, list[ResultRow]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    return [
        Proposal(
            model=model,
            plan_keys=tuple(row.plan_key for row in own),
            files={f".eval_results/open-r1-{row.benchmark}.yaml": entry_yaml(row, board_url) for row in own},
        )
        for model, own in sorted(by_model.items())
    ]


def propose(proposal: Proposal, store: Store, *, token: str | None, endpoint: str | None = None) -> Proposal | None:
    """Open the pull request, and remember it; None where one that names these results is there already.

    Raises:
        CheckpointRejected: the Hub refuses, or cannot be reached.
    """
    api = HfApi(endpoint=endpoint, token=token or False)
    title = f"Evaluation results: {', '.join(proposal.plan_keys)}"
    with hub_errors(proposal.model, None):
        known = next(
            (
                each
                for each in api.get_repo_discussions(proposal.model, discussion_type="pull_request")
                if any(key in each.title for key in proposal.plan_keys)
            ),
            None,
        )
        url = known.url if known else None
        if url is None:
            operations = [CommitOperationAdd(name, content) for name, content in proposal.files.items()]
            made = api.create_commit(
                proposal.model, operations, commit_message=title, commit_description=DESCRIPTION, create_pr=True
            )
            url = made.pr_url
    _remember(store, proposal, url or "")
    if known:
        return None
    return Proposal(model=proposal.model, plan_keys=proposal.plan_keys, files=proposal.files, url=url)


DESCRIPTION = (
    "Measured by an open-r1 leaderboard: every score can be opened down to the completions it came from, at the "
    "address that each file names. Merge what you like."
)


def entry_yaml(row: ResultRow, board_url: str) -> bytes:
    """One result as the content of a file in `.eval_results/`."""
    bench = benchmark(row.benchmark)
    low, high = row.statistics.ci95
    entry = EvalResultEntry(
        dataset_id=bench.dataset,
        task_id=bench.name if bench.subset == "default" else bench.subset,
        value=round(row.statistics.score, 2),
        date=row.measured_at,
        source_url=f"{board_url}/result?plan={row.plan_key}",
        source_name="open-r1 leaderboard",
        notes=(
            f"pass@1 over {row.attempts_per_problem} attempts, 95% interval {low:.1f} to {high:.1f}, "
            f"commit {(row.commit or '')[:12]}, {row.plan.max_tokens} tokens"
        ),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True).encode()


def model_index(rows: Iterable[ResultRow], model: str, board_url: str) -> str:
    """The `model-index` block of a model card's metadata, as YAML."""
    results = []
    for row in rows:
        if row.model == model and exportable(row):
            bench = benchmark(row.benchmark)
            results.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=bench.dataset,
                    dataset_name=bench.title,
                    dataset_config=bench.subset,
                    dataset_split=bench.split,
                    metric_type="pass@1",
                    metric_name=f"pass@1 ({row.attempts_per_problem} attempts)",
                    metric_value=round(row.statistics.score, 2),
                    source_name="open-r1 leaderboard",
                    source_url=f"{board_url}/result?plan={row.plan_key}",
                )
            )
    if not results:
        return ""
    return yaml.safe_dump({"model-index": eval_results_to_model_index(model, results)}, sort_keys=False)


def _remember(store: Store, proposal: Proposal, url: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")

    def edit(_: Snapshot) -> Changes:
        return {
            f"{PROPOSED}{key}.json": (json.dumps({"at": at, "model": proposal.model, "url": url}) + "\n").encode()
            for key in proposal.plan_keys
        }

    update(store, edit, message=f"proposed {len(proposal.plan_keys)} results to {proposal.model}")
