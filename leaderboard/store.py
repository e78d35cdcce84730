"""The store contract: a versioned tree of files with compare-and-swap.

Every implementation passes `tests/leaderboard/test_store_contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from evaluator.errors import OpenR1Error

Changes = Mapping[str, bytes | None]
"""File names to new contents; None deletes the file."""

COMMIT_TRIES = 50


class VersionConflict(OpenR1Error):
    """Somebody else committed since the snapshot was taken. Read again, apply again, retry."""

    code = "version_conflict"


class StoreUnusable(OpenR1Error):
    """The store is not ours, of a newer version, locked for too long, or cannot be written (disk full, read-only)."""

    code = "store_unusable"


class InvalidName(OpenR1Error):
    """A file name that is not a plain relative path."""

    code = "invalid_name"


class Snapshot(Protocol):
    """The tree as it was at one version. Lists names at once, reads contents only when asked."""

    @property
    def version(self) -> str:
        """Opaque; equal versions mean equal trees."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """File names under the snapshot's prefix, sorted."""
        ...

    def fingerprint(self, name: str) -> str:
        """Equal for equal contents, so that what was parsed can be kept. Raises KeyError as `read` does."""
        ...

    def read(self, name: str) -> bytes:
        """The file's content at this version. Raises KeyError where the snapshot has no such name."""
        ...


class Store(Protocol):
    """Where the board's memory lives."""

    def version(self) -> str:
        """The newest version, as `snapshot().version` gives it, without listing anything."""
        ...

    def known_version(self) -> str | None:
        """The newest version that is known without asking anybody over a network; None where none is known yet."""
        ...

    def refresh(self) -> None:
        """Look for a newer version now, where the store would else look only now and then."""
        ...

    def reachable(self) -> bool:
        """Whether the last look at the store succeeded; where not, snapshots show what was known before."""
        ...

    def snapshot(self, prefix: str = "") -> Snapshot:
        """The newest tree, limited to names that begin with `prefix`."""
        ...

    def commit(self, changes: Changes, *, parent: str, message: str) -> str:
        """Apply all changes or none, and return the new version. Deleting what is not there is no error.

        Raises:
            VersionConflict: the store is no longer at `parent`.
            InvalidName: a name is not a plain relative path, see `checked_name`.
            StoreUnusable: the store cannot be written; nothing was changed.
        """
        ...


def checked_name(name: str) -> str:
    """The name itself where it is a plain relative path: parts between single slashes, none of them `.` or `..`.

    Raises:
        InvalidName: it could leave the store's tree, or means different files on different systems.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise InvalidName(
            f"{name!r} cannot name a file of the store; expected parts between single slashes, without '.', '..', "
            "backslashes or control characters"
        )
    return name


def update(store: Store, edit: Callable[[Snapshot], Changes], *, message: str, prefix: str = "") -> str:
    """Read, edit, commit; again from the start when somebody else was faster. Returns the version reached.

    `edit` may raise to give up, and returns no changes where nothing is left to do.
    """
    for _ in range(COMMIT_TRIES):
        snapshot = store.snapshot(prefix)
        changes = edit(snapshot)
        if not changes:
            return snapshot.version
        try:
            return store.commit(changes, parent=snapshot.version, message=message)
        except VersionConflict:
            continue
    raise VersionConflict(f"{message}: lost the race for a commit {COMMIT_TRIES} times in a row; try again in a minute")
