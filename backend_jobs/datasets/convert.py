"""A whole dataset read once: to count it, or to write it in our schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from backend_jobs.datasets.cards import dataset_card
from backend_jobs.datasets.files import CARD
from backend_jobs.datasets.parquet import RowsWriter, read_columns, rejected_of
from backend_jobs.datasets.sources import find_source, folder_of
from backend_jobs.datasets.statistics import Tally, dataset_report
from backend_jobs.datasets.types import DatasetRejected, ReasoningRow
from leaderboard.datasets import Cost, DatasetReport
from settings import Settings

ROWS_PER_FILE = 20_000
REPORT = "report.json"


def measure_dataset(
    dataset: str, settings: Settings, *, config: str | None = None, split: str = "train", revision: str | None = None
) -> DatasetReport:
    """Count every row of a dataset, and the rows kept apart of one that was generated here.

    Raises:
        DatasetRejected: it cannot be found or read, or is of no known form.
        RowRejected: a row does not fit its form.
    """
    source = find_source(dataset, settings, config=config, split=split, revision=revision)
    tally = Tally()
    for row in source.reasoning_rows():
        tally.keep(row)
    folder = folder_of(dataset, settings)
    for path in sorted(folder.glob("rejected/*.parquet")) if folder.is_dir() and config is None else ():
        for columns in read_columns(path):
            rejected = rejected_of(columns)
            tally.drop(rejected.row, rejected.dropped)
    return dataset_report(tally, name=_name(dataset, folder), cost=_noted_cost(folder))


def convert_dataset(
    dataset: str,
    out: Path,
    settings: Settings,
    *,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
) -> DatasetReport:
    """Write a dataset in our schema into an empty folder: Parquet files of 20,000 rows, and a card.

    Raises:
        DatasetRejected: as `measure_dataset`, or the folder is not empty.
    """
    source = find_source(dataset, settings, config=config, split=split, revision=revision)
    made = f"Read from {dataset} (`{source.commit}`) and written in one schema."
    return write_dataset(source.reasoning_rows(), out, made=made)


def write_dataset(rows: Iterator[ReasoningRow], out: Path, *, made: str) -> DatasetReport:
    """Write rows as a dataset with a card. Raises DatasetRejected where the folder is not empty."""
    if out.exists() and any(out.iterdir()):
        raise DatasetRejected(f"{out} is not empty: name a new folder, so that no two datasets mix")
    tally, number, more = Tally(), 0, True
    while more:
        more = False
        with RowsWriter(out / "data" / f"train-{number:05d}.parquet") as writer:
            for row in rows:
                writer.add(row)
                tally.keep(row)
                if writer.rows >= ROWS_PER_FILE:
                    more = True
                    break
        number += 1
    report = dataset_report(tally, name=out.resolve().name)
    (out / CARD).write_text(dataset_card(report, made=[made]), encoding="utf-8", errors="replace")
    return report


def _name(dataset: str, folder: Path) -> str:
    return folder.resolve().name.partition(".")[0] if folder.exists() else dataset


def _noted_cost(folder: Path) -> Cost | None:
    """What a generation here noted of its cost: rows cannot tell."""
    path = folder / REPORT
    if not path.is_file():
        return None
    noted = json.loads(path.read_bytes())["cost"]
    return Cost(**noted)
