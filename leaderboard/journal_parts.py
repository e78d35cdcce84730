"""Parts of journals in the store, so that a worker which takes a job over continues on another machine."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.store import Changes, Snapshot, Store, update

FOLDER = "journals/"


class StoreParts:
    """`journals/<generation_key>/<name>`, each part one file and one commit. See `evaluator.journal_parts.Parts`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def names(self, generation_key: str) -> Sequence[str]:
        """The parts of a plan."""
        folder = _folder(generation_key)
        return sorted(name.removeprefix(folder) for name in self._store.snapshot(folder).names)

    def read(self, generation_key: str, name: str) -> bytes:
        """The content of a part."""
        path = _folder(generation_key) + name
        return self._store.snapshot(path).read(path)

    def add(self, generation_key: str, name: str, content: bytes) -> None:
        """Keep a part."""
        path = _folder(generation_key) + name

        def edit(snapshot: Snapshot) -> Changes:
            return {} if path in snapshot.names else {path: content}

        update(self._store, edit, message=f"a part of the journal of {generation_key}", prefix=path)


def without_parts(stored: Snapshot, generation_keys: Sequence[str]) -> Changes:
    """The changes that remove the parts of plans whose attempts are published."""
    folders = tuple(_folder(key) for key in generation_keys)
    return {name: None for name in stored.names if name.startswith(folders)}


def _folder(generation_key: str) -> str:
    return f"{FOLDER}{generation_key}/"
