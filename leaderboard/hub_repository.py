"""A dataset repository on the Hub as a versioned tree: its head, its folders, its files, and commits on a parent.

A door to huggingface_hub. Every failure becomes one of four errors: somebody else committed, wait so long, unreachable
(a commit may have happened), or a person must act.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from httpx2 import Client, HTTPError, Response, Timeout
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    RepoFile,
    get_session,
    set_client_factory,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import default_client_factory, hf_raise_for_status, parse_ratelimit_headers
from huggingface_hub.utils._pagination import paginate

from leaderboard.hub_use import USE
from leaderboard.store import StoreUnusable, VersionConflict

READ_TIMEOUT_S, CONNECT_TIMEOUT_S = 60.0, 10.0
COMMITS_LOOKED_AT = 200
CHUNK_BYTES = 1 << 20
TRANSIENT = frozenset({408, 500, 502, 503, 504, 520, 522, 524})


class HubUnreachable(StoreUnusable):
    """The Hub does not answer, or answers that it is in trouble. What was being committed may have been, or not."""

    code = "hub_unreachable"


class HubBusy(HubUnreachable):
    """The Hub asks to wait `wait_s` seconds. Nothing was done."""

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file or a folder in its folder. `oid` names its content: git's, or the SHA-256 of a large file."""

    name: str
    oid: str
    size: int = 0
    folder: bool = False


