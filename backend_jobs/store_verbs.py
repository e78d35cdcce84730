"""`store`: copy, validate, back up, restore and compact whole boards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from backend_jobs.compaction import compact
from evaluator.errors import OpenR1Error
from leaderboard.dataset.validate import validate
from leaderboard.stores import open_store
from leaderboard.transfer import Transfer, backup, copy, restore
from settings import Settings

FAULTS_SHOWN = 50
Result = dict[str, Any] | None


class StoreInvalid(OpenR1Error):
    """The store does not hold what it says."""

    code = "store_invalid"


def add_parser(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`store copy A B | validate S | backup S F | restore F S | compact S`."""
    store = of.add_parser("store", help="copy, validate, back up, restore and compact whole boards")
    verbs = store.add_subparsers(required=True, metavar="WHAT")
    several: dict[str, tuple[str, Any, tuple[str, ...]]] = {
        "copy": ("copy the board of store A into store B, which is empty or holds a part of it", copy_verb, ("A", "B")),
        "validate": ("read every file of store S and compute its numbers again", validate_verb, ("S",)),
        "backup": ("write store S as one file F (.tar.gz)", backup_verb, ("S", "F")),
        "restore": ("put backup F into store S, which is empty or holds a part of it", restore_verb, ("F", "S")),
        "compact": ("write the tables that people load, where they differ", compact_verb, ("S",)),
    }
    for name, (help_text, run, arguments) in several.items():
        verb = verbs.add_parser(name, help=help_text)
        for argument in arguments:
            verb.add_argument(argument.lower(), metavar=argument, type=Path if argument == "F" else str)
        verb.add_argument("--json", action="store_true", help="make the last line one JSON object")
        verb.set_defaults(run=run)


def copy_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Copy a board."""
    source, target = open_store(options.a, settings), open_store(options.b, settings)
    return _moved(copy(source.snapshot(), target, progress=_show))


def validate_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Check a board; fails where anything is wrong."""
    found = validate(open_store(options.s, settings).snapshot())
    for fault in found.faults[:FAULTS_SHOWN]:
        sys.stderr.write(f"{fault}\n")
    if found.faults:
        raise StoreInvalid(
            f"{options.s} has {len(found.faults)} faults; the first are listed above: repair or restore it"
        )
    return {"files": found.files, "results": found.results, "attempts": found.attempts, "faults": 0}


def backup_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Write a board into a file."""
    return _moved(backup(open_store(options.s, settings).snapshot(), options.f))


def restore_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Put a board back from a file."""
    return _moved(restore(options.f, open_store(options.s, settings), progress=_show))


def compact_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Write the tables anew."""
    return {"written": compact(open_store(options.s, settings))}


def _moved(done: Transfer) -> Result:
    return {"files": done.files, "already there": done.same, "bytes": done.bytes}


def _show(done: int, whole: int) -> None:
    sys.stderr.write(f"\r{done:,} of {whole:,} files")
    if done == whole:
        sys.stderr.write("\n")
