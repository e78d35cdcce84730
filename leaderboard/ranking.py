"""Which ranks each result may hold, among those of the same benchmark, protocol and problems.

Counts per problem are read once per publication and kept small; the pairs of a group are compared again only when one
of its results came, went or changed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evaluator.errors import OpenR1Error
from evaluator.statistics import rank_intervals, shares
from leaderboard.table import SolvedCounts, read_counts
from leaderboard.types import ResultRow

LOG = logging.getLogger(__name__)

Ranks = dict[str, tuple[tuple[int, int], int]]
"""(rank interval, results compared) by plan key, where at least two results can be compared."""
Publication = tuple[str, str]
"""(plan key, moment of the measurement): the same key may be published again."""


@dataclass(frozen=True, slots=True)
class _Group:
    members: tuple[Publication, ...]
    ranks: Ranks


class Ranking:
    """Ranks results, remembering what it read and compared. For one thread at a time.

    `read` gives the file of counts per problem of a plan key, and raises OpenR1Error where there is none.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._counts: dict[Publication, SolvedCounts] = {}
        self._groups: dict[tuple[str, ...], _Group] = {}

    def ranks(self, rows: Iterable[ResultRow]) -> Ranks:
        """The ranks of some results. One whose counts cannot be read is left out and logged."""
        members: dict[tuple[str, ...], list[Publication]] = defaultdict(list)
        counts: dict[Publication, SolvedCounts] = {}
        for row in rows:
            publication = (row.plan_key, row.measured_at)
            found = self._counts.get(publication) or self._load(row)
            if found is not None:
                counts[publication] = found
                members[row.benchmark, row.protocol_key, found.problems].append(publication)
        self._counts = counts
        self._groups = {key: self._group(key, tuple(these)) for key, these in members.items() if len(these) > 1}
        return {key: rank for group in self._groups.values() for key, rank in group.ranks.items()}

    def _load(self, row: ResultRow) -> SolvedCounts | None:
        try:
            return read_counts(self._read(row.plan_key))
        except OpenR1Error as error:
            LOG.error("%s on %s is left out of the ranks: %s", row.model, row.benchmark, error)
            return None

    def _group(self, key: tuple[str, ...], members: tuple[Publication, ...]) -> _Group:
        known = self._groups.get(key)
        if known is not None and known.members == members:
            return known
        return _Group(members, _compared(members, [self._counts[publication] for publication in members]))


def _compared(members: Sequence[Publication], counts: Sequence[SolvedCounts]) -> Ranks:
    intervals = rank_intervals(shares([(c.correct, c.n) for c in counts]))
    return {plan: (rank, len(members)) for (plan, _), rank in zip(members, intervals, strict=True)}
