"""Contents that came from the Hub, kept on this machine under their own hash and checked against it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from leaderboard.hub_repository import content_names

KEPT_BYTES = 1 << 20


class Blobs:
    """Files named by their content in a folder that is safe to delete. May be shared by threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, oid: str) -> bool:
        """Whether the content is here."""
        return self._path(oid).is_file()

    def read(self, oid: str) -> bytes | None:
        """The content, or None where it is not here or is damaged."""
        try:
            content = self._path(oid).read_bytes()
        except FileNotFoundError:
            return None
        if oid not in content_names(content):
            self._path(oid).unlink(missing_ok=True)
            return None
        return content

    def keep(self, contents: Iterable[bytes]) -> None:
        """Keep contents that were just sent and are likely to be read back: the small ones."""
        for content in (each for each in contents if len(each) <= KEPT_BYTES):
            for oid in content_names(content):
                self.fetch(oid, lambda path, content=content: path.write_bytes(content))  # type: ignore[misc]

    def fetch(self, oid: str, write: Callable[[Path], object]) -> None:
        """Have `write` make the content, and put it in its place once it is whole."""
        path = self._path(oid)
        if path.is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{oid}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            write(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _path(self, oid: str) -> Path:
        return self._folder / oid[:2] / oid
