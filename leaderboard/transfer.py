"""Moving whole boards: from one store to another, into a file, and back. What was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from evaluator.errors import OpenR1Error
from leaderboard.store import Snapshot, Store, checked_name, update

FILES_PER_COMMIT, BYTES_PER_COMMIT = 200, 64 << 20
FIRST = ("attempts/", "problems/")
LAST = "requests/"
"""What a result stands on goes before it, and the queue last: a board that is half copied shows nothing unfounded."""
MANIFEST, FILES, BACKUP_FORMAT = "manifest.json", "files/", 1

OnProgress = Callable[[int, int], None]


class TransferRefused(OpenR1Error):
    """The board cannot be moved there."""

    code = "transfer_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """What was moved. `same` files were there already."""

    files: int
    same: int
    bytes: int


def copy(source: Snapshot, into: Store, *, progress: OnProgress = lambda _done, _all: None) -> Transfer:
    """Copy every file of a tree into a store that is empty, or that holds a part of the same board.

    Raises:
        TransferRefused: the store holds files that the tree does not have.
    """
    there = into.snapshot()
    foreign = sorted(set(there.names) - set(source.names))
    if foreign:
        raise TransferRefused(
            f"the target holds {len(foreign)} files that the source lacks ({', '.join(foreign[:3])}); "
            "name an empty store, or one that holds a part of the same board"
        )
    missing = [
        name for name in _in_order(source.names) if name not in there.names or there.read(name) != source.read(name)
    ]
    done, moved = 0, 0
    for batch in _batches(missing, source):
        update(into, lambda _, batch=batch: batch, message=f"copy {len(batch)} files")  # type: ignore[misc]
        done += len(batch)
        moved += sum(map(len, batch.values()))
        progress(done, len(missing))
    return Transfer(files=len(missing), same=len(source.names) - len(missing), bytes=moved)


def backup(source: Snapshot, file: Path) -> Transfer:
    """Write a tree as one `.tar.gz` with a manifest of hashes. The file appears whole or not at all."""
    part = file.with_name(f"{file.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    hashes: dict[str, str] = {}
    total = 0
    try:
        with tarfile.open(part, "w:gz", compresslevel=6) as archive:
            for name in source.names:
                content = source.read(name)
                hashes[name] = hashlib.sha256(content).hexdigest()
                total += len(content)
                _add(archive, f"{FILES}{name}", content)
            manifest = {"format": BACKUP_FORMAT, "version": source.version, "files": hashes}
            _add(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
        part.replace(file)
    except OSError as error:
        raise TransferRefused(f"{file} cannot be written ({error}); choose another place") from error
    finally:
        part.unlink(missing_ok=True)
    return Transfer(files=len(hashes), same=0, bytes=total)


def restore(file: Path, into: Store, *, progress: OnProgress = lambda _done, _all: None) -> Transfer:
    """Put a backup into an empty store, or one that holds a part of it. Every content is checked against its hash.

    Raises:
        TransferRefused: not a backup, damaged, or the store holds something else.
    """
    with TemporaryDirectory(prefix="restore-") as folder:
        return copy(_unpacked(file, Path(folder)), into, progress=progress)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unpacked:
    """A backup that was unpacked into a folder, as a tree."""

    file: Path
    version: str
    hashes: Mapping[str, str]
    places: Mapping[str, Path]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.hashes))

    def fingerprint(self, name: str) -> str:
        return self.hashes[name]

    def read(self, name: str) -> bytes:
        content = self.places[name].read_bytes() if name in self.places else b""
        if hashlib.sha256(content).hexdigest() != self.hashes[name]:
            raise TransferRefused(
                f"{name} in {self.file} does not have the hash that the manifest names; use another backup"
            )
        return content


def _unpacked(file: Path, folder: Path) -> _Unpacked:
    """Read a backup from its beginning to its end, once. Names of files never become paths of this machine."""
    places: dict[str, Path] = {}
    manifest = b""
    try:
        with tarfile.open(file, "r:gz") as archive:
            for number, member in enumerate(archive):
                stream = archive.extractfile(member)
                if stream is None:
                    continue
                if member.name == MANIFEST:
                    manifest = stream.read()
                else:
                    places[member.name.removeprefix(FILES)] = folder / str(number)
                    with (folder / str(number)).open("wb") as place:
                        shutil.copyfileobj(stream, place)
        told = json.loads(manifest)
        hashes = {checked_name(name): str(each) for name, each in told["files"].items()}
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise TransferRefused(f"{file} is no whole backup of a board ({error}); use another one") from error
    if told.get("format") != BACKUP_FORMAT:
        raise TransferRefused(f"{file} has backup format {told.get('format')}, this program knows {BACKUP_FORMAT}")
    return _Unpacked(file=file, version=str(told.get("version")), hashes=hashes, places=places)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _in_order(names: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: (name.startswith(LAST), not name.startswith(FIRST), name))


def _batches(names: list[str], source: Snapshot) -> Iterator[Mapping[str, bytes]]:
    batch: dict[str, bytes] = {}
    for name in names:
        batch[name] = source.read(name)
        if len(batch) >= FILES_PER_COMMIT or sum(map(len, batch.values())) >= BYTES_PER_COMMIT:
            yield batch
            batch = {}
    if batch:
        yield batch
