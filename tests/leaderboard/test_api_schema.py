"""Schemathesis asks the whole API, as its own description allows and beyond: no 5xx, no undocumented answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend_jobs.beats import Beats
from backend_jobs.hooks import Hooks
from backend_jobs.queue import StoreQueue
from leaderboard.api.application import PREFIX, build_root
from leaderboard.api.context import ApiContext, Visitor
from leaderboard.board import Board
from leaderboard.live import FileLive
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import ResolvedModel, check_submission
from leaderboard.types import JobRecord, Status
from tests.leaderboard.measurements import measurement
from tests.leaderboard.page_content import COMMIT, job, measured, publish
from tests.site import served

EXAMPLES = 10
TOKEN, SECRET = "worker-token", "hook-secret"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Webhook-Secret": SECRET}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("api")
    store = SqliteStore(folder / "store.db")
    publish(store, measured())
    publish(store, measurement([1, 2], bench="gpqa_diamond", attempts=8))
    queue, live = StoreQueue(store), FileLive(folder / "live")
    queue.submit(job("j1", Status.PENDING).submission)

    def submit(form: Mapping[str, Any], name: str) -> JobRecord:
        return queue.submit(check_submission(form, local_mode=False, resolve=resolve, submitted_by=name))

    context = ApiContext(
        board=Board(store),
        queue=queue,
        live=live,
        submit=submit,
        identify=lambda _: Visitor(name="tester", maintainer=True),
        local_mode=False,
        beats=Beats(store, queue, live),
        worker_token=TOKEN,
        hooks=Hooks(submit, secret=SECRET, watched=["*"], benchmarks=["math_500"]),
    )
    with served(build_root(context)) as root:
        yield root


def resolve(model: str, revision: str | None) -> ResolvedModel:
    return ResolvedModel(model=model, source=model, revision=revision, commit=COMMIT)


CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not allowed"])
def test_every_answer_is_documented_and_none_is_our_fault(url: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{url}{PREFIX}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:
        if mode is GenerationMode.POSITIVE or operation.query or operation.path_parameters or operation.body:
            _ask(operation, mode)


def _ask(operation: Any, mode: GenerationMode) -> None:
    """Send an operation requests of one kind, and look at each answer."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HEADERS, checks=CHECKS)

    ask()
