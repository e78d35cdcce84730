"""The store as a dataset on the Hub: one commit is one version, `parent_commit` is the compare in compare-and-swap.

What the Hub can do wrong, and what follows:

    412                     somebody else was faster: VersionConflict, the caller reads and applies again
    429                     wait as long as it asks
    5xx, timeout, cut off   the commit may have happened: look for its note in the history, else try again
    down                    reads go on from the last snapshot; commits fail after `patience_s`, and can be tried later
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from leaderboard.dataset.packed import PACKED, packed_files
from leaderboard.hub_blobs import Blobs
from leaderboard.hub_repository import Entry, HubBusy, HubRepository, HubUnreachable
from leaderboard.hub_trees import Trees
from leaderboard.hub_use import USE
from leaderboard.store import Changes, InvalidName, StoreUnusable, VersionConflict, checked_name

LOG = logging.getLogger(__name__)
MARKER = ".board.json"
NOT_OURS = frozenset({MARKER, ".gitattributes"})
SCHEMA_VERSION = 1
REFRESH_S = 15.0
SCARCE_FACTOR = 8
LOOKED_UP_KEPT = 10_000
FETCHED_TOGETHER, FETCHERS, SMALL_BYTES = 256, 8, 1 << 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """How patient a store is: seconds to the first retry, at most between two, and in all for one commit."""

    first_s: float = 1.0
    longest_s: float = 30.0
    patience_s: float = 120.0


class HubSnapshot:
    """The tree at one commit, limited to a prefix; see `leaderboard.store.Snapshot`. Lists names when first asked."""

    def __init__(self, store: HubStore, version: str, prefix: str) -> None:
        self.version, self._store, self._prefix = version, store, prefix

    @property
    def names(self) -> tuple[str, ...]:
        """File names, sorted."""
        return tuple(self._files)

    def fingerprint(self, name: str) -> str:
        """The Hub's own name of the content."""
        return self._entry(name).oid

    def read(self, name: str) -> bytes:
        """The content at this version, from this machine where it was read before. Raises KeyError, HubUnreachable."""
        return self._store.content(self.version, name, self._entry(name), self._neighbours(name))

    @cached_property
    def _files(self) -> dict[str, Entry]:
        return self._store.files(self.version, self._prefix)

    def _entry(self, name: str) -> Entry:
        if not name.startswith(self._prefix):
            raise KeyError(name)
        if "_files" in self.__dict__:
            return self._files[name]
        found = None if name in NOT_OURS else self._store.entry(self.version, name)
        if found is None:
            raise KeyError(name)
        return found

    def _neighbours(self, name: str) -> dict[str, Entry]:
        """Small files that a reader of this one will want next: those after it in the same top folder."""
        if "_files" not in self.__dict__ or self._files[name].size > SMALL_BYTES:
            return {}
        top = name.partition("/")[0] + "/"
        return {
            other: entry
            for other, entry in self._files.items()
            if other > name and other.startswith(top) and entry.size <= SMALL_BYTES
        }


