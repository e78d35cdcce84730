"""Every reward by its name, and the union of them that a recipe's list is checked against."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backend_jobs.rewards.code import Code, CodeFormat
from backend_jobs.rewards.countdown import Countdown
from backend_jobs.rewards.formats import Format, MiniR1Format, ReasoningSteps, TagCount, ThoughtFormat
from backend_jobs.rewards.graphs import EntityF1, JsonConsistency, JsonStructure, RelationF1
from backend_jobs.rewards.gsm8k import SoftXml, StrictXml, TaggedInteger, TaggedMatch, XmlCount
from backend_jobs.rewards.lengths import Cosine, KimiLength, LengthTarget, SoftOverlong
from backend_jobs.rewards.outcomes import Accuracy, BoxedOutcome, TaggedAccuracy
from backend_jobs.rewards.repetition import RepetitionPenalty
from backend_jobs.rewards.types import Reward

REWARDS: tuple[type[Reward], ...] = (
    Accuracy,
    BoxedOutcome,
    TaggedAccuracy,
    Format,
    MiniR1Format,
    ThoughtFormat,
    TagCount,
    ReasoningSteps,
    LengthTarget,
    KimiLength,
    Cosine,
    SoftOverlong,
    RepetitionPenalty,
    Countdown,
    TaggedMatch,
    TaggedInteger,
    StrictXml,
    SoftXml,
    XmlCount,
    JsonConsistency,
    JsonStructure,
    EntityF1,
    RelationF1,
    Code,
    CodeFormat,
)

AnyReward = Annotated[
    Accuracy
    | BoxedOutcome
    | TaggedAccuracy
    | Format
    | MiniR1Format
    | ThoughtFormat
    | TagCount
    | ReasoningSteps
    | LengthTarget
    | KimiLength
    | Cosine
    | SoftOverlong
    | RepetitionPenalty
    | Countdown
    | TaggedMatch
    | TaggedInteger
    | StrictXml
    | SoftXml
    | XmlCount
    | JsonConsistency
    | JsonStructure
    | EntityF1
    | RelationF1
    | Code
    | CodeFormat,
    Field(discriminator="name"),
]
