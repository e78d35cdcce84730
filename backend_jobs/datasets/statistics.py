"""Counting a dataset row by row, in constant memory: lengths, pass rates, licences, reasons, a few rows to read."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from backend_jobs.datasets.licenses import warnings
from backend_jobs.datasets.types import Dropped, ReasoningRow
from leaderboard.datasets import LONG_TOKENS, Cost, DatasetReport, Example, LengthBin, SourceCount

LENGTH_BINS = (
    *(16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 6144, 8192, 12_288, 16_384),
    *(LONG_TOKENS, 24_576, 32_768, 65_536, 131_072, 1 << 30),
)
CHARACTERS_PER_TOKEN = 2.75
"""Of mathematical chains of thought; 2.6 to 2.9 in recorded ones."""
EXAMPLES_KEPT = 4
EXAMPLES_PER_REASON = 1
LONGEST_EXAMPLE = 6_000
MOST_SOURCES = 200
OTHER_SOURCES = "(other sources)"


@dataclass(slots=True)
class Tally:
    """What was counted so far. Tallies of parts add up to that of the whole."""

    rows: int = 0
    problems: int = 0
    tokens: int = 0
    longest: int = 0
    long_rows: int = 0
    estimated: int = 0
    bins: Counter[int] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, row: ReasoningRow) -> None:
        """Count a row of the dataset."""
        length = token_count(row)
        self.rows += 1
        self.tokens += length
        self.longest = max(self.longest, length)
        self.long_rows += length > LONG_TOKENS
        self.estimated += row.n_tokens is None
        self.bins[LENGTH_BINS[bisect_left(LENGTH_BINS, length)]] += 1
        self.licenses[row.license] += 1
        self.kept[self._source(row)] += 1
        self._checked(row)
        if sum(not example["dropped"] for example in self.examples) < EXAMPLES_KEPT:
            self._show(row, "")

    def drop(self, row: ReasoningRow, dropped: Dropped) -> None:
        """Count a row that is kept apart."""
        self.dropped[dropped.reason] += 1
        self._checked(row)
        if sum(e["dropped"].startswith(dropped.reason) for e in self.examples) < EXAMPLES_PER_REASON:
            self._show(row, f"{dropped.reason}: {dropped.detail}".removesuffix(": "))

    def add(self, other: Tally) -> None:
        """Count what another tally counted."""
        for name in ("rows", "problems", "tokens", "long_rows", "estimated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("bins", "dropped", "licenses", "kept", "right", "wrong"):
            getattr(self, name).update(getattr(other, name))
        self.longest = max(self.longest, other.longest)
        self.examples += self.wanted(other.examples)

    def wanted(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the examples of which this tally has not enough of the kind yet."""
        have, wanted = Counter(map(_reason, self.examples)), []
        for example in examples:
            kind = _reason(example)
            have[kind] += 1
            if have[kind] <= (EXAMPLES_PER_REASON if kind else EXAMPLES_KEPT):
                wanted.append(example)
        return wanted

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` reads it."""
        values = {name.name: getattr(self, name.name) for name in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """What `to_json` wrote."""
        values = dict(data)
        values["bins"] = Counter({int(bound): n for bound, n in values["bins"].items()})
        for name in ("dropped", "licenses", "kept", "right", "wrong"):
            values[name] = Counter(values[name])
        return cls(**values)

    def _checked(self, row: ReasoningRow) -> None:
        if row.verified is not None:
            (self.right if row.verified else self.wrong)[self._source(row)] += 1

    def _source(self, row: ReasoningRow) -> str:
        """The row's source; those beyond the first two hundred are counted together."""
        known = row.source in self.kept or row.source in self.right or row.source in self.wrong
        return row.source if known or len(self.kept) < MOST_SOURCES else OTHER_SOURCES

    def _show(self, row: ReasoningRow, dropped: str) -> None:
        example = Example(
            problem=_cut(row.problem),
            reasoning=_cut(row.reasoning),
            answer=_cut(row.answer),
            source=row.source,
            tokens=row.n_tokens,
            verified=row.verified,
            dropped=dropped,
        )
        self.examples.append(asdict(example))


def token_count(row: ReasoningRow) -> int:
    """The tokens of a row's answer, estimated from its characters where nobody counted them."""
    if row.n_tokens is not None:
        return row.n_tokens
    return round((len(row.reasoning) + len(row.answer)) / CHARACTERS_PER_TOKEN)


def dataset_report(
    tally: Tally, *, name: str, cost: Cost | None = None, complete: bool = True, **about: Any
) -> DatasetReport:
    """What a tally says, as a report; `about` are further fields of it."""
    last = max(tally.bins, default=0)
    names = sorted({*tally.kept, *tally.right, *tally.wrong}, key=lambda source: (-tally.kept[source], source))
    return DatasetReport(
        name=name,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=tally.rows,
        complete=complete,
        problems=tally.problems or None,
        dropped=dict(tally.dropped.most_common()),
        lengths=tuple(LengthBin(tokens=bound, rows=tally.bins[bound]) for bound in LENGTH_BINS if bound <= last),
        tokens=tally.tokens,
        longest=tally.longest,
        long_rows=tally.long_rows,
        estimated=tally.estimated,
        sources=tuple(
            SourceCount(name=each, kept=tally.kept[each], right=tally.right[each], wrong=tally.wrong[each])
            for each in names
        ),
        licenses=dict(tally.licenses.most_common()),
        warnings=tuple(warnings(tally.licenses)),
        cost=cost or Cost(),
        examples=tuple(Example(**example) for example in tally.examples),
        **about,
    )


def _reason(example: Mapping[str, Any]) -> str:
    return str(example["dropped"]).partition(":")[0]


def _cut(text: str) -> str:
    if len(text) <= LONGEST_EXAMPLE:
        return text
    half = LONGEST_EXAMPLE // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters ...]\n{text[-half:]}"
