"""Entry point of the Space: settings, store, queue, page, and a worker that is kept alive. Wiring only."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from backend_jobs.clock import Clock
from backend_jobs.demo import queue_demo
from backend_jobs.evaluate_job import resolve_model
from backend_jobs.keeper import WorkerKeeper
from backend_jobs.logs import log_to_stderr
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.page import PageContext, build_page, launch_options
from leaderboard.references import published_scores
from leaderboard.stores import open_store
from leaderboard.submissions import check_submission
from leaderboard.types import JobRecord
from settings import Settings, read_settings

KEEP_ALIVE_EVERY_S = 5.0


def main() -> None:
    """Serve the board until stopped."""
    log_to_stderr()
    settings = _settings()
    store = open_store(settings.store)
    queue = StoreQueue(store)
    if settings.demo:
        queue_demo(queue)

    def submit(form: dict[str, object]) -> JobRecord:
        local_mode = settings.space is None
        return queue.submit(
            check_submission(form, local_mode=local_mode, resolve=lambda m, r: resolve_model(m, r, settings))
        )

    keeper = WorkerKeeper([sys.executable, "-m", "backend_jobs", "worker", "--store", settings.store], settings)
    clock = Clock()
    clock.every(KEEP_ALIVE_EVERY_S, keeper.keep_alive, name="keep the worker alive")
    clock.start()
    page = build_page(
        PageContext(
            board=Board(store, published_scores()),
            queue=queue,
            live=FileLive(settings.data_dir / "live"),
            submit=submit,
            local_mode=settings.space is None,
        )
    )
    try:
        page.launch(server_name=settings.host, server_port=settings.port, **launch_options())
    finally:
        clock.stop()
        keeper.stop()


def _settings() -> Settings:
    settings = read_settings()
    parser = argparse.ArgumentParser(prog="python app.py", description="The open-r1 leaderboard.")
    parser.add_argument("--store", default=settings.store, metavar="S", help="path of the board's store (%(default)s)")
    parser.add_argument("--port", type=int, default=settings.port, metavar="P", help="(%(default)s)")
    given = parser.parse_args()
    return replace(settings, store=given.store, port=given.port)


if __name__ == "__main__":
    main()
