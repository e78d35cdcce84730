"""The shards of a run: consecutive problems of the source, written together and exactly once.

Shard 12 is `data/train-00012.parquet` and `rejected/train-00012.parquet`, and it is done when `shards/00012.json` is
there, which is written last. Whatever is killed before that is made again from the journal, with the same rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend_jobs.datasets.parquet import sync_folder
from backend_jobs.datasets.statistics import Tally


@dataclass(slots=True)
class OpenShard:
    """A shard whose answers are still coming. `end` is the number after its last problem, None while it is read."""

    number: int
    first: int
    end: int | None = None
    expected: int = 0
    answered: int = 0

    @property
    def complete(self) -> bool:
        """Whether every answer is durable."""
        return self.end is not None and self.answered >= self.expected


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneShard:
    """What is known of a written shard. `samples` counts its answers, refused ones too."""

    number: int
    problems: int
    samples: int
    tally: Tally


class ShardFolder:
    """The folder of one dataset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def data_file(self, number: int) -> Path:
        """Where the kept rows of a shard are; missing where none were kept."""
        return self.folder / "data" / f"train-{number:05d}.parquet"

    def rejected_file(self, number: int) -> Path:
        """Where the rows of a shard are that were dropped; missing where none were."""
        return self.folder / "rejected" / f"train-{number:05d}.parquet"

    def finish(self, shard: DoneShard) -> None:
        """Say that both files of a shard are whole."""
        content = {"problems": shard.problems, "samples": shard.samples, "tally": shard.tally.to_json()}
        write_whole(self._marker(shard.number), json.dumps(content, ensure_ascii=False).encode(errors="replace"))

    def done(self) -> Iterator[DoneShard]:
        """The shards that are written, in order. Clears away what an interrupted run left half done."""
        for partial in self.folder.glob("*/.*.partial"):
            partial.unlink()
        for path in sorted((self.folder / "shards").glob("[0-9]*.json")):
            content = json.loads(path.read_bytes())
            yield DoneShard(
                number=int(path.stem),
                problems=content["problems"],
                samples=content["samples"],
                tally=Tally.from_json(content["tally"]),
            )

    def files(self, number: int) -> dict[str, Path]:
        """The files of a done shard by their names in the dataset."""
        paths = (self.data_file(number), self.rejected_file(number), self._marker(number))
        return {path.relative_to(self.folder).as_posix(): path for path in paths if path.exists()}

    def _marker(self, number: int) -> Path:
        return self.folder / "shards" / f"{number:05d}.json"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    sync_folder(path.parent)
