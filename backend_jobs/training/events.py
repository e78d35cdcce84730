"""What a training process tells whoever follows it: one JSON object a line. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The model and data are ready. `resumed_at` is the step that training continues from; 0 is the beginning."""

    steps: int
    resumed_at: int
    parameters: int
    examples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepped:
    """Progress: the mean loss since the last such event, all tokens so far, seconds to the end as it goes now."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    eta_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointReady:
    """A complete checkpoint folder, with its lineage, that nothing will touch again."""

    step: int
    tokens: int
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """Every step is done. `wall_seconds` is this process's own time, without what an earlier one did."""

    steps: int
    tokens: int
    wall_seconds: float


TrainEvent = Started | Stepped | CheckpointReady | Finished
KINDS: dict[str, type[TrainEvent]] = {
    "started": Started,
    "step": Stepped,
    "checkpoint": CheckpointReady,
    "finished": Finished,
}
NAMES = {kind: name for name, kind in KINDS.items()}


def to_line(event: TrainEvent) -> str:
    """The event as one line of JSON, with its newline."""
    return json.dumps({"event": NAMES[type(event)], **asdict(event)}, default=str) + "\n"


def from_line(line: str) -> TrainEvent:
    """The event that `to_line` wrote."""
    data = json.loads(line)
    kind = KINDS[data.pop("event")]
    if kind is CheckpointReady:
        data["path"] = Path(data["path"])
    return kind(**data)
