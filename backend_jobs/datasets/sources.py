"""A dataset by its name: a file or folder here, a mirror of the Hub, or the Hub itself at one commit."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from backend_jobs.datasets.files import CARD, SUFFIXES, card_license, choose_files, read_card
from backend_jobs.datasets.source import Source
from backend_jobs.datasets.types import DatasetRejected
from leaderboard import hub_datasets
from settings import Settings

HASHED_AT_ONCE = 1 << 20


MADE_HERE = "local/"


def made_here(settings: Settings, run: str) -> Path:
    """Where the dataset of a run is made."""
    return settings.data_dir.resolve() / "datasets" / run


def folder_of(dataset: str, settings: Settings) -> Path:
    """Where a dataset is on this machine, if it is: `local/<run>` as it was made here, else the path itself."""
    if dataset.startswith(MADE_HERE):
        return made_here(settings, dataset.removeprefix(MADE_HERE))
    return Path(dataset)


def find_source(
    dataset: str,
    settings: Settings,
    *,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
) -> Source:
    """Find a dataset: `local/<run>` as it was made here, a path that exists, else the mirror's copy, else the Hub's.

    Raises:
        DatasetRejected: there is none, or it has no such config or split.
    """
    path = folder_of(dataset, settings)
    if dataset.startswith(MADE_HERE):
        return _folder(dataset, path, config, split)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise DatasetRejected(f"{path} is not a data file, expected one that ends in {', '.join(SUFFIXES)}")
        return _local(dataset, (path,), license=None)
    if path.is_dir():
        return _folder(dataset, path, config, split)
    mirror = settings.benchmark_mirror
    if mirror is not None and (mirror / dataset).is_dir():
        return _folder(dataset, mirror / dataset, config, split)
    return _on_hub(dataset, settings, config, split, revision)


def _folder(dataset: str, folder: Path, config: str | None, split: str) -> Source:
    if not folder.is_dir():
        raise DatasetRejected(f"{folder} is not there: `generate` makes the dataset of a run there")
    card_file = folder / CARD
    card = read_card(card_file.read_text(encoding="utf-8")) if card_file.is_file() else {}
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = choose_files(names, card, config=config, split=split, dataset=dataset)
    return _local(dataset, tuple(folder / name for name in chosen), license=card_license(card))


def _local(dataset: str, paths: tuple[Path, ...], *, license: str | None) -> Source:
    hashed = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(HASHED_AT_ONCE):
                hashed.update(block)
    files = tuple(partial(_as_it_is, path) for path in paths)
    return Source(name=dataset, commit=f"sha256:{hashed.hexdigest()}", license=license, files=files)


def _as_it_is(path: Path) -> Path:
    return path


def _on_hub(dataset: str, settings: Settings, config: str | None, split: str, revision: str | None) -> Source:
    found = hub_datasets.resolve_dataset(dataset, revision, token=settings.hub_token)
    into = settings.data_dir / "hub" / "datasets" / dataset.replace("/", "--") / found.commit
    fetch = partial(hub_datasets.download_dataset_file, dataset, found.commit, into=into, token=settings.hub_token)
    names = [file.name for file in found.files]
    card = read_card(fetch(name=CARD).read_text(encoding="utf-8")) if CARD in names else {}
    chosen = choose_files(names, card, config=config, split=split, dataset=dataset)
    return Source(
        name=dataset,
        commit=found.commit,
        license=card_license(card),
        files=tuple(partial(fetch, name=name) for name in chosen),
        here=False,
    )
