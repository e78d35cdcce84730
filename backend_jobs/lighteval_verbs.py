"""The verbs that read lighteval's result files into a store and write a store's rows as such files."""

from __future__ import annotations

import argparse
from typing import Any

from evaluator.errors import OpenR1Error
from leaderboard.board import Board
from leaderboard.lighteval_results import export_results, read_results
from leaderboard.references import add_references
from leaderboard.store import Changes, Snapshot, update
from leaderboard.stores import open_store
from settings import Settings


class WrongAddress(OpenR1Error):
    """The source of some results has no address that can be linked."""

    code = "wrong_address"


def import_lighteval(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Read result files and keep their scores as *measured elsewhere*; what the store has is not added again."""
    if options.url and not options.url.startswith("https://"):
        raise WrongAddress(f"--url is {options.url!r}, expected the https address of the source")
    read = read_results(options.path, source=options.source, url=options.url)

    def edit(stored: Snapshot) -> Changes:
        return add_references(read.scores, stored)

    update(open_store(options.store, settings), edit, message=f"read {len(read.scores)} scores of {options.source}")
    return {
        "files": read.files,
        "scores": len(read.scores),
        "models": len({score.model for score in read.scores}),
        "left out": dict(read.left_out),
    }


def export_lighteval(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write every published row as a result file."""
    files = export_results(Board(open_store(options.store, settings)).rows(), options.folder)
    return {"files": len(files), "folder": str(options.folder)}
