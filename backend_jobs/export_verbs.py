"""`export`: results in the forms that other people's tools and the models' own pages read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from evaluator.errors import OpenR1Error
from leaderboard.board import Board
from leaderboard.exports.every_eval_ever import write_records
from leaderboard.exports.lighteval_details import write_details
from leaderboard.exports.model_pages import model_index, proposals, propose
from leaderboard.stores import open_store
from settings import Settings

Result = dict[str, Any] | None


class NothingToExport(OpenR1Error):
    """The board has no result for this."""

    code = "nothing_to_export"


def add_parser(of: argparse._SubParsersAction[argparse.ArgumentParser], settings: Settings) -> None:
    """`export model-pages | every-eval-ever | lighteval-details | model-index`."""
    export = of.add_parser("export", help="results in the forms that other tools and the models' own pages read")
    verbs = export.add_subparsers(required=True, metavar="WHAT")

    pages = verbs.add_parser("model-pages", help="propose .eval_results files to the models' repositories on the Hub")
    pages.add_argument("results", nargs="*", metavar="RESULT_ID", help="only these; every ranked result otherwise")
    pages.add_argument(
        "--open-pull-requests", action="store_true", help="really propose; without it, what would be is printed"
    )
    pages.set_defaults(run=model_pages_verb)

    records = verbs.add_parser("every-eval-ever", help="write Every Eval Ever records, schema 0.3")
    records.add_argument("folder", type=Path)
    records.add_argument("--organization", required=True, metavar="NAME", help="whose board this is")
    records.set_defaults(run=records_verb)

    details = verbs.add_parser("lighteval-details", help="write details as lighteval does, in Parquet")
    details.add_argument("folder", type=Path)
    details.set_defaults(run=details_verb)

    index = verbs.add_parser("model-index", help="print the model-index metadata for a model card")
    index.add_argument("model", metavar="M")
    index.set_defaults(run=model_index_verb)

    for verb in (pages, index):
        verb.add_argument("--board-url", required=True, metavar="URL", help="where this board is read")
    for verb in (pages, records, details, index):
        verb.add_argument("--store", metavar="S", default=settings.store, help="the board's store (%(default)s)")
        verb.add_argument("--json", action="store_true", help="make the last line one JSON object")


def model_pages_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Print, or open, one pull request per model."""
    store = open_store(options.store, settings)
    found = proposals(
        Board(store), store.snapshot(), board_url=options.board_url.rstrip("/"), only=tuple(options.results)
    )
    lines = []
    for proposal in found:
        for name, content in proposal.files.items():
            sys.stderr.write(f"{proposal.model}: {name}\n{content.decode()}\n")
        if options.open_pull_requests:
            made = propose(proposal, store, token=settings.hub_token)
            lines.append(f"{proposal.model}: {made.url if made else 'proposed before'}")
        else:
            lines.append(f"{proposal.model}: would propose {', '.join(proposal.plan_keys)}")
    return {"dry run": not options.open_pull_requests, "models": lines}


def records_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Write records of every result."""
    written = write_records(
        Board(open_store(options.store, settings)), options.folder, organization=options.organization
    )
    return {"files": len(written), "folder": str(options.folder)}


def details_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Write the details of every result."""
    written = write_details(Board(open_store(options.store, settings)), options.folder)
    return {"files": len(written), "folder": str(options.folder)}


def model_index_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Print metadata for one model's card."""
    board = Board(open_store(options.store, settings))
    block = model_index(board.rows(), options.model, options.board_url.rstrip("/"))
    if not block:
        raise NothingToExport(f"the board has no result of {options.model} on a public benchmark with known weights")
    return {"model": options.model, "metadata": block}
