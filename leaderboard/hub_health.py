"""Whether the Hub answers and how much of it is left, as checks of a board whose store lies there."""

from __future__ import annotations

from leaderboard.health import GB, Check
from leaderboard.hub_use import HubUse
from leaderboard.store import Store

FULL_SHARE = 0.9


def hub_checks(store: Store, use: HubUse, *, storage_gb: float | None = None) -> tuple[Check, ...]:
    """`storage_gb` is what the dataset may take; None is not judged."""
    return (_answers(store), _left(use), _storage(use, storage_gb))


def _answers(store: Store) -> Check:
    ok = store.reachable()
    detail = "answers" if ok else "does not answer: what was known is shown, what is to be written waits or is refused"
    return Check(name="hub", ok=ok, detail=detail)


def _left(use: HubUse) -> Check:
    scarce = use.scarce()
    if scarce:
        return Check(name="hub quota", ok=False, detail=f"{scarce}: tables wait, and the store is looked at less often")
    left = [f"{each.remaining} of {each.limit} {kind} requests" for kind, each in sorted(use.allowances().items())]
    return Check(
        name="hub quota", ok=True, detail=f"{use.commits()} commits in the last hour; left: {left or 'unsaid'}"
    )


def _storage(use: HubUse, storage_gb: float | None) -> Check:
    if use.storage_bytes is None:
        return Check(name="hub storage", ok=True, detail="not said by the Hub")
    used = f"{use.storage_bytes / GB:.2f} GB with the history"
    if storage_gb is None or use.storage_bytes < FULL_SHARE * storage_gb * GB:
        return Check(name="hub storage", ok=True, detail=used)
    advice = "copy the board to a new dataset (store copy), which leaves the history behind"
    return Check(name="hub storage", ok=False, detail=f"{used} of {storage_gb:g} GB: {advice}")
