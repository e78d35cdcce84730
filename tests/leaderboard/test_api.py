"""The REST API over a real socket: what it answers, how it says no, and that it sends nothing twice."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from leaderboard.api.application import PREFIX, build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.contracts import LiveState
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import ResolvedModel, check_submission
from leaderboard.types import Failure, JobRecord, Status
from leaderboard.visitors import Visitor
from tests.leaderboard.measurements import measurement
from tests.leaderboard.page_content import COMMIT, MemoryLive, MemoryQueue, job, measured, publish
from tests.site import served


@dataclass(frozen=True, kw_only=True)
class Api:
    """A running API, what is behind it, and a client."""

    http: httpx.Client
    store: SqliteStore
    queue: MemoryQueue
    live: MemoryLive
    keys: tuple[str, ...]

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    store = SqliteStore(tmp_path / "store.db")
    keys = (
        publish(store, measured()),
        publish(store, measured(model="open-r1/other", correct_problems=2)),
        publish(store, measurement([1, 2, 3], bench="gpqa_diamond", attempts=8, model="open-r1/gpqa")),
    )
    queue, live = MemoryQueue([job("j1", Status.PENDING), job("j2", Status.FINISHED, results=(keys[0],))]), MemoryLive()

    def submit(form: Mapping[str, Any], submitted_by: str) -> JobRecord:
        return queue.submit(check_submission(form, local_mode=False, resolve=resolve, submitted_by=submitted_by))

    def identify(request: Any) -> Visitor | None:
        name = request.headers.get("x-test-user")
        return Visitor(name=name, maintainer=name == "boss") if name else None

    context = ApiContext(board=Board(store), queue=queue, live=live, submit=submit, identify=identify, local_mode=False)
    with served(build_root(context)) as url, httpx.Client(base_url=url + PREFIX) as http:
        yield Api(http=http, store=store, queue=queue, live=live, keys=keys)


def resolve(model: str, revision: str | None) -> ResolvedModel:
    return ResolvedModel(model=model, source=model, revision=revision, commit=COMMIT)


def test_the_leaderboard_says_what_the_result_says(api: Api) -> None:
    rows = api.get("/leaderboard", benchmark="math_500", exact=True)
    assert [row["model"] for row in rows] == ["open-r1/OpenR1-Distill-7B", "open-r1/other"]
    result = api.get(f"/results/{api.keys[0]}")
    assert rows[0]["score"] == result["statistics"]["score"]
    assert [rows[0]["ci95_low"], rows[0]["ci95_high"]] == result["statistics"]["ci95"]
    rounded = api.get("/leaderboard", benchmark="math_500")
    assert rounded[0]["score"] == round(rows[0]["score"], 3)
    columns = api.get("/leaderboard/columns", benchmark="math_500")
    assert [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] == rounded


@pytest.mark.parametrize("path", ["/leaderboard", "/results/table", "/submissions/table"])
def test_every_table_comes_as_json_csv_and_parquet_with_equal_contents(api: Api, path: str) -> None:
    rows = api.get(path, exact=True) if path == "/leaderboard" else api.get(path)
    csv_answer = api.http.get(path, params={"format": "csv", "exact": True})
    parquet_answer = api.http.get(path, params={"format": "parquet"})
    table = pd.read_parquet(io.BytesIO(parquet_answer.content))
    names = [row["model"] for row in rows]
    assert [row["model"] for row in csv.DictReader(io.StringIO(csv_answer.text))] == names
    assert list(table["model"]) == names
    assert "attachment" in csv_answer.headers["content-disposition"]
    if "score" in rows[0]:
        assert list(table["score"]) == [row["score"] for row in rows]


def test_a_repeated_request_gets_304_until_something_is_published(api: Api) -> None:
    first = api.http.get("/leaderboard")
    again = api.http.get("/leaderboard", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    publish(api.store, measured(model="open-r1/third"))
    after = api.http.get("/leaderboard", headers={"If-None-Match": first.headers["etag"]})
    assert after.status_code == 200
    assert len(after.json()) == len(first.json()) + 1


def test_a_commit_that_publishes_nothing_keeps_the_prepared_answer(api: Api) -> None:
    first = api.http.get("/leaderboard").headers["etag"]
    api.store.commit({"requests/a/b/c.json": b"{}"}, parent=api.store.version(), message="a beat")
    assert api.http.get("/leaderboard", headers={"If-None-Match": first}).status_code == 304


@pytest.mark.parametrize(
    ("accepted", "sent"), [("gzip", "gzip"), ("br", "br"), ("identity", None), ("gzip;q=0", None), ("*", "br")]
)
def test_answers_are_compressed_as_the_client_wants_them(api: Api, accepted: str, sent: str | None) -> None:
    with api.http.stream("GET", "/leaderboard", headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == sent
    assert answer.headers["vary"] == "Accept-Encoding"
    if sent == "gzip":
        assert json.loads(gzip.decompress(raw)) == api.get("/leaderboard")


def test_results_come_page_by_page_and_are_filtered(api: Api) -> None:
    seen, at = [], 0
    while at is not None:
        page = api.get("/results", limit=2, offset=at)
        seen += [row["plan_key"] for row in page["items"]]
        at = page["next"]
    assert sorted(seen) == sorted(api.keys)
    assert api.get("/results", model="open-r1/other")["total"] == 1
    assert api.get("/results", benchmark="gpqa_diamond")["items"][0]["plan_key"] == api.keys[2]


def test_attempts_come_page_by_page_in_order(api: Api) -> None:
    seen, at = [], 0
    while at is not None:
        page = api.get(f"/results/{api.keys[0]}/attempts", limit=5, offset=at)
        seen += [(row["problem_id"], row["attempt"]) for row in page["items"]]
        at = page["next"]
    assert seen == [(f"p{i}", j) for i in range(6) for j in range(3)]
    one = api.get(f"/results/{api.keys[0]}/attempts", problem="p4")
    assert [row["problem_id"] for row in one["items"]] == ["p4"] * 3
    problems = api.get(f"/results/{api.keys[0]}/problems")
    assert [row["problem_id"] for row in problems] == [f"p{i}" for i in range(6)]


def test_no_text_of_gpqa_leaves_in_any_form(api: Api) -> None:
    key = api.keys[2]
    for path in ("attempts", "problems", "attempts/file"):
        for kind in ("json", "csv", "parquet"):
            body = api.http.get(f"/results/{key}/{path}", params={"format": kind}).content
            assert b"secret question" not in body
    shown = api.get(f"/results/{key}/attempts")["items"]
    assert (
        {row["text"] for row in shown} == {row["target"] for row in shown} == {row["prompt"] for row in shown} == {None}
    )
    assert all(len(row["text_sha256"]) == 64 for row in shown)


def test_two_results_are_compared(api: Api) -> None:
    compared = api.get("/compare", a=api.keys[0], b=api.keys[1])
    assert compared["a"]["plan_key"] == api.keys[0]
    assert compared["difference"] == pytest.approx(compared["a"]["score"] - compared["b"]["score"])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/results/0123456789abcdef", 404, "result_not_found"),
        ("/results/no-key", 422, "invalid_request"),
        ("/leaderboard?benchmark=none", 422, "invalid_request"),
        ("/results?limit=100000", 422, "invalid_request"),
        ("/submissions/nothing", 404, "job_not_found"),
        ("/nowhere", 404, "not_found"),
    ],
)
def test_errors_are_problem_details_that_say_what_to_do(api: Api, path: str, status: int, code: str) -> None:
    answer = api.http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["detail"]


def test_another_method_is_refused_with_those_that_are_allowed(api: Api) -> None:
    answer = api.http.delete("/leaderboard")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_submitting_needs_a_session_and_takes_the_name_from_it(api: Api) -> None:
    form = {"model": "open-r1/new", "benchmarks": ["math_500"]}
    assert api.http.post("/submissions", json=form).status_code == 401
    assert api.http.post("/submissions", json=form | {"submitted_by": "eve"}).status_code == 422
    made = api.http.post("/submissions", json=form, headers={"x-test-user": "alice"})
    assert made.status_code == 201, made.text
    assert made.json()["submitted_by"] == "alice"
    assert api.http.get(made.headers["location"]).json() == made.json()


def test_a_form_sent_as_plain_text_is_refused(api: Api) -> None:
    body = json.dumps({"model": "open-r1/new", "benchmarks": ["math_500"]})
    headers = {"x-test-user": "alice", "content-type": "text/plain"}
    assert api.http.post("/submissions", content=body, headers=headers).status_code == 422


def test_only_the_submitter_and_maintainers_act_on_a_job(api: Api) -> None:
    assert api.http.post("/submissions/j1/cancel").status_code == 401
    assert api.http.post("/submissions/j1/cancel", headers={"x-test-user": "eve"}).status_code == 403
    assert api.http.post("/submissions/j1/cancel", headers={"x-test-user": "boss"}).json()["status"] == "CANCELLED"


def test_a_failed_jobs_log_can_be_read(api: Api) -> None:
    failure = Failure(code="engine_failed", reason="died", log_tail="one\ntwo")
    api.queue.records["j3"] = job("j3", Status.FAILED, failure=failure)
    assert api.get("/submissions/j3/log")["lines"] == ["one", "two"]


def test_progress_is_streamed_until_the_job_ends(api: Api) -> None:
    api.queue.records["j4"] = job("j4", Status.RUNNING, worker="w")
    api.live.publish(LiveState(job_id="j4", updated_at="2026-01-01T00:00:00+00:00", phase="running"))
    events: list[dict[str, Any]] = []
    with api.http.stream("GET", "/submissions/j4/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if not line.startswith("data: "):
                continue
            events.append(json.loads(line.removeprefix("data: ")))
            if len(events) == 1:
                api.live.publish(LiveState(job_id="j4", updated_at="2026-01-01T00:00:01+00:00", phase="grading"))
            elif len(events) == 2:
                api.queue.records["j4"] = job("j4", Status.FINISHED)
    assert [event["status"] for event in events] == ["RUNNING", "RUNNING", "FINISHED"]
    assert [event["live"] and event["live"]["phase"] for event in events] == ["running", "grading", None]
