"""One split of a dataset as a stream of rows. Knows no network: a training process reads its data through this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend_jobs.datasets.files import read_rows
from backend_jobs.datasets.parquet import count_rows, is_ours, row_of
from backend_jobs.datasets.readers import ALSO_KNOWN_AS, DATASETS
from backend_jobs.datasets.types import DatasetRejected, ReasoningRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One split of a dataset, found but not read. `commit` pins what it holds; `license` is what its card says."""

    name: str
    commit: str
    license: str | None
    files: tuple[Callable[[], Path], ...]
    """Each gives the file's place, fetching it first where it is on the Hub."""
    here: bool = True
    """Nothing has to be fetched."""

    def count(self) -> int | None:
        """How many rows there are, where that can be told without reading them all."""
        counts = [_count(file()) for file in self.files] if self.here else [None]
        return None if None in counts else sum(n for n in counts if n is not None)

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number, columns) of every row, in order. Raises DatasetRejected and RowRejected."""
        first = 0
        for file in self.files:
            for number, row in read_rows(file(), dataset=self.name, first=first):
                first = number + 1
                yield number, row

    def reasoning_rows(self) -> Iterator[ReasoningRow]:
        """Every row in our schema: one of ours as it is, a known dataset's through its reader.

        Raises:
            DatasetRejected: the dataset is neither ours nor known.
            RowRejected: a row does not fit.
        """
        known = DATASETS.get(ALSO_KNOWN_AS.get(self.name, self.name))
        if known is not None:
            for number, row in self.rows():
                yield known.read(row, number=number)
            return
        for file in self.files:
            path = file()
            if path.suffix != ".parquet" or not is_ours(path):
                raise DatasetRejected(
                    f"{self.name} is not reasoning data that is known here ({path.name}): expected Parquet files "
                    f"written by `generate` or `data mix`, or one of {', '.join(DATASETS)}"
                )
            for _, columns in read_rows(path, dataset=self.name):
                yield row_of(columns)


def _count(path: Path) -> int | None:
    if path.suffix == ".parquet":
        return count_rows(path)
    if path.suffix != ".jsonl":
        return None
    with path.open("rb") as stream:
        return sum(1 for line in stream if line.strip())
