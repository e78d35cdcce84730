"""The command line. Exit status: 0 done, 1 failed with one line that says what to do, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from backend_jobs.arguments import parser
from backend_jobs.logs import log_to_stderr
from backend_jobs.types import PartlyDone, WrongUsage
from backend_jobs.verbs import as_text
from evaluator.errors import OpenR1Error
from settings import read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    settings = read_settings()
    log_to_stderr(as_json=settings.log_as_json)
    top = parser(settings)
    options = top.parse_args(arguments)
    try:
        result = options.run(options, settings)
    except WrongUsage as wrong:
        top.error(str(wrong))
    except PartlyDone as partly:
        _show(partly.result, options)
        print(f"error: {partly}", file=sys.stderr)
        return 1
    except OpenR1Error as error:
        print(f"error: {error}", file=sys.stderr)
        tail = getattr(error, "log_tail", "")
        if tail:
            print(tail, file=sys.stderr)
            print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"error: {error}; check that the path exists, that you may use it and that the disk has room",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("stopped; what was answered is in the journal, the same command continues from there", file=sys.stderr)
        return 1
    if result is not None:
        _show(result, options)
    return 0


def _show(result: dict[str, Any], options: argparse.Namespace) -> None:
    print(json.dumps(result) if getattr(options, "json", False) else as_text(result))
