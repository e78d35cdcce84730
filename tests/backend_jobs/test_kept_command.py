"""What runs beside the page, by the settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend_jobs.keeper import kept_command
from settings import read_settings


@pytest.mark.parametrize(
    ("has_engine", "environ", "verb"),
    [
        (True, {}, "worker"),
        (False, {}, None),
        (False, {"OPEN_R1_ENGINE": "endpoint"}, "worker"),
        (False, {"OPEN_R1_LAUNCHER": "hf-jobs"}, "dispatch"),
        (True, {"OPEN_R1_LAUNCHER": "ray"}, "dispatch"),
    ],
)
def test_a_worker_where_something_serves_a_dispatcher_where_machines_are_had(
    has_engine: bool, environ: dict[str, str], verb: str | None
) -> None:
    command = kept_command(replace(read_settings(environ), has_engine=has_engine))
    assert (command[3] if command else None) == verb
