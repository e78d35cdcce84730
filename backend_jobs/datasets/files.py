"""Which files of a dataset hold a config's split, and their rows as dicts: JSONL or Parquet, batch by batch."""

from __future__ import annotations

import csv
import fnmatch
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from backend_jobs.datasets.parquet import read_columns
from backend_jobs.datasets.types import DatasetRejected, RowRejected

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".csv")
CARD = "README.md"
# Where the Hub looks for a split when a card does not say: {config} and {split} are filled in.
USUAL_PLACES = (
    "{config}/{split}-*",
    "{config}/{split}.*",
    "{config}/{split}/*",
    "data/{split}-*",
    "data/{split}.*",
    "{split}-*",
    "{split}.*",
    "{split}/*",
)


def choose_files(
    names: Sequence[str], card: Mapping[str, Any], *, config: str | None, split: str, dataset: str
) -> tuple[str, ...]:
    """The data files of one split, in order: as the card's `configs` say, else where the Hub would look.

    Raises:
        DatasetRejected: there are none; the message lists what there is.
    """
    data = sorted(name for name in names if name.endswith(SUFFIXES))
    patterns = _card_patterns(card, config, split, dataset)
    if patterns is None:
        patterns = [place.format(config=config or "default", split=split) for place in USUAL_PLACES]
        found = next((hit for p in patterns if (hit := fnmatch.filter(data, p))), [])
    else:
        found = [name for name in data if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not found:
        raise DatasetRejected(
            f"{dataset} has no file for split {split!r}{f' of config {config!r}' if config else ''}: looked for "
            f"{', '.join(patterns)} ({', '.join(SUFFIXES)}) among {', '.join(names[:20]) or 'no files'}"
        )
    return tuple(found)


def read_card(text: str) -> dict[str, Any]:
    """The YAML block at the top of a dataset card; empty where there is none or it is no mapping."""
    head, _, rest = text.partition("---\n")
    if head.strip() or "\n---" not in rest:
        return {}
    try:
        card = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


def card_license(card: Mapping[str, Any]) -> str | None:
    """The licence that a card names; a licence of its maker's own has a name beside `other`."""
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return str(named) if named else None


def read_rows(path: Path, *, dataset: str, first: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, row) of one file; numbers go on from `first`.

    Raises:
        RowRejected: a line is not a JSON object; names the dataset, the row and the file.
        DatasetRejected: the file cannot be read.
    """
    if path.name.endswith(".parquet"):
        yield from enumerate(read_columns(path), first)
        return
    if path.name.endswith(".csv"):
        yield from enumerate(_csv_rows(path, dataset), first)
        return
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as stream:
            for number, line in enumerate((line for line in stream if line.strip()), first):
                yield number, _object(line, dataset, number, path)
    except (OSError, EOFError) as error:
        raise DatasetRejected(f"{path} of {dataset} cannot be read ({error}); fetch or write it again") from error


def _csv_rows(path: Path, dataset: str) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            yield from csv.DictReader(stream)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DatasetRejected(f"{path} of {dataset} cannot be read as CSV ({error})") from error


def _object(line: bytes, dataset: str, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RowRejected(f"{dataset}, row {number} ({path.name}): not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise RowRejected(f"{dataset}, row {number} ({path.name}): a {type(row).__name__}, expected an object")
    return row


def _card_patterns(card: Mapping[str, Any], config: str | None, split: str, dataset: str) -> list[str] | None:
    """The patterns that a card names for a config's split; None where it lists no configs."""
    configs = card.get("configs")
    listed = [entry for entry in configs if isinstance(entry, dict)] if isinstance(configs, list) else []
    if not listed:
        return None
    wanted = config or next((str(e.get("config_name")) for e in listed if e.get("default")), None) or "default"
    entry = next((e for e in listed if e.get("config_name") == wanted), listed[0] if config is None else None)
    if entry is None:
        names = ", ".join(str(e.get("config_name")) for e in listed)
        raise DatasetRejected(f"{dataset} has no config {config!r}; it has: {names}")
    return _patterns(entry.get("data_files"), split)


def _patterns(files: object, split: str) -> list[str] | None:
    """`data_files` of a card: one pattern, several, or lists of {split, path}."""
    match files:
        case str():
            return [files] if split == "train" else []
        case list():
            found: list[str] = []
            for each in files:
                if isinstance(each, str) and split == "train":
                    found.append(each)
                elif isinstance(each, dict) and each.get("split") == split:
                    path = each.get("path")
                    found += path if isinstance(path, list) else [str(path)]
            return found
    return None
