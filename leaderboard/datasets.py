"""Reports on datasets: what the page shows of one, as JSON files of the store, `datasets/<name>.json`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from evaluator.types import to_json
from leaderboard.store import Changes, Store, checked_name
from leaderboard.versions import REPORT as VERSIONS
from leaderboard.versions import NewerVersion, upgraded

LOG = logging.getLogger(__name__)
FOLDER = "datasets/"
LONG_TOKENS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthBin:
    """How many answers have at most `tokens` tokens, and more than the bin before."""

    tokens: int
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCount:
    """The samples of one source of problems: kept, and checked right and wrong before any filter."""

    name: str
    kept: int = 0
    right: int = 0
    wrong: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A row to read. `dropped` is the reason where it was kept apart; long texts are cut in the middle."""

    problem: str
    reasoning: str
    answer: str
    source: str
    tokens: int | None = None
    verified: bool | None = None
    dropped: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What making a dataset took so far. `amount` in `currency`; None where no price was given."""

    seconds: float = 0.0
    tokens: int = 0
    amount: float | None = None
    currency: str = "USD"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetReport:
    """Statistics of a dataset. `lengths` covers the kept rows; lengths are estimated from characters for `estimated`
    of them, whose makers counted no tokens. `dropped` counts the rows kept apart by reason, `long_rows` the kept ones
    over 20,000 tokens. `pass_rates` are shares of right samples by source."""

    name: str
    made_at: str
    rows: int
    complete: bool = True
    problems: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    lengths: tuple[LengthBin, ...] = ()
    tokens: int = 0
    longest: int = 0
    long_rows: int = 0
    estimated: int = 0
    sources: tuple[SourceCount, ...] = ()
    licenses: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    model: str | None = None
    commit: str | None = None
    recipe: str | None = None
    hub: str | None = None
    cost: Cost = field(default_factory=Cost)
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationProgress:
    """A running generation as people see it. Samples are answers; `total` and `eta_s` are None where nobody knows how
    long the source is. `kept`, `dropped`, `right` and `wrong` cover the shards that are written."""

    phase: str
    message: str = ""
    samples: int = 0
    total: int | None = None
    shards: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    right: int = 0
    wrong: int = 0
    tokens_per_s: float | None = None
    eta_s: float | None = None
    cost: Cost = field(default_factory=Cost)
    lengths: tuple[LengthBin, ...] = ()
    long_rows: int = 0


_REPORT = TypeAdapter(DatasetReport)


def report_changes(report: DatasetReport) -> Changes:
    """The file of a report, to be committed. Raises InvalidName for a name that cannot stand in a path."""
    name = checked_name(f"{FOLDER}{report.name}.json")
    text = json.dumps(to_json(report) | {"schema": VERSIONS.version}, sort_keys=True, indent=1, ensure_ascii=False)
    return {name: (text + "\n").encode(errors="replace")}


def read_reports(store: Store) -> list[DatasetReport]:
    """Every report of a store, newest first. A file that is none is left out, and logged."""
    snapshot, found = store.snapshot(FOLDER), []
    for name in snapshot.names:
        try:
            found.append(_REPORT.validate_json(upgraded(snapshot.read(name), VERSIONS)))
        except NewerVersion as newer:
            LOG.error("%s is left out: %s", name, newer)
        except ValidationError as error:
            LOG.error("%s is not a dataset report, repair or delete it: %s", name, error.errors()[0]["msg"])
    return sorted(found, key=lambda report: report.made_at, reverse=True)
