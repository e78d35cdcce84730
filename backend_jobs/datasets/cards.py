"""The README.md of a dataset: what the Hub and `datasets.load_dataset` read of it, and what people do."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from backend_jobs.datasets.filters import REASONS
from backend_jobs.datasets.licenses import combined
from backend_jobs.datasets.statistics import LENGTH_BINS
from leaderboard.datasets import LONG_TOKENS, DatasetReport

COLUMNS = """| column | holds |
|---|---|
| `messages` | the conversation; the assistant's turn is `<think>` thought `</think>` answer |
| `reasoning`, `answer` | the two parts of that turn |
| `source`, `license` | where the problem is from, and what may be done with the row |
| `verified` | the answer was checked and is right (true), wrong (false), or was not checked (null) |
| `n_tokens` | tokens that the model wrote |
| `generation` | model and commit, engine, sampling, seed, why it stopped, problem, attempt, target |"""


def dataset_card(
    report: DatasetReport, *, made: Sequence[str] = (), has_rows: bool = True, has_rejected: bool = False
) -> str:
    """The card of a dataset written here. `made` are lines that say how."""
    licenses = dict(report.licenses)
    head: dict[str, object] = {
        "license": combined(licenses) if licenses else "other",
        "tags": ["reasoning", "synthetic"],
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": f"{folder}/train-*.parquet"}]}
            | ({"default": True} if name == "default" else {})
            for name, folder, there in (("default", "data", has_rows), ("rejected", "rejected", has_rejected))
            if there
        ],
    }
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n",
        f"# {report.name}\n",
        "\n".join(made),
        _numbers(report),
        _reasons(report),
        _sources(report),
        _lengths(report),
        _licenses(report),
        f"## Columns\n\n{COLUMNS}\n\nThe config `rejected` has two more: `reason` and `detail`.",
    ]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _numbers(report: DatasetReport) -> str:
    state = "" if report.complete else " so far: it is still being made"
    lines = [f"{report.rows:,} rows, {report.tokens:,} tokens{state}."]
    if report.rows:
        long_share = 100 * report.long_rows / report.rows
        lines.append(f"The longest answer has {report.longest:,} tokens; {long_share:.1f} % are over {LONG_TOKENS:,}.")
    if report.cost.amount is not None:
        hours = report.cost.seconds / 3600
        lines.append(
            f"Made in {hours:,.2f} hours of the engine's time for {report.cost.amount:,.2f} {report.cost.currency}."
        )
    if report.estimated:
        lines.append(f"Lengths of {report.estimated:,} rows are estimated from their characters.")
    return " ".join(lines)


def _reasons(report: DatasetReport) -> str:
    if not report.dropped:
        return ""
    rows = "\n".join(f"| `{reason}` | {n:,} | {REASONS.get(reason, '')} |" for reason, n in report.dropped.items())
    said = "Kept apart in the config `rejected`, never thrown away."
    return f"## Dropped\n\n{said}\n\n| reason | rows | means |\n|---|---|---|\n{rows}"


def _sources(report: DatasetReport) -> str:
    rows = "\n".join(
        f"| {source.name} | {source.kept:,} | {_rate(source.right, source.right + source.wrong)} |"
        for source in report.sources
    )
    return f"## Sources\n\n| source | rows | right, of the checked samples |\n|---|---|---|\n{rows}" if rows else ""


def _rate(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of {whole:,}" if whole else "not checked"


def _lengths(report: DatasetReport) -> str:
    rows = "\n".join(
        f"| {'more' if length.tokens == LENGTH_BINS[-1] else f'up to {length.tokens:,}'} | {length.rows:,} |"
        for length in report.lengths
        if length.rows
    )
    return f"## Lengths\n\n| tokens | rows |\n|---|---|\n{rows}" if rows else ""


def _licenses(report: DatasetReport) -> str:
    rows = "\n".join(f"| {name} | {n:,} |" for name, n in report.licenses.items())
    warned = "\n".join(f"* {warning}" for warning in report.warnings)
    return f"## Licences\n\n| licence | rows |\n|---|---|\n{rows}\n\n{warned}" if rows else ""
