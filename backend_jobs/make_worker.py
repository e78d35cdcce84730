"""A worker as its store wants it: with the beats and leases of an embedded store, or with those of the Hub."""

from __future__ import annotations

from backend_jobs.hub_queue import BoardLink, HubQueue
from backend_jobs.jobs import JobRunner
from backend_jobs.leases import SENT_BEAT_S
from backend_jobs.queue import StoreQueue
from backend_jobs.worker import Worker
from leaderboard.live import FileLive
from leaderboard.stores import is_on_the_hub, open_store
from leaderboard.types import JobRecord
from settings import Settings


def make_worker(settings: Settings, name: str, *, only: str | None = None) -> tuple[Worker, StoreQueue]:
    """A worker on the settings' store, with the beats and leases that suit it. `only` is the one job that it takes."""

    def may(job: JobRecord) -> bool:
        return only is None or job.submission.id == only

    store, live = open_store(settings.store, settings), FileLive(settings.data_dir / "live")
    if not is_on_the_hub(settings.store):
        queue = StoreQueue(store)
        return Worker(queue, live, JobRunner(settings, queue).run, name=name, may=may), queue
    link = None
    if settings.board_url and settings.worker_token:
        link = BoardLink(settings.board_url, settings.worker_token)
    hub_queue = HubQueue(store, worker=name, link=link)
    run_job = JobRunner(settings, hub_queue).run
    return Worker(hub_queue, link or live, run_job, name=name, beat_s=SENT_BEAT_S, may=may), hub_queue