class HubStore:
    """A versioned tree of files in a Hub dataset. May be shared by threads and by any number of machines.

    `cache` is a folder for contents, safe to delete. A snapshot is at most `refresh_s` old; a commit never builds on
    an old one, because its parent is checked by the Hub.
    """

    def __init__(
        self,
        repository: HubRepository,
        cache: Path,
        *,
        refresh_s: float = REFRESH_S,
        waits: Waits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the store; the Hub is first asked when something is read."""
        self._repository, self._refresh_s, self._waits = repository, refresh_s, waits or Waits()
        self._clock, self._sleep = clock, sleep
        self._trees, self._blobs = Trees(repository), Blobs(cache)
        self._unpacked: set[str] = set()
        self._looked_up: dict[tuple[str, str], Entry | None] = {}
        self._lock = threading.Lock()
        self._head: str | None = None
        self._looked_at = -float("inf")
        self._answered = True
        self._conflicts = 0
        self.retries = 0
        """How often a commit was tried again because of the Hub, over the life of this object."""

    def version(self) -> str:
        """The newest commit, as known at most `refresh_s` ago; older while the Hub is down."""
        with self._lock:
            if self._head is None or self._clock() - self._looked_at >= self._patience_s():
                self._look()
            assert self._head is not None
            return self._head

    def _patience_s(self) -> float:
        """How old a snapshot may be: older where little is left of what the Hub lets us ask."""
        return self._refresh_s * (SCARCE_FACTOR if USE.scarce() else 1)

    def measure(self) -> None:
        """Learn what the dataset takes on the Hub; called by the clock. A Hub that does not answer changes nothing."""
        try:
            USE.storage_bytes = self._repository.used_bytes()
        except HubUnreachable as down:
            LOG.warning("the size of the store is not known: %s", down)

    def known_version(self) -> str | None:
        """The newest commit that is known, never waiting for the Hub or for a thread that asks it."""
        return self._head

    def reachable(self) -> bool:
        """Whether the Hub answered when it was last asked."""
        return self._answered

    def refresh(self) -> None:
        """Ask for the newest commit now. Raises HubUnreachable only where none is known yet."""
        with self._lock:
            self._look()

    def snapshot(self, prefix: str = "") -> HubSnapshot:
        """The newest tree, limited to names that begin with `prefix`."""
        return HubSnapshot(self, self.version(), prefix)

    def commit(self, changes: Changes, *, parent: str, message: str) -> str:
        """Apply all changes or none, and return the new version. See `leaderboard.store.Store.commit`.

        Raises:
            HubUnreachable: for `patience_s` the Hub could not say that it was done. It may still have been.
        """
        for name in changes:
            _checked(name)
        try:
            version = self._commit(changes, parent, message)
        except VersionConflict:
            self._step_back()
            raise
        self._blobs.keep(content for content in changes.values() if content is not None)
        with self._lock:
            self._head, self._looked_at, self._conflicts = version, self._clock(), 0
        return version

    def files(self, version: str, prefix: str) -> dict[str, Entry]:
        """The board's files at a version whose names begin with `prefix`."""
        return {name: entry for name, entry in self._trees.files(version, prefix).items() if name not in NOT_OURS}

    def entry(self, version: str, name: str) -> Entry | None:
        """One file at a version, looked up once."""
        known = self._looked_up
        if (version, name) not in known:
            if len(known) > LOOKED_UP_KEPT:
                known.clear()
            found = known[version, name] = self._repository.entry(name, version)
            return found
        return known.get((version, name))

    def content(self, version: str, name: str, entry: Entry, neighbours: dict[str, Entry]) -> bytes:
        """The content of a file; where it must be fetched, its neighbours come along."""
        known = self._blobs.read(entry.oid)
        if known is None and neighbours and self._unpack(version, name):
            known = self._blobs.read(entry.oid)
        if known is not None:
            return known
        missing = {other: each for other, each in neighbours.items() if not self._blobs.has(each.oid)}
        wanted = [(name, entry), *list(missing.items())[: FETCHED_TOGETHER - 1]]
        if len(wanted) == 1:
            self._fetch(version, name, entry)
        else:
            with ThreadPoolExecutor(FETCHERS) as pool:
                list(pool.map(lambda each: self._fetch(version, *each), wanted))
        content = self._blobs.read(entry.oid)
        if content is None:
            raise HubUnreachable(f"{name} came from the Hub with another content than it is listed with; try again")
        return content

    def _unpack(self, version: str, name: str) -> bool:
        """Take what a compacted table holds of this folder into the cache, once per table; True where it had any."""
        packed = PACKED.get(name.partition("/")[0] + "/")
        table = self.entry(version, packed) if packed else None
        if packed is None or table is None or table.oid in self._unpacked:
            return False
        self._unpacked.add(table.oid)
        self._blobs.keep(packed_files(self.content(version, packed, table, {})))
        return True

    def _fetch(self, version: str, name: str, entry: Entry) -> None:
        self._blobs.fetch(entry.oid, lambda path: self._repository.download(name, version, path))

    def _look(self) -> None:
        try:
            self._head = self._repository.head()
            self._answered = True
        except HubUnreachable as down:
            self._answered = False
            if self._head is None:
                raise
            LOG.warning("the board goes on with what it knows of %s: %s", self._head[:12], down)
        self._looked_at = self._clock()

    def _commit(self, changes: Changes, parent: str, message: str) -> str:
        """Commit, through every trouble that a retry can mend."""
        note = f"commit-id: {secrets.token_hex(16)}"
        ends = self._clock() + self._waits.patience_s
        unsure = prepared = False
        added: dict[str, bytes] = {}
        deleted: list[str] = []
        for wait_s in growing(self._waits):
            try:
                if not prepared:
                    added, deleted = self._operations(changes, parent, note)
                    prepared = True
                return self._repository.commit(added, deleted, parent=parent, message=message[:200], note=note)
            except HubBusy as busy:
                trouble: HubUnreachable = busy
                wait_s = max(busy.wait_s, wait_s if busy.wait_s else 0.0)
            except HubUnreachable as down:
                trouble, unsure = down, unsure or prepared
            except VersionConflict:
                landed = self._landed(note, ends) if unsure else None
                if landed is None:
                    raise
                return landed
            if self._clock() + wait_s > ends:
                raise trouble
            LOG.warning("%s; trying again in %.1f s", trouble, wait_s)
            self.retries += 1
            self._sleep(wait_s)
            if unsure and (landed := self._landed(note, ends)) is not None:
                return landed
        raise AssertionError("waits never end")

    def _operations(self, changes: Changes, parent: str, note: str) -> tuple[dict[str, bytes], list[str]]:
        """What to send. The marker makes every commit differ from its parent, so that none is left out as empty.

        Raises:
            VersionConflict: before anything is uploaded.
            StoreUnusable: the dataset holds something else than a board.
        """
        if self._repository.head() != parent:
            raise VersionConflict(f"{self._repository.repo} is no longer at {parent[:12]}: read it again")
        gone = [name for name, content in changes.items() if content is None]
        self._check_ours(parent)
        deleted = [name for name in gone if self._repository.entry(name, parent) is not None]
        marker = json.dumps({"store": "open-r1 board", "schema": SCHEMA_VERSION, "last": note}) + "\n"
        added = {name: content for name, content in changes.items() if content is not None}
        return added | {MARKER: marker.encode()}, deleted

    def _check_ours(self, commit: str) -> None:
        top = {entry.name: entry for entry in self._trees.top(commit)}
        if MARKER not in top:
            others = sorted(top.keys() - NOT_OURS - {"README.md"})
            if others:
                raise StoreUnusable(
                    f"the dataset {self._repository.repo} holds {', '.join(others[:5])} and is no board's store; "
                    "name another dataset, or an empty one"
                )
            return
        try:
            found = json.loads(self.content(commit, MARKER, top[MARKER], {}))
            schema = int(found["schema"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreUnusable(f"{MARKER} of {self._repository.repo} is damaged ({error}); restore it") from error
        if schema > SCHEMA_VERSION:
            raise StoreUnusable(
                f"{self._repository.repo} is a store of schema {schema}, this program knows up to {SCHEMA_VERSION}: "
                "update the program"
            )

    def _landed(self, note: str, ends: float) -> str | None:
        """The commit with this note, once the Hub can be asked."""
        for wait_s in growing(self._waits):
            try:
                return self._repository.find_commit(note)
            except HubUnreachable:
                if self._clock() + wait_s > ends:
                    raise
                self._sleep(wait_s)
        raise AssertionError("waits never end")

    def _step_back(self) -> None:
        """After a lost race: look again before the next try, and let others through."""
        with self._lock:
            self._looked_at = -float("inf")
            self._conflicts = min(self._conflicts + 1, 8)
            longest = min(self._waits.longest_s, self._waits.first_s * 2 ** (self._conflicts - 2))
        self._sleep(random.uniform(0, longest))


def _checked(name: str) -> None:
    checked_name(name)
    if name in NOT_OURS:
        raise InvalidName(f"{name!r} cannot name a file of the store: the store keeps it for itself")


def growing(waits: Waits) -> Iterable[float]:
    """Twice as long each time, and never at the same moment as others."""
    wait_s = waits.first_s
    while True:
        yield wait_s * random.uniform(0.5, 1.0)
        wait_s = min(waits.longest_s, wait_s * 2)
