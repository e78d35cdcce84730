"""What a training process tells whoever follows it: one JSON object a line. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The model and data are ready. `resumed_at` is the step that training continues from; 0 is the beginning.

    `notes` say what the recipe asks for that this machine does in another way.
    """

    steps: int
    resumed_at: int
    parameters: int
    examples: int
    device: str = "cpu"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepped:
    """Progress: the mean loss since the last such event, all tokens so far, seconds to the end as it goes now.

    `hours` are those of all processes together, earlier starts of the run included. `metrics` are means since the last
    such event, under the names of `follower.METRICS`; `reward/<name>` for each reward, before its weight.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    eta_s: float
    hours: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One answer of a step, with what each reward gave it (None: could not judge)."""

    prompt: str
    completion: str
    gold: str | None
    tokens: int
    truncated: bool
    rewards: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """Answers to read, of one step."""

    step: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """Something that a person should look at; the run goes on. `name` is stable, `message` says what to do."""

    step: int
    name: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A line for people."""

    step: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointReady:
    """A complete checkpoint folder, with its lineage, that nothing will touch again."""

    step: int
    tokens: int
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """Every step is done. `wall_seconds` is this process's own time, without what an earlier one did.

    `peak_bytes` is the most memory that the training took on this device, imports aside.
    """

    steps: int
    tokens: int
    wall_seconds: float
    peak_bytes: int = 0


TrainEvent = Started | Stepped | Sampled | Alarm | Note | CheckpointReady | Finished
KINDS: dict[str, type[TrainEvent]] = {
    "started": Started,
    "step": Stepped,
    "samples": Sampled,
    "alarm": Alarm,
    "note": Note,
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
    if kind is Started:
        data["notes"] = tuple(data["notes"])
    if kind is Sampled:
        data["samples"] = tuple(Sample(**sample) for sample in data["samples"])
    return kind(**data)
