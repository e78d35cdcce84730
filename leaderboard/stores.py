"""Which store a name means."""

from __future__ import annotations

import re
from pathlib import Path

from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store, StoreUnusable
from settings import Settings, read_settings

ON_THE_HUB = "hf://datasets/"
DATASET = re.compile(r"hf://datasets/([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)/?", re.ASCII)


def open_store(spec: str, settings: Settings | None = None) -> Store:
    """The store behind a `--store` argument: a path of an embedded store, or `hf://datasets/<owner>/<name>`.

    An embedded store is created where it does not exist; a dataset must be there. `settings` gives the token for the
    Hub and the folder that keeps what came from it.

    Raises:
        StoreUnusable: the path is not a store's, or the name is neither a path nor a dataset's.
    """
    if not spec:
        raise StoreUnusable(
            "the store's name is empty; use a path such as data/store.db, or hf://datasets/<owner>/<name>"
        )
    if "://" not in spec:
        return SqliteStore(Path(spec))
    dataset = DATASET.fullmatch(spec)
    if dataset is None:
        raise StoreUnusable(f"{spec!r} is no store: use a path such as data/store.db, or hf://datasets/<owner>/<name>")
    # Late: an embedded store needs nothing of the Hub's client.
    from leaderboard.hub_repository import HubRepository
    from leaderboard.hub_store import HubStore

    settings = settings or read_settings()
    cache = settings.data_dir / "store-cache" / dataset[1].replace("/", "--")
    return HubStore(HubRepository(dataset[1], token=settings.hub_token), cache)


def is_on_the_hub(spec: str) -> bool:
    """Whether a store's name means a dataset on the Hub: its commits are few and its leases long."""
    return spec.startswith(ON_THE_HUB)
