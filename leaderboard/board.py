"""The read side of the board: rows, ranks, problems, attempts and training curves, as the page and the API use them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from threading import RLock
from typing import Any

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from leaderboard.datasets import DatasetReport, read_reports
from leaderboard.history import grader_order
from leaderboard.lengths import Length
from leaderboard.moderation import HIDDEN, Hidden, read_hidden
from leaderboard.ranking import Ranking, Ranks
from leaderboard.references import StoredReferences
from leaderboard.results import (
    RESULTS,
    ResultUnreadable,
    attempts_file,
    not_ranked_because,
    problems_file,
    read_row,
)
from leaderboard.standings import standings
from leaderboard.store import Snapshot, Store
from leaderboard.table import read_attempts, read_attempts_slice, read_lengths, read_problems
from leaderboard.template_files import template_file
from leaderboard.trials import Trial, read_trials
from leaderboard.types import (
    AttemptRow,
    BoardEntry,
    BoardScore,
    CurvePoint,
    ProblemRow,
    ReferenceScore,
    ResultRow,
    Standing,
)

LOG = logging.getLogger(__name__)
ATTEMPT_FILES_KEPT = 4
PROBLEM_FILES_KEPT = 64

Weights = tuple[str, str | None, str | None]
Curves = Mapping[str, Mapping[str, tuple[CurvePoint, ...]]]


class ResultNotFound(OpenR1Error):
    """No published result has this plan key."""

    code = "result_not_found"


class Board:
    """What the store has published, ready to show. Safe to use from many threads.

    Every call looks at the store's newest version. Rows are parsed once per content; ranks are computed once per set of
    rows; the attempts and problems of the last few results opened are kept in memory.
    """

    def __init__(self, store: Store, references: Sequence[ReferenceScore] = ()) -> None:
        self._store = store
        self._references = tuple(references)
        self._stored_references = StoredReferences(store)
        self._lock = RLock()
        self._version: str | None = None
        self._parsed: dict[str, tuple[str, ResultRow | None]] = {}
        self._rows: tuple[ResultRow, ...] = ()
        self._by_key: dict[str, ResultRow] = {}
        self._entries: list[BoardEntry] | None = None
        self._ranks: Ranks | None = None
        self._standings: tuple[Standing, ...] | None = None
        self._problems = lru_cache(maxsize=PROBLEM_FILES_KEPT)(self._read_problems)
        self._ranking = Ranking(lambda plan_key: self._file(problems_file(plan_key)))
        self._attempts = lru_cache(maxsize=ATTEMPT_FILES_KEPT)(self._read_attempts)

    def version(self) -> str:
        """The store's version: while it stays, nothing changes. Costs no listing."""
        return self._store.version()

    def references(self) -> tuple[ReferenceScore, ...]:
        """Every published score: those that come with the board, then those read into the store."""
        return (*self._references, *self._stored_references.all())

    def rows(self) -> tuple[ResultRow, ...]:
        """Every published result, newest first. A file that is not a row is left out and logged."""
        with self._lock:
            # Listing ten thousand names takes as long as a whole answer may: most looks find nothing new.
            if self._version is None or self._store.version() != self._version:
                self._read(self._store.snapshot(RESULTS))
            return self._rows

    def current(self) -> tuple[ResultRow, ...] | None:
        """What `rows` would give, where nothing was committed since; None where it would have to read. Never waits."""
        version, rows = self._version, self._rows
        return rows if version is not None and version == self._store.known_version() else None

    def row(self, plan_key: str) -> ResultRow:
        """One result.

        Raises:
            ResultNotFound: nothing with this plan key is published.
        """
        self.rows()
        found = self._by_key.get(plan_key)
        if found is None:
            raise ResultNotFound(f"no result {plan_key!r} is published here; the leaderboard lists those that are")
        return found

    def leaderboard(self, benchmark: str | None = None) -> list[BoardEntry]:
        """One entry per model and commit, with its result on every benchmark, or on one.

        Ordered by the scores in the order of the benchmarks, ranked before not ranked before not measured. Where
        weights were measured more than once on a benchmark, `preferred` says which result stands.
        """
        with self._lock:
            rows = self.rows()
            if self._entries is None:
                self._entries = _entries(rows, self._ranked(rows))
            entries = self._entries
        if benchmark is not None:
            entries = [replace(e, scores={benchmark: e.scores[benchmark]}) for e in entries if benchmark in e.scores]
        return sorted(entries, key=_board_order)

    def standings(self) -> tuple[Standing, ...]:
        """One row per model, commit and protocol, by name; see `leaderboard/standings.py`."""
        with self._lock:
            rows = self.rows()
            ranks = self._ranked(rows)
            if self._standings is None:
                self._standings = standings(
                    rows,
                    weights=weights,
                    prefer=preferred,
                    score=lambda row: _board_score(row, *ranks.get(row.plan_key, (None, 1))),
                )
            return self._standings

    def datasets(self) -> list[DatasetReport]:
        """Reports on datasets, newest first."""
        return read_reports(self._store)

    def problems(self, plan_key: str) -> list[ProblemRow]:
        """How one model did on each problem, in the benchmark's order. Raises ResultNotFound."""
        self.row(plan_key)
        return list(self._problems(plan_key))

    def attempts(self, plan_key: str, problem_id: str | None = None) -> list[AttemptRow]:
        """The attempts of one result, or those at one problem, in order; none for a problem it does not have.

        Attempts are stored per generation: of those, the ones that this result counts. Raises ResultNotFound.
        """
        row = self.row(plan_key)
        stored = read_attempts(self._attempts(row.generation_key), problem_id=problem_id)
        return [attempt for attempt in stored if attempt.attempt < row.attempts_per_problem]

    def attempts_page(self, plan_key: str, offset: int, limit: int) -> tuple[list[AttemptRow], int | None, int]:
        """Some stored attempts of a result in order, where the next ones begin (None after the last), and how many.

        Only the part of the file that holds them is read. Raises ResultNotFound.
        """
        row = self.row(plan_key)
        stored, total = read_attempts_slice(self._attempts(row.generation_key), offset, limit)
        following = offset + limit if offset + limit < total else None
        return [attempt for attempt in stored if attempt.attempt < row.attempts_per_problem], following, total

    def template(self, sha256: str) -> str:
        """The text of a chat template. Raises ResultNotFound where the store has none of this hash."""
        return self._file(template_file(sha256)).decode(errors="replace")

    def lengths(self, plan_key: str) -> list[Length]:
        """Tokens and verdict of every attempt that a result counts. Raises ResultNotFound."""
        row = self.row(plan_key)
        stored = read_lengths(self._attempts(row.generation_key))
        return [length for length in stored if length.attempt < row.attempts_per_problem]

    def trials(self, job_id: str) -> tuple[Trial, ...]:
        """What the trial of a job came to; empty where it made none. Raises TrialUnreadable."""
        return read_trials(self._store, job_id)

    def curves(self) -> Curves:
        """Training curves: run -> benchmark -> one point per checkpoint, by rising step.

        Points of one curve share recipe and protocol. A run measured under several shows the ranked protocol if there
        is one, and the newest otherwise.
        """
        groups: dict[tuple[str, str], dict[tuple[str, str], list[ResultRow]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows():
            if row.lineage is not None and row.superseded_by is None:
                group = groups[row.lineage.run, row.benchmark]
                group[row.lineage.recipe_hash, row.protocol_key].append(row)
        curves: dict[str, dict[str, tuple[CurvePoint, ...]]] = defaultdict(dict)
        for (run, benchmark), candidates in sorted(groups.items()):
            shown = max(candidates.values(), key=lambda rows: (rows[0].ranked, max(row.measured_at for row in rows)))
            curves[run][benchmark] = _points(shown)
        return curves

    def references_for(self, benchmark: str) -> tuple[ReferenceScore, ...]:
        """Published scores on one benchmark, highest first. Never mixed with our own."""
        return tuple(sorted((r for r in self.references() if r.benchmark == benchmark), key=lambda r: -r.score))

    def _read(self, snapshot: Snapshot) -> None:
        parsed = {name: self._parse(name, snapshot) for name in snapshot.names if name.endswith(".json")}
        hidden = read_hidden(self._store.snapshot(HIDDEN))
        rows = tuple(
            sorted(
                (_shown(row, hidden.get(row.plan_key)) for _, row in parsed.values() if row is not None),
                key=lambda row: (row.measured_at, row.plan_key),
                reverse=True,
            )
        )
        # The store's version moves with every heartbeat of a worker: what follows from the rows outlives that.
        if rows != self._rows:
            self._by_key = {row.plan_key: row for row in reversed(rows)}
            self._rows, self._entries, self._ranks, self._standings = rows, None, None, None
            self._problems.cache_clear()
            self._attempts.cache_clear()
        # Last: `current` takes rows and version without the lock.
        self._parsed, self._version = parsed, snapshot.version

    def _parse(self, name: str, snapshot: Snapshot) -> tuple[str, ResultRow | None]:
        fingerprint = snapshot.fingerprint(name)
        known = self._parsed.get(name)
        if known is not None and known[0] == fingerprint:
            return known
        try:
            return fingerprint, _as_of_today(read_row(snapshot.read(name)))
        except ResultUnreadable as error:
            LOG.error("%s is left out: %s", name, error)
            return fingerprint, None

    def _read_attempts(self, generation_key: str) -> bytes:
        return self._file(attempts_file(generation_key))

    def _read_problems(self, plan_key: str) -> tuple[ProblemRow, ...]:
        return tuple(read_problems(self._file(problems_file(plan_key))))

    def _file(self, name: str) -> bytes:
        try:
            return self._store.snapshot(name).read(name)
        except KeyError as error:
            raise ResultNotFound(f"the store has no {name}, although its result is published; restore it") from error

    def _ranked(self, rows: Sequence[ResultRow]) -> Ranks:
        """The ranks of these rows, computed once."""
        if self._ranks is None:
            self._ranks = self._ranking.ranks(row for row in _standing(rows) if row.ranked)
        return self._ranks


def preferred(rows: Iterable[ResultRow]) -> ResultRow:
    """The result that stands, of several of the same weights on one benchmark.

    Ranked before not ranked; what no regrading replaced; the first run before its reproductions, so that nobody rolls
    until the dice are kind; the newest grader; the protocol's number of attempts, then more before fewer; the newest.
    """
    return max(rows, key=_preference)


def _preference(row: ResultRow) -> tuple[Any, ...]:
    return (
        row.ranked,
        row.superseded_by is None,
        -row.plan.run,
        grader_order(row.plan.grader_version),
        row.benchmark in BENCHMARKS and row.plan.attempts == BENCHMARKS[row.benchmark].attempts,
        row.attempts_per_problem,
        row.measured_at,
        row.plan_key,
    )


def weights(row: ResultRow) -> Weights:
    """What was measured: the model and its commit, or where that is unknown the endpoint that served it."""
    return row.model, row.commit, row.plan.endpoint if row.commit is None else None


def _shown(row: ResultRow, hidden: Hidden | None) -> ResultRow:
    """The row as everybody sees it: what a maintainer hid keeps its page and its numbers, and loses its rank."""
    if hidden is None:
        return row
    return replace(row, ranked=False, not_ranked_because=f"hidden by {hidden.by} on {hidden.at[:10]}: {hidden.reason}")


def _as_of_today(row: ResultRow) -> ResultRow:
    """The row under the current rule: new versions of benchmark and grader take what is older out of the ranks."""
    if row.benchmark not in BENCHMARKS:
        return replace(row, ranked=False, not_ranked_because="the benchmark is no longer part of this board")
    why_not = not_ranked_because(row.plan)
    if row.superseded_by is not None:
        why_not = f"a newer grader graded its answers again: result {row.superseded_by} replaces it"
    return replace(row, ranked=not why_not, not_ranked_because=why_not)


def _standing(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """One result per weights and benchmark."""
    groups: dict[tuple[Weights, str], list[ResultRow]] = defaultdict(list)
    for row in rows:
        groups[weights(row), row.benchmark].append(row)
    return [preferred(group) for group in groups.values()]


def _entries(rows: Sequence[ResultRow], ranks: Ranks) -> list[BoardEntry]:
    by_weights: dict[Weights, list[ResultRow]] = defaultdict(list)
    for row in _standing(rows):
        by_weights[weights(row)].append(row)
    order = {name: place for place, name in enumerate(BENCHMARKS)}
    entries = []
    for group in by_weights.values():
        group.sort(key=lambda row: (order.get(row.benchmark, len(order)), row.benchmark))
        entries.append(
            BoardEntry(
                model=group[0].model,
                revision=next((row.revision for row in group if row.revision), None),
                commit=group[0].commit,
                lineage=next((row.lineage for row in group if row.lineage), None),
                scores={row.benchmark: _board_score(row, *ranks.get(row.plan_key, (None, 1))) for row in group},
            )
        )
    return entries


def _board_score(row: ResultRow, rank: tuple[int, int] | None, compared: int) -> BoardScore:
    numbers = row.statistics
    end_known = sum(row.verdicts.values()) - row.truncation_unknown
    return BoardScore(
        benchmark=row.benchmark,
        plan_key=row.plan_key,
        protocol_key=row.protocol_key,
        score=numbers.score,
        ci95=numbers.ci95,
        stderr_questions=numbers.stderr_questions,
        stderr_decoding=numbers.stderr_decoding,
        pass_at_n=numbers.pass_at_n,
        maj_at_n=numbers.maj_at_n,
        problems=row.problems,
        attempts_per_problem=row.attempts_per_problem,
        truncated_share=row.truncated / end_known if end_known else None,
        mean_completion_tokens=row.mean_completion_tokens,
        measured_at=row.measured_at,
        ranked=row.ranked,
        not_ranked_because=row.not_ranked_because,
        rank=rank,
        compared=compared,
    )


def _board_order(entry: BoardEntry) -> tuple[object, ...]:
    places = []
    for name in BENCHMARKS:
        shown = entry.scores.get(name)
        places.append((2, 0.0) if shown is None else (0 if shown.ranked else 1, -shown.score))
    return (*places, entry.model, entry.commit or "")


def _points(rows: Sequence[ResultRow]) -> tuple[CurvePoint, ...]:
    by_step: dict[int, list[ResultRow]] = defaultdict(list)
    for row in rows:
        if row.lineage is not None:
            by_step[row.lineage.step].append(row)
    chosen = ((step, preferred(candidates)) for step, candidates in sorted(by_step.items()))
    return tuple(
        CurvePoint(step=step, score=row.statistics.score, ci95=row.statistics.ci95, plan_key=row.plan_key)
        for step, row in chosen
    )
