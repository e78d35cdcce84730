"""What training runs told of themselves, read back from their event files for the page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from backend_jobs.training.events import Alarm, Finished, Note, Sampled, Started, Stepped, TrainEvent, from_line
from leaderboard.runs import WatchedRun, WatchedSample, WatchedStep
from leaderboard.store import InvalidName, checked_name

SAMPLES_KEPT = 40
RUNS_KEPT = 16


class FileTrainingLog:
    """Reads `<folder>/<run>/starts/*.jsonl`. A file is read again only when it has grown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed = lru_cache(maxsize=RUNS_KEPT)(_read)

    def runs(self) -> Sequence[str]:
        """The names of the runs, the one that told something last first."""
        told = {path.parent.name: max(_changed(path), default=0.0) for path in self._folder.glob("*/starts")}
        return sorted(told, key=lambda run: (-told[run], run))

    def read(self, run: str) -> WatchedRun | None:
        """One run; None where nothing of it is here, or its name is none."""
        try:
            folder = self._folder / checked_name(run) / "starts"
        except InvalidName:
            return None
        files = tuple((path, path.stat().st_size) for path in sorted(folder.glob("*.jsonl")))
        return self._parsed(run, files) if files and "/" not in run else None


def _changed(starts: Path) -> list[float]:
    return [path.stat().st_mtime for path in starts.glob("*.jsonl")]


def _read(run: str, files: tuple[tuple[Path, int], ...]) -> WatchedRun:
    """A run over all its starts: a later start's steps take the place of those it did again."""
    steps: dict[int, WatchedStep] = {}
    samples: list[WatchedSample] = []
    alarms: dict[int, str] = {}
    notes: dict[str, None] = {}
    in_all, finished = 0, False
    for path, size in files:
        events, unread = _events(path, size)
        if unread:
            lines = f"{unread} line{'s' if unread > 1 else ''} of {path.name}"
            notes |= {f"{lines} could not be read: another version wrote it": None}
        for event in events:
            match event:
                case Started():
                    in_all = event.steps
                    notes |= dict.fromkeys(event.notes)
                    steps = {step: told for step, told in steps.items() if step <= event.resumed_at}
                    samples = [sample for sample in samples if sample.step <= event.resumed_at]
                case Stepped():
                    steps[event.step] = WatchedStep(
                        step=event.step, tokens=event.tokens, hours=event.hours, loss=event.loss, metrics=event.metrics
                    )
                case Sampled():
                    samples += [_sample(event.step, sample) for sample in event.samples]
                case Alarm():
                    alarms[event.step] = event.message
                case Note():
                    notes |= {event.message: None}
                case Finished():
                    finished = True
    return WatchedRun(
        run=run,
        steps_in_all=in_all,
        steps=tuple(steps[step] for step in sorted(steps)),
        samples=tuple(samples[-SAMPLES_KEPT:]),
        alarms=tuple(sorted(alarms.items())),
        notes=tuple(notes),
        finished=finished,
    )


def _events(path: Path, size: int) -> tuple[list[TrainEvent], int]:
    """(events, lines that are none) of the first `size` bytes, whose last line may still be written."""
    with path.open("rb") as stream:
        text = stream.read(size).decode("utf-8", errors="replace")
    read: list[TrainEvent] = []
    lines = text.split("\n")[:-1]
    for line in lines:
        try:
            read.append(from_line(line))
        except (ValueError, KeyError, TypeError):
            continue
    return read, len(lines) - len(read)


def _sample(step: int, sample: object) -> WatchedSample:
    fields = ("prompt", "completion", "gold", "tokens", "truncated", "rewards")
    return WatchedSample(step=step, **{name: getattr(sample, name) for name in fields})
