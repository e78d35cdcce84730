"""Folders of a Hub repository, listed once per content: git names a folder by what is in it, so equal names are known.

After a commit only the folders on the way to what changed are listed again, whatever the size of the repository.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace

from leaderboard.hub_repository import Entry, HubRepository

TREES_KEPT = 200_000


class Trees:
    """What was listed so far. May be shared by threads."""

    def __init__(self, repository: HubRepository) -> None:
        self._repository = repository
        self._lock = threading.RLock()
        self._trees: dict[str, tuple[Entry, ...]] = {}
        self._listed_before: set[str] = set()

    def files(self, commit: str, prefix: str) -> dict[str, Entry]:
        """Every file at a commit whose path begins with `prefix`, by path, sorted."""
        folder = prefix.rpartition("/")[0]
        with self._lock:
            tree = self._find(commit, folder)
            found = {} if tree is None else dict(self._flatten(commit, folder, tree))
        return {path: found[path] for path in sorted(found) if path.startswith(prefix)}

    def top(self, commit: str) -> tuple[Entry, ...]:
        """What lies at the root at a commit."""
        with self._lock:
            return self._tree(commit, "", f"commit {commit}")

    def _find(self, commit: str, folder: str) -> tuple[Entry, ...] | None:
        """The entries of a folder at a commit; None where there is none."""
        tree = self.top(commit)
        path = ""
        for part in folder.split("/") if folder else ():
            child = next((entry for entry in tree if entry.folder and entry.name == part), None)
            if child is None:
                return None
            path = f"{path}/{part}" if path else part
            tree = self._tree(commit, path, child.oid)
        return tree

    def _flatten(self, commit: str, folder: str, tree: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
        for entry in tree:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.folder:
                yield from self._flatten(commit, path, self._tree(commit, path, entry.oid))
            else:
                yield path, entry

    def _tree(self, commit: str, path: str, oid: str) -> tuple[Entry, ...]:
        """The direct entries of a folder, asked for only where its content was never seen.

        The first time a folder is looked into, all that is below comes in one go; later versions of it differ little.
        """
        if oid not in self._trees:
            if len(self._trees) > TREES_KEPT:
                self._trees.clear()
            whole = bool(path) and path not in self._listed_before
            entries = self._repository.folder(path, commit, recursive=whole)
            self._keep(oid, entries)
            self._listed_before.add(path)
        return self._trees[oid]

    def _keep(self, oid: str, entries: list[Entry]) -> None:
        """Take a listing apart into the folders that it covers."""
        names = {"": oid} | {entry.name: entry.oid for entry in entries if entry.folder}
        covered: dict[str, list[Entry]] = {"": []}
        for entry in entries:
            parent, _, name = entry.name.rpartition("/")
            covered.setdefault(parent, []).append(replace(entry, name=name))
            if parent:
                self._listed_before.add(parent)
        for folder, children in covered.items():
            self._trees[names[folder]] = tuple(children)
