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

    def read(self, name: str) -> bytes:
        """The file's content at this version. Raises KeyError where the snapshot has no such name."""
        ...


class Store(Protocol):
    """Where the board's memory lives."""

    def snapshot(self, prefix: str = "") -> Snapshot:
        """The newest tree, limited to names that begin with `prefix`."""
        ...

    def commit(self, changes: Changes, *, parent: str, message: str) -> str:
        """Apply all changes or none, and return the new version.

        Raises:
            VersionConflict: the store is no longer at `parent`.
        """
        ...


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
