"""How the programs log: one line each on standard error, without the chatter of libraries."""

from __future__ import annotations

import logging
import sys

CHATTY = ("apscheduler", "httpx", "httpx2", "httpcore", "datasets", "lighteval", "pebble")


def log_to_stderr() -> None:
    """Set up logging for an entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
