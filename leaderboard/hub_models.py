"""Checkpoints as revisions of a model repository: each appears whole or not at all. A door to huggingface_hub.

A checkpoint is committed to a branch that moves (`<run>-newest`), and only then named by a branch that does not
(`<run>-step-<9 digits>`). Whatever is cut off, whenever: a name that is there stands for a whole checkpoint, and the
next try goes on from what is there. The branches grow from the repository's first commit and never touch `main`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session, hf_raise_for_status

from evaluator.checkpoint import LINEAGE_FILE
from evaluator.errors import OpenR1Error
from leaderboard.hub_repository import TRANSIENT, asked_wait_s, bounded_client

KEPT = ".gitattributes"
CONFLICT, BUSY = 412, 429


class PushRefused(OpenR1Error):
    """The Hub does not take a checkpoint, and will not until a person has changed something."""

    code = "push_refused"


class PushLater(OpenR1Error):
    """The Hub does not take a checkpoint now. `wait_s` is how long it asks to wait; 0 where it does not say."""

    code = "push_later"

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ModelRepository:
    """One model repository, written to with `token`. Every method may raise PushRefused and PushLater."""

    def __init__(self, repo: str, *, token: str, endpoint: str | None = None) -> None:
        bounded_client()
        self.repo, self._token = repo, token
        self._api = HfApi(endpoint=endpoint, token=token)

    def prepare(self, *, private: bool, card: bytes) -> None:
        """Make the repository where there is none, with `card` on `main`, which is never touched again.

        Refuses one that may not be written, or that others see otherwise than `private` says.
        """
        with self._errors("write to"):
            try:
                found = self._api.model_info(self.repo, expand=["private"])
            except RepositoryNotFoundError:
                self._api.create_repo(self.repo, private=private)
                self._api.create_commit(
                    self.repo, [CommitOperationAdd("README.md", card)], commit_message="where the checkpoints are"
                )
                return
            self._api.auth_check(self.repo, write=True)
        if bool(found.private) != private:
            here = "private" if found.private else "public"
            raise PushRefused(
                f"{self.repo} is {here} on the Hub, and hub.private says {str(private).lower()}; write hub.private: "
                f"{str(bool(found.private)).lower()}, or name another repository"
            )

    def branches(self) -> dict[str, str]:
        """The commits that branches stand for."""
        with self._errors("read"):
            return {each.name: each.target_commit for each in self._api.list_repo_refs(self.repo).branches}

    def lineage(self, commit: str) -> bytes | None:
        """The lineage record at a commit; None where there is none."""
        url = f"{self._api.endpoint}/{self.repo}/resolve/{commit}/{LINEAGE_FILE}"
        with self._errors("read"):
            response = get_session().get(url, headers=build_hf_headers(token=self._token), follow_redirects=True)
            if response.status_code == 404:
                return None
            hf_raise_for_status(response)
            return response.content

    def push(self, files: Mapping[str, Path | bytes], *, revision: str, moving: str) -> str:
        """Commit exactly these files, whole, and name the commit `revision`; returns it.

        One that is there already is left as it is. Raises PushRefused too where `revision` names another checkpoint.
        """
        record = _content(files[LINEAGE_FILE])
        known = self.branches()
        if revision in known:
            if self.lineage(known[revision]) != record:
                raise PushRefused(
                    f"{self.repo} has another checkpoint as {revision}; give this run another "
                    "name, or delete that branch"
                )
            return known[revision]
        head = known.get(moving) or self._begin(moving)
        if self.lineage(head) != record:
            head = self._commit(files, onto=moving, parent=head, message=revision)
        with self._errors("name a commit of"):
            self._api.create_branch(self.repo, branch=revision, revision=head)
        return head

    def _begin(self, branch: str) -> str:
        """A branch at the repository's first commit."""
        with self._errors("read the history of"):
            first = self._api.list_repo_commits(self.repo)[-1].commit_id
        with self._errors("make a branch of"):
            self._api.create_branch(self.repo, branch=branch, revision=first, exist_ok=True)
        return first

    def _commit(self, files: Mapping[str, Path | bytes], *, onto: str, parent: str, message: str) -> str:
        with self._errors("list"):
            listed = self._api.list_repo_tree(self.repo, revision=parent, recursive=True)
            there = {each.path for each in listed if isinstance(each, RepoFile)}
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()),
            *(CommitOperationDelete(path_in_repo=name) for name in sorted(there - files.keys() - {KEPT})),
        ]
        with self._errors("commit to"):
            done = self._api.create_commit(
                self.repo, operations, commit_message=message, revision=onto, parent_commit=parent
            )
        return str(done.oid)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """What the client raises, as one of ours."""
        try:
            yield
        except HFValidationError as error:
            raise PushRefused(f"hub.repo {self.repo!r} is no model's name, expected owner/name: {error}") from error
        except HfHubHTTPError as error:
            raise self._refused(doing, error) from error
        except RuntimeError as error:
            # The client's word for a large file that its storage did not take; the next try gets new addresses.
            raise PushLater(f"{error} ({' '.join(str(error.__cause__).split())[:200]})") from error
        except (OfflineModeIsEnabled, HTTPError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise PushLater(f"the Hub cannot be reached to {doing} {self.repo}: {reason}") from error

    def _refused(self, doing: str, error: HfHubHTTPError) -> OpenR1Error:
        status = error.response.status_code
        said = " ".join((error.server_message or str(error)).split())[:200]
        told = f"the Hub answered HTTP {status} when asked to {doing} {self.repo} ({said})"
        if status == BUSY:
            return PushLater(told, wait_s=asked_wait_s(error))
        if status in TRANSIENT or status in (CONFLICT, 409):
            return PushLater(told)
        if status in (401, 403, 404):
            return PushRefused(
                f"{told}: HF_TOKEN must be a token that may write to it; set it, name a repository of your own in "
                "hub.repo, or leave `hub` out"
            )
        return PushRefused(told)


def _content(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()
