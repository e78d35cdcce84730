"""What keeps a board that nobody watches in order: health, metrics, alerts, room on the disk. Wiring for `app.py`."""

from __future__ import annotations

from backend_jobs.alerts import Alarms, webhook
from backend_jobs.clock import Clock
from backend_jobs.housekeeping import GB, Housekeeping
from backend_jobs.keeper import WorkerKeeper
from backend_jobs.limits import NO_LIMITS, Limits
from leaderboard.contracts import JobQueue, LiveBoard
from leaderboard.desk import OperatorDesk
from leaderboard.health import HealthWatch
from leaderboard.metrics import Metrics
from leaderboard.store import Store
from settings import Settings

ALERTS_EVERY_S = 60.0
ROOM_EVERY_S = 600.0


def limits(settings: Settings) -> Limits:
    """What people may ask for: on a Space what the settings say, on one's own machine no limit."""
    if settings.space is None:
        return NO_LIMITS
    return Limits(
        per_person_a_day=settings.jobs_a_day,
        per_person_at_once=settings.jobs_at_once,
        at_once=settings.longest_queue,
    )


class Operation:
    """The watch over one board. `metrics` and `watch` answer what machines ask."""

    def __init__(
        self, settings: Settings, store: Store, queue: JobQueue, live: LiveBoard, keeper: WorkerKeeper
    ) -> None:
        reserve = int(settings.disk_reserve_gb * GB)
        self.watch = HealthWatch(
            store=store,
            queue=queue,
            live=live,
            data_dir=settings.data_dir,
            disk_reserve_bytes=reserve,
            worker_alive=keeper.alive,
        )
        self.metrics = Metrics(self.watch.look, live)
        self.desk = OperatorDesk(store=store, queue=queue, look=self.watch.look)
        self._alarms = Alarms(self.watch.look, webhook(settings.alert_webhook))
        self._housekeeping = Housekeeping(data_dir=settings.data_dir, queue=queue, reserve_bytes=reserve)

    def run(self, clock: Clock) -> None:
        """Let the clock look after everything."""
        clock.every(ALERTS_EVERY_S, self._alarms.turn, name="look for what needs a person")
        clock.every(ROOM_EVERY_S, self._housekeeping.make_room, name="make room on the disk")
