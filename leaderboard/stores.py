"""Which store a name means."""

from __future__ import annotations

from pathlib import Path

from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store, StoreUnusable


def open_store(spec: str) -> Store:
    """The store behind a `--store` argument: a path of an embedded store, created where it does not exist.

    Raises:
        StoreUnusable: the path is not a store's, or the name is one of a Hub dataset, which cannot hold a board yet.
    """
    if "://" in spec:
        raise StoreUnusable(
            f"the store {spec} is on the Hub, and only embedded stores can be used in this version; "
            "use a path such as data/store.db"
        )
    if not spec:
        raise StoreUnusable("the store's name is empty; use a path such as data/store.db")
    return SqliteStore(Path(spec))