class HubRepository:
    """One dataset repository. May be shared by threads. `token` needs the right to write to it alone."""

    def __init__(self, repo: str, *, token: str | None = None, endpoint: str | None = None) -> None:
        bounded_client()
        self.repo, self._token = repo, token
        # False, not None: None would make the client look for a token of its own.
        self._api = HfApi(endpoint=endpoint, token=token or False)

    def head(self) -> str:
        """The newest commit."""
        with self._errors("read"):
            found = self._api.dataset_info(self.repo, expand=["sha"], timeout=READ_TIMEOUT_S).sha
        assert found is not None
        return found

    def folder(self, path: str, commit: str, *, recursive: bool = False) -> list[Entry]:
        """What lies in a folder at a commit, names relative to the folder; empty where there is none."""
        with self._errors("list"):
            try:
                listed = list(
                    self._api.list_repo_tree(
                        self.repo, path or None, revision=commit, repo_type="dataset", recursive=recursive
                    )
                )
            except RemoteEntryNotFoundError:
                return []
        start = len(path) + 1 if path else 0
        return [_entry(each, each.path[start:]) for each in listed]

    def entry(self, path: str, commit: str) -> Entry | None:
        """One file at a commit; None where there is none."""
        with self._errors("look up"):
            found = self._api.get_paths_info(self.repo, path, revision=commit, repo_type="dataset")
        files = [each for each in found if isinstance(each, RepoFile)]
        return _entry(files[0], path) if files else None

    def download(self, path: str, commit: str, into: Path) -> None:
        """Write a file's content to a path of this machine.

        Raises:
            HubUnreachable: also where it came incomplete.
        """
        url = f"{self._api.endpoint}/datasets/{self.repo}/resolve/{commit}/{quote(path)}"
        headers = build_hf_headers(token=self._token or False)
        with self._errors("download"), get_session().stream("GET", url, headers=headers) as response:
            if response.status_code >= 400:
                response.read()
            hf_raise_for_status(response)
            with into.open("wb") as file:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)

    def commit(
        self, added: Mapping[str, bytes], deleted: Sequence[str], *, parent: str, message: str, note: str
    ) -> str:
        """Commit on top of `parent`, and return the new commit. `note` goes below the message.

        Raises:
            VersionConflict: the repository is no longer at `parent`.
            HubBusy: nothing was committed. HubUnreachable: it may have been.
        """
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in added.items()),
            *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in deleted),
        ]
        with self._errors("commit"):
            made = self._api.create_commit(
                self.repo,
                operations,
                commit_message=message,
                commit_description=note,
                repo_type="dataset",
                parent_commit=parent,
            ).oid
        USE.committed()
        return made

    def used_bytes(self) -> int | None:
        """What the repository takes on the Hub, history and all; None where it does not say."""
        with self._errors("measure"):
            return self._api.dataset_info(self.repo, expand=["usedStorage"], timeout=READ_TIMEOUT_S).used_storage

    def find_commit(self, note: str) -> str | None:
        """The commit with this note among the newest ones; None where there is none."""
        url = f"{self._api.endpoint}/api/datasets/{self.repo}/commits/main"
        with self._errors("read the history of"):
            newest = paginate(url, params={}, headers=build_hf_headers(token=self._token or False))
            return next(
                (str(each["id"]) for each in islice(newest, COMMITS_LOOKED_AT) if note in each["message"]), None
            )

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """What the client raises, as one of ours."""
        try:
            yield
        except HFValidationError as error:
            raise StoreUnusable(f"{self.repo!r} is no dataset's name, expected owner/name: {error}") from error
        except RepositoryNotFoundError as error:
            raise StoreUnusable(
                f"the Hub has no dataset {self.repo} that this token may see: create it, or set HF_TOKEN"
            ) from error
        except HfHubHTTPError as error:
            raise self._refused(doing, error) from error
        except (OfflineModeIsEnabled, HTTPError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise HubUnreachable(f"the Hub cannot be reached to {doing} {self.repo}: {reason}") from error

    def _refused(self, doing: str, error: HfHubHTTPError) -> StoreUnusable | VersionConflict:
        status = error.response.status_code
        if status == 412:
            return VersionConflict(f"{self.repo} was committed to by somebody else: read it again")
        if status == 429:
            wait_s = asked_wait_s(error)
            return HubBusy(f"the Hub asks to wait {wait_s:.0f} s before it will {doing} {self.repo}", wait_s=wait_s)
        if status in TRANSIENT:
            return HubUnreachable(f"the Hub answered HTTP {status} when asked to {doing} {self.repo}")
        said = " ".join((error.server_message or str(error)).split())[:300]
        advice = "set HF_TOKEN to a token that may write to it" if status in (401, 403) else "see its message"
        return StoreUnusable(f"the Hub refuses to {doing} {self.repo} (HTTP {status}: {said}); {advice}")


def content_names(content: bytes) -> tuple[str, str]:
    """The two names that the Hub may give a content: git's, and the SHA-256 of a large file."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return git, hashlib.sha256(content).hexdigest()


def _entry(found: object, name: str) -> Entry:
    if isinstance(found, RepoFile):
        return Entry(name=name, oid=found.lfs.sha256 if found.lfs else found.blob_id, size=found.size)
    return Entry(name=name, oid=str(found.tree_id), folder=True)  # type: ignore[attr-defined]


def asked_wait_s(error: HfHubHTTPError) -> float:
    """How long a 429 asks to wait; half a minute where it does not say."""
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if limit is not None:
        return float(limit.reset_in_seconds)
    said = headers.get("Retry-After", "")
    return float(said) if said.isdigit() else 30.0


def _note(response: Response) -> None:
    """Keep what an answer says of how much is left."""
    if response.status_code == 429:
        USE.waited()
    said = parse_ratelimit_headers(response.headers)
    if said is not None and said.limit:
        USE.answered(said.resource_type, remaining=said.remaining, limit=said.limit, reset_s=said.reset_in_seconds)


@lru_cache(maxsize=1)
def bounded_client() -> None:
    """Give the client of this process time limits: as it comes, it would wait for ever for a peer that is gone."""

    def client() -> Client:
        made = default_client_factory()
        made.timeout = Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        made.event_hooks = {**made.event_hooks, "response": [*made.event_hooks.get("response", ()), _note]}
        return made

    set_client_factory(client)
