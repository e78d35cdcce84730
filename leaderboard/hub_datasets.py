"""Datasets on the Hub: found at one commit, read file by file, written in batches. A door to huggingface_hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download

from evaluator.errors import CheckpointRejected, DatasetUnavailable
from leaderboard.hub import LOOK_UP_TIMEOUT_S, HubFile, HubRevision, hub_errors


def resolve_dataset(
    dataset: str, revision: str | None = None, *, token: str | None = None, endpoint: str | None = None
) -> HubRevision:
    """The commit that a dataset's branch, tag or commit stands for now, and its files.

    Raises:
        DatasetUnavailable: no such dataset or revision, no access to it, or the Hub cannot be reached.
    """
    with _errors(dataset, revision):
        found = HfApi(endpoint=endpoint, token=token or False).dataset_info(
            dataset, revision=revision, files_metadata=True, timeout=LOOK_UP_TIMEOUT_S
        )
    files = (HubFile(name=each.rfilename, size=each.size or 0) for each in found.siblings or ())
    if found.sha is None:
        raise DatasetUnavailable(f"the Hub names no commit for {dataset}; name a revision that has one")
    return HubRevision(model=dataset, commit=found.sha, files=tuple(sorted(files, key=lambda file: file.name)))


def download_dataset_file(
    dataset: str, commit: str, *, name: str, into: Path, token: str | None = None, endpoint: str | None = None
) -> Path:
    """One file of a dataset at a commit, fetched once. Raises DatasetUnavailable."""
    here = into / name
    if here.is_file():
        return here
    with _errors(dataset, commit):
        return Path(
            hf_hub_download(
                dataset,
                name,
                repo_type="dataset",
                revision=commit,
                local_dir=into,
                token=token or False,
                endpoint=endpoint,
            )
        )


def push_files(
    dataset: str,
    files: Mapping[str, Path | bytes],
    *,
    message: str,
    token: str | None,
    private: bool = True,
    endpoint: str | None = None,
) -> str:
    """Add or replace files of a dataset in one commit, creating the (private) repository where there is none.

    A content that is there already is not sent again. Returns the commit.

    Raises:
        DatasetUnavailable: the token may not write there, or the Hub cannot be reached.
    """
    api = HfApi(endpoint=endpoint, token=token or False)
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
    with _errors(dataset, None):
        api.create_repo(dataset, repo_type="dataset", private=private, exist_ok=True)
        done = api.create_commit(dataset, operations, repo_type="dataset", commit_message=message)
    return str(done.oid)


@contextmanager
def _errors(dataset: str, revision: str | None) -> Iterator[None]:
    try:
        with hub_errors(f"datasets/{dataset}", revision):
            yield
    except CheckpointRejected as error:
        raise DatasetUnavailable(str(error)) from error
