"""Entry point of the Space: settings, store, queue, page, and a worker that is kept alive. Wiring only."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from backend_jobs.beats import COMMIT_EVERY_S, Beats
from backend_jobs.clock import Clock
from backend_jobs.compaction import COMPACT_EVERY_S, compact_quietly
from backend_jobs.demo import Demonstration
from backend_jobs.hooks import Hooks
from backend_jobs.keeper import WorkerKeeper, kept_command
from backend_jobs.leases import HUB_LEASE_S, LEASE_S
from backend_jobs.ledger import budget_of, known_spendings
from backend_jobs.logs import log_to_stderr
from backend_jobs.operation import Operation, limits
from backend_jobs.preflight import Preflighter
from backend_jobs.queue import StoreQueue
from backend_jobs.rented_engine import sweep_quietly
from backend_jobs.run_log import FileTrainingLog
from backend_jobs.weights import resolve_model
from leaderboard.api.application import build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.contracts import BeatDesk, JobQueue, LiveBoard
from leaderboard.desk import OperatorDesk
from leaderboard.hub_store import REFRESH_S, HubStore
from leaderboard.live import FileLive
from leaderboard.login import LoginSettings, SameOrigin, install_login
from leaderboard.operate_routes import operate_routes
from leaderboard.pages.frame import PageContext
from leaderboard.pages.site import build_page, mount_page
from leaderboard.references import published_scores
from leaderboard.spending import SpendingBook, Spendings
from leaderboard.stores import is_on_the_hub, open_store
from leaderboard.submissions import check_submission
from leaderboard.types import JobRecord
from leaderboard.visitors import local_visitor, signed_in
from settings import Settings, read_settings

LOG = logging.getLogger("app")
KEEP_ALIVE_EVERY_S = 5.0
DEMO_EVERY_S = 30.0
STORAGE_EVERY_S = 3600.0
OPEN_STREAMS_GRACE_S = 3
SWEEP_EVERY_S = 3600.0


def main() -> None:
    """Serve the board until stopped."""
    settings = _settings()
    log_to_stderr(as_json=settings.log_as_json)
    store = open_store(settings.store, settings)
    remote = is_on_the_hub(settings.store)
    queue = StoreQueue(store, lease_s=HUB_LEASE_S if remote else LEASE_S, limits=limits(settings))
    live = FileLive(settings.data_dir / "live")
    beats = Beats(store, queue, live)
    command = kept_command(settings)
    keeper = WorkerKeeper(command or [], settings)
    clock = Clock()
    if command is not None and settings.own_worker:
        if settings.demo and settings.has_engine:
            clock.every(DEMO_EVERY_S, Demonstration(queue).turn, name="queue the demonstration")
        clock.every(KEEP_ALIVE_EVERY_S, keeper.keep_alive, name="keep the worker alive")
    elif settings.own_worker:
        LOG.warning("no engine environment here: jobs wait for a worker on another machine (scripts/install.sh engine)")
    board = Board(store, published_scores())
    if isinstance(store, HubStore):
        clock.every(STORAGE_EVERY_S, store.measure, name="measure the dataset")
        clock.every(COMPACT_EVERY_S, lambda: compact_quietly(store, board), name="write the tables people load")
        clock.every(REFRESH_S / 2, store.version, name="look for a newer version")
        clock.every(COMMIT_EVERY_S, beats.commit, name="commit the workers' beats")
    if settings.rent_namespace:
        clock.every(SWEEP_EVERY_S, lambda: sweep_quietly(settings, store), name="delete orphaned Endpoints")
    operation = Operation(settings, store, queue, live, keeper)
    operation.run(clock)
    clock.start()
    book = SpendingBook(store, budget_of(settings))
    page = build_site(settings, board, queue, live, beats, operation.desk, lambda: known_spendings(book))
    site = watched(page, operation)
    LOG.info("the board: http://%s:%d", "127.0.0.1" if settings.host == "0.0.0.0" else settings.host, settings.port)
    try:
        serve(site, settings)
    finally:
        clock.stop()
        keeper.stop()


def build_site(
    settings: Settings,
    board: Board,
    queue: JobQueue,
    live: LiveBoard,
    beats: BeatDesk | None = None,
    operator: OperatorDesk | None = None,
    spending: Callable[[], Spendings | None] = lambda: None,
) -> Starlette:
    """The page and the API over one board, as one application."""
    local_mode = settings.space is None
    identify = local_visitor if local_mode else signed_in(settings.maintainers)

    def submit(form: Mapping[str, object], submitted_by: str) -> JobRecord:
        return take_submission(form, settings, queue, local_mode=local_mode, submitted_by=submitted_by)

    answers = ApiContext(
        board=board,
        queue=queue,
        live=live,
        submit=submit,
        identify=lambda request: identify(request.session if "session" in request.scope else {}),
        local_mode=local_mode,
        beats=beats,
        worker_token=settings.worker_token,
        hooks=watch_models(settings, queue),
    )
    root, files = build_root(answers), BoardFiles(board)
    desk = Preflighter(settings, board=board, queue=queue, live=live)
    context = PageContext(
        board=board,
        files=files,
        queue=queue,
        live=live,
        submit=submit,
        training=FileTrainingLog(settings.data_dir / "training"),
        local_mode=local_mode,
        identify=identify,
        operator=operator,
        desk=desk,
        spending=spending,
    )
    mount_page(root, build_page(context), files)
    root.add_middleware(SameOrigin)
    if settings.oauth_client is not None:
        install_login(root, LoginSettings(**dict(settings.oauth_client)))
    return root


def watch_models(settings: Settings, queue: JobQueue) -> Hooks | None:
    """What takes the Hub's webhooks; None where nothing is watched, or no secret is set."""
    if not settings.webhook_secret or not settings.watched_models:
        return None

    def submit(form: Mapping[str, object], submitted_by: str) -> JobRecord:
        return take_submission(form, settings, queue, local_mode=False, submitted_by=submitted_by)

    return Hooks(
        submit,
        secret=settings.webhook_secret,
        watched=settings.watched_models,
        benchmarks=settings.watched_benchmarks,
    )


