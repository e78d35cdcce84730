"""Verbs for jobs that run on machines of their own: `dispatch` starts them, `costs` says what they took."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend_jobs.clock import Clock
from backend_jobs.dispatch import Dispatcher, Surroundings
from backend_jobs.launchers.make import LOCAL, chooser, kinds_of, make_launcher
from backend_jobs.leases import HUB_LEASE_S, LEASE_S
from backend_jobs.ledger import Ledger, budget_of
from backend_jobs.queue import StoreQueue
from backend_jobs.rented_engine import sweep_here
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.spending import SpendingBook, money
from leaderboard.stores import is_on_the_hub, open_store
from settings import LAUNCHERS, Settings

TURN_S, HUB_TURN_S = 2.0, 5.0


def add_parser(of: argparse._SubParsersAction[argparse.ArgumentParser], settings: Settings) -> None:
    """`dispatch [--once] [--launcher L] [--store S]`, `sweep` and `costs [--store S] [--json]`."""
    verb = of.add_parser("dispatch", help="start a machine for every job that waits, and look after it")
    verb.add_argument("--launcher", choices=LAUNCHERS, default=settings.launcher or LOCAL, help="where (%(default)s)")
    verb.add_argument("--once", action="store_true", help="stop as soon as no machine runs and none may start")
    verb.add_argument("--store", default=settings.store, metavar="S", help="the board's store (%(default)s)")
    verb.set_defaults(run=dispatch)
    sweep_verb = of.add_parser("sweep", help="delete the board's Inference Endpoints that no running job needs")
    sweep_verb.add_argument("--store", default=settings.store, metavar="S", help="the board's store (%(default)s)")
    sweep_verb.add_argument("--json", action="store_true", help="make the last line one JSON object")
    sweep_verb.set_defaults(run=sweep)
    costs_verb = of.add_parser("costs", help="what rented machines cost this month, beside the budgets")
    costs_verb.add_argument("--store", default=settings.store, metavar="S", help="the board's store (%(default)s)")
    costs_verb.add_argument("--json", action="store_true", help="make the last line one JSON object")
    costs_verb.set_defaults(run=costs)


def dispatch(options: argparse.Namespace, settings: Settings) -> dict[str, Any] | None:
    """Give every job a machine until stopped. What runs then goes on, and the next call takes it up."""
    # The machines' processes begin in the program's folder: a path that is meant from here must mean the same file.
    here = options.store if "://" in options.store else str(Path(options.store).resolve())
    settings = replace(settings, store=here)
    dispatcher = make_dispatcher(settings, options.launcher)
    turn_s = HUB_TURN_S if is_on_the_hub(settings.store) else TURN_S
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=stopping.set, daemon=True).start())
    if options.once:
        while dispatcher.turn() and not stopping.wait(turn_s):
            pass
    else:
        clock = Clock()
        clock.every(turn_s, dispatcher.turn, name="look after machines")
        clock.start()
        while not stopping.is_set():
            time.sleep(0.2)
        clock.stop()
    dispatcher.stop()
    return None


def make_dispatcher(settings: Settings, place: str) -> Dispatcher:
    """The dispatcher of a place, on the settings' store. Raises LaunchRefused where a setting is missing."""
    store = open_store(settings.store, settings)
    launcher = make_launcher(place, settings)
    remote = is_on_the_hub(settings.store)
    secrets = {"HF_TOKEN": settings.hub_token, "WORKER_TOKEN": settings.worker_token}
    told = {"BOARD_URL": settings.board_url, "CODE_SANDBOX": settings.code_sandbox}
    return Dispatcher(
        store=store,
        queue=StoreQueue(store, lease_s=HUB_LEASE_S if remote else LEASE_S),
        ledger=Ledger(store, budget_of(settings)),
        live=FileLive(settings.data_dir / "live"),
        launcher=launcher,
        choose=chooser(launcher, settings, Board(store)),
        surroundings=Surroundings(
            store=settings.store,
            environment={name: value for name, value in told.items() if value},
            secrets={name: value for name, value in secrets.items() if value},
        ),
        logs=settings.data_dir / "machines",
        kinds=kinds_of(launcher),
        at_once=settings.machines_at_once,
        shows_progress=remote and not settings.board_url,
    )


def sweep(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Delete what was left behind."""
    settings = replace(settings, store=options.store)
    return {
        "deleted": sweep_here(settings, open_store(options.store, settings)) or "nothing: all belong to running jobs"
    }


def costs(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """This month's spending, by person and by machine."""
    book = SpendingBook(open_store(options.store, settings), budget_of(settings))
    seen = book.look()
    machines = [record for record in book.records() if record.started_at.startswith(seen.month)]
    if options.json:
        return {
            "month": seen.month,
            "spent": round(seen.spent, 4),
            "promised": round(seen.promised, 4),
            "monthly_budget": seen.budget.monthly,
            "person_budget": seen.budget.per_person,
            "by_person": {who: round(dollars, 4) for who, dollars in seen.by_person.items()},
            "by_job": {job: round(dollars, 4) for job, dollars in seen.by_job.items()},
        }
    of_all = f" of {money(seen.budget.monthly)}" if seen.budget.monthly is not None else ", without a budget"
    return {
        "month": seen.month,
        "spent": f"{money(seen.spent)}{of_all}; {money(seen.promised)} with what runs",
        "people": [{"who": who, "promised": money(dollars)} for who, dollars in sorted(seen.by_person.items())],
        "machines": [
            {"job": each.job_id, "machine": f"{each.place} {each.machine}", "hours": f"{each.running_s / 3600:.2f}"}
            | {"state": each.state}
            for each in machines
        ],
    }
