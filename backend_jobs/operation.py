"""What keeps a board that nobody watches in order: health, metrics, alerts, room on the disk. Wiring for `app.py`."""

from __future__ import annotations

from datetime import timedelta

from backend_jobs.alerts import Alarms, webhook
from backend_jobs.anchor_watch import ANCHOR, AnchorWatch
from backend_jobs.backups import Backups
from backend_jobs.clock import Clock
from backend_jobs.housekeeping import GB, Housekeeping
from backend_jobs.keeper import WorkerKeeper
from backend_jobs.limits import NO_LIMITS, Limits
from backend_jobs.weights import resolve_model
from leaderboard.board import Board
from leaderboard.contracts import JobQueue, LiveBoard
from leaderboard.desk import OperatorDesk
from leaderboard.health import Check, HealthWatch
from leaderboard.hub_health import hub_checks
from leaderboard.hub_use import USE
from leaderboard.metrics import Metrics
from leaderboard.store import Store
from leaderboard.stores import is_on_the_hub
from leaderboard.submissions import check_submission
from leaderboard.types import Submission
from settings import Settings

ALERTS_EVERY_S = 60.0
ROOM_EVERY_S = 600.0
ANCHOR_LOOK_S = 3600.0
BACKUP_LOOK_S = 600.0


def limits(settings: Settings) -> Limits:
    """What people may ask for: on a Space what the settings say, on one's own machine no limit."""
    if settings.space is None:
        return NO_LIMITS
    return Limits(
        per_person_a_day=settings.jobs_a_day,
        per_person_at_once=settings.jobs_at_once,
        at_once=settings.longest_queue,
    )


def anchor_watch(settings: Settings, board: Board, queue: JobQueue) -> AnchorWatch | None:
    """The watch over the anchor model; None where the settings name none."""
    if settings.anchor_model is None:
        return None
    form = {"model": settings.anchor_model, "benchmarks": list(settings.anchor_benchmarks), "note": "anchor"}

    def ask() -> Submission:
        return check_submission(
            form,
            local_mode=settings.space is None,
            resolve=lambda model, revision: resolve_model(model, revision, settings),
            submitted_by=ANCHOR,
        )

    return AnchorWatch(board=board, queue=queue, ask=ask, every=timedelta(days=settings.anchor_days))


def scheduled_backups(settings: Settings, store: Store) -> Backups | None:
    """The board's own backups; None where the settings name no folder."""
    if settings.backup_dir is None:
        return None
    every = timedelta(hours=settings.backup_hours)
    return Backups(store=store, folder=settings.backup_dir, every=every, kept=settings.backups_kept)


class Operation:
    """The watch over one board. `metrics` and `watch` answer what machines ask."""

    def __init__(
        self, settings: Settings, store: Store, queue: JobQueue, live: LiveBoard, keeper: WorkerKeeper
    ) -> None:
        reserve = int(settings.disk_reserve_gb * GB)
        self._settings, self._store = settings, store
        self.watch = HealthWatch(
            store=store,
            queue=queue,
            live=live,
            data_dir=settings.data_dir,
            disk_reserve_bytes=reserve,
            worker_alive=keeper.alive,
            more=self._more_checks,
        )
        self._backups = scheduled_backups(settings, store)
        self._hub = USE if is_on_the_hub(settings.store) else None
        self.metrics = Metrics(self.watch.look, live, self._hub)
        self.desk = OperatorDesk(store=store, queue=queue, look=self.watch.look)
        self._anchor = anchor_watch(settings, Board(store), queue)
        extra = self._anchor.faults if self._anchor else dict
        self._alarms = Alarms(self.watch.look, webhook(settings.alert_webhook), extra=extra)
        self._housekeeping = Housekeeping(data_dir=settings.data_dir, queue=queue, reserve_bytes=reserve)

    def _more_checks(self) -> tuple[Check, ...]:
        hub = hub_checks(self._store, self._hub, storage_gb=self._settings.hub_storage_gb) if self._hub else ()
        return (*hub, self._backups.check()) if self._backups else hub

    def run(self, clock: Clock) -> None:
        """Let the clock look after everything."""
        clock.every(ALERTS_EVERY_S, self._alarms.turn, name="look for what needs a person")
        if self._anchor is not None:
            clock.every(ANCHOR_LOOK_S, self._anchor.turn, name="measure the anchor when it is due")
        if self._backups is not None:
            clock.every(BACKUP_LOOK_S, self._backups.turn, name="back the board up when it is due")
        clock.every(ROOM_EVERY_S, self._housekeeping.make_room, name="make room on the disk")