def watched(site: Starlette, operation: Operation) -> ASGIApp:
    """The site with `/health`, `/ready` and `/metrics` before all other addresses, and its requests counted."""
    site.router.routes[:0] = operate_routes(operation.watch.look, operation.metrics)
    return operation.metrics.counting(site)


class StoppableServer(uvicorn.Server):
    """A server that leaves signals to us: uvicorn would raise them again and end the process before it tidied up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ask the server to end when the process is told to."""

        def stop(_: int, __: object) -> None:
            self.should_exit = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        yield


def serve(site: ASGIApp, settings: Settings) -> None:
    """Answer until the process is told to end. Open streams get a moment to finish."""
    config = uvicorn.Config(
        site,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=OPEN_STREAMS_GRACE_S,
        # On a Space the proxy in front says how it was called: without it, links would begin with http.
        forwarded_allow_ips="*" if settings.space else None,
    )
    StoppableServer(config).run()


def take_submission(
    form: Mapping[str, object], settings: Settings, queue: JobQueue, *, local_mode: bool, submitted_by: str = "local"
) -> JobRecord:
    """Check what somebody sent, and queue it in their name. Folders are taken in local mode alone.

    Raises:
        SubmissionRejected: with every fault of the form, or why the weights cannot be had.
    """
    checked = check_submission(
        form,
        local_mode=local_mode,
        resolve=lambda model, revision: resolve_model(model, revision, settings),
        submitted_by=submitted_by,
    )
    return queue.submit(checked)


def _settings() -> Settings:
    settings = read_settings()
    parser = argparse.ArgumentParser(prog="python app.py", description="The open-r1 leaderboard.")
    parser.add_argument("--store", default=settings.store, metavar="S", help="path of the board's store (%(default)s)")
    parser.add_argument("--port", type=int, default=settings.port, metavar="P", help="(%(default)s)")
    given = parser.parse_args()
    # The worker runs in the program's folder: a path that is meant from here must mean the same file there.
    store = given.store if "://" in given.store else str(Path(given.store).resolve())
    return replace(settings, store=store, port=given.port)


if __name__ == "__main__":
    main()
