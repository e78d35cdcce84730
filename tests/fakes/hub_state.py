"""What the local Hub remembers: repositories as commits of whole trees, with git's own object names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

LARGE_BYTES = 1 << 20
LFS_ENDINGS = (".parquet", ".safetensors", ".bin", ".arrow", ".gz", ".png", ".zip", ".db")
FILE_MODE, FOLDER_MODE = b"100644", b"40000"
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}

Files = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What git keeps beside a tree."""

    parent: str | None
    title: str
    message: str = ""
    author: str = "tester"
    date: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(kw_only=True)
class Discussion:
    """A discussion or a pull request; of the latter `ref` holds the commits."""

    num: int
    title: str
    author: str
    pull_request: bool
    description: str = ""
    status: str = "open"
    merge_commit: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass(kw_only=True)
class Repository:
    """Commits, newest last, each a whole tree; names point at commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    log: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lfs: dict[str, bytes] = field(default_factory=dict)
    """Large files that were uploaded, by SHA-256; a commit refers to them."""
    discussions: list[Discussion] = field(default_factory=list)
    gated: bool = False
    private: bool = False
    sdk: str | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)

    def commit(self, ref: str, files: Files, commit: Commit) -> str:
        """Add a commit with exactly these files and move `ref` to it."""
        facts = f"{commit.parent} {commit.title} {commit.message} {len(self.commits)}"
        oid = hashlib.sha1(f"{tree_oid(files)} {facts}".encode()).hexdigest()
        self.commits[oid] = dict(files)
        self.log[oid] = commit
        self.refs[ref] = oid
        return oid

    def history(self, oid: str) -> Iterator[tuple[str, Commit]]:
        """A commit and those before it, newest first."""
        at: str | None = oid
        while at is not None:
            yield at, self.log[at]
            at = self.log[at].parent

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, tag, pull request or commit stands for."""
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        return oid if oid in self.commits else None


def is_lfs(name: str, data: bytes) -> bool:
    """Whether the Hub keeps a file outside git: by its name, its size, or because it is no text."""
    return bool(data) and (name.endswith(LFS_ENDINGS) or len(data) >= LARGE_BYTES or b"\0" in data[:512])


@lru_cache(maxsize=200_000)
def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=200_000)
def _git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(data: bytes) -> bytes:
    """The text that git holds in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()


def blob_oid(name: str, data: bytes) -> str:
    """Git's name of a file's content."""
    return _git_blob(pointer(data) if is_lfs(name, data) else data)


def tree_oid(files: Files) -> str:
    """Git's name of a folder: equal for equal contents."""
    entries = []
    for name, child in children(files).items():
        if isinstance(child, bytes):
            entries.append((name.encode(), FILE_MODE, blob_oid(name, child)))
        else:
            entries.append((name.encode() + b"/", FOLDER_MODE, tree_oid(child)))
    body = b"".join(mode + b" " + name.rstrip(b"/") + b"\0" + bytes.fromhex(oid) for name, mode, oid in sorted(entries))
    return hashlib.sha1(b"tree %d\0" % len(body) + body).hexdigest()


def children(files: Files, folder: str = "") -> dict[str, bytes | dict[str, bytes]]:
    """What lies directly in a folder: contents of files, and of folders the files below."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, bytes | dict[str, bytes]] = {}
    for path, data in files.items():
        if path.startswith(prefix):
            name, slash, rest = path[len(prefix) :].partition("/")
            if not slash:
                found[name] = data
            else:
                below = found.setdefault(name, {})
                assert isinstance(below, dict)
                below[rest] = data
    return found


def listing(files: Files, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """The entries of a folder as the tree API gives them, folders before what is in them."""
    entries: list[dict[str, Any]] = []
    for name, child in sorted(children(files, folder).items()):
        path = f"{folder}/{name}" if folder else name
        if isinstance(child, bytes):
            entries.append(file_entry(path, child))
            continue
        entries.append({"type": "directory", "path": path, "oid": tree_oid(child), "size": 0})
        if recursive:
            entries += [e | {"path": f"{path}/{e['path']}"} for e in listing(child, "", recursive=True)]
    return entries


def file_entry(path: str, data: bytes) -> dict[str, Any]:
    """One file as the tree and paths-info APIs give it."""
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": blob_oid(path, data), "size": len(data)}
    if is_lfs(path, data):
        entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": len(pointer(data))}
    return entry


def sibling(path: str, data: bytes, *, blobs: bool) -> dict[str, Any]:
    """One file as the repository's own description gives it."""
    if not blobs:
        return {"rfilename": path}
    found: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob_oid(path, data)}
    if is_lfs(path, data):
        found["lfs"] = {"size": len(data), "sha256": sha256(data), "pointerSize": len(pointer(data))}
    return found
