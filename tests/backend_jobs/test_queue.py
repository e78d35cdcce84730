"""The queue: what each move does, who may make it, and what never happens."""

from __future__ import annotations

import ast
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend_jobs import queue as queue_module
from backend_jobs.queue import MOST_LOST, MOVES, StoreQueue
from backend_jobs.records import read_record, record_bytes, record_name
from backend_jobs.types import JobCancelled, JobNotFound, LeaseLost, MoveRefused, RecordUnreadable
from evaluator.errors import Cancelled
from leaderboard.contracts import JobQueue
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import InvalidName, Store, update
from leaderboard.submissions import SubmissionRejected, new_job_id
from leaderboard.types import Failure, JobKind, JobRecord, Status, Submission

LEASE_S = 30.0
FAILURE = Failure(code="engine_failed", reason="no GPU", log_tail="CUDA error")


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def submission(number: int = 0, **fields: object) -> Submission:
    minute = timedelta(minutes=number)
    plain = Submission(
        id=f"job-{number:03d}",
        kind=JobKind.EVALUATE,
        model="open-r1/tiny",
        source="open-r1/tiny",
        commit=f"{number:040x}",
        benchmarks=("math_500",),
        submitted_at=(datetime(2026, 1, 31, 12, tzinfo=UTC) + minute).isoformat(timespec="seconds"),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def queue(store: Store, clock: FakeClock) -> StoreQueue:
    return StoreQueue(store, lease_s=LEASE_S, clock=clock)


@pytest.fixture
def other(store: Store, clock: FakeClock) -> StoreQueue:
    """The same jobs, as another process sees them."""
    return StoreQueue(store, lease_s=LEASE_S, clock=clock)


def claimed(queue: StoreQueue, worker: str = "alice") -> JobRecord:
    record = queue.claim(worker)
    assert record is not None
    return record


def lose(queue: StoreQueue, clock: FakeClock, worker: str = "bob") -> JobRecord | None:
    """Watch for a whole lease, then ask for a job."""
    assert queue.claim(worker) is None
    clock.seconds += LEASE_S
    return queue.claim(worker)


def test_queue_is_what_the_page_expects(queue: StoreQueue) -> None:
    as_page_sees_it: JobQueue = queue
    assert as_page_sees_it.jobs() == []


def test_submitted_job_is_pending_and_is_listed_newest_first(queue: StoreQueue, other: StoreQueue) -> None:
    for number in (1, 0, 2):
        assert queue.submit(submission(number)).status is Status.PENDING
    assert [job.submission.id for job in other.jobs()] == ["job-002", "job-001", "job-000"]
    assert other.find("job-001") == JobRecord(submission=submission(1))


def test_record_is_a_readable_file_named_after_model_and_job(queue: StoreQueue, store: Store) -> None:
    queue.submit(submission(7))
    content = store.snapshot().read("requests/open-r1/tiny/job-007.json")
    fields = json.loads(content)
    assert list(fields) == sorted(fields)
    assert (fields["status"], fields["submission"]["benchmarks"]) == ("PENDING", ["math_500"])


def test_oldest_job_is_claimed_first(queue: StoreQueue, other: StoreQueue) -> None:
    for number in (3, 1, 2):
        queue.submit(submission(number))
    assert claimed(queue).submission.id == "job-001"
    assert claimed(other, "bob").submission.id == "job-002"


def test_claim_says_who_runs_the_job_and_since_when(store: Store, clock: FakeClock) -> None:
    queue = StoreQueue(store, clock=clock, now=lambda: datetime(2026, 2, 1, 8, tzinfo=UTC))
    queue.submit(submission())
    record = claimed(queue)
    assert record == queue.find("job-000")
    assert (record.status, record.worker, record.attempt, record.lost) == (Status.RUNNING, "alice", 1, 0)
    assert record.started_at == "2026-02-01T08:00:00+00:00"


def test_claim_takes_only_the_kinds_that_the_worker_can_run(queue: StoreQueue) -> None:
    queue.submit(submission(0, kind=JobKind.TRAIN, model="local/run", recipe="r.yaml"))
    queue.submit(submission(1))
    record = queue.claim("alice", kinds=(JobKind.EVALUATE,))
    assert record is not None
    assert record.submission.id == "job-001"
    assert queue.claim("alice", kinds=(JobKind.EVALUATE,)) is None


def test_nothing_to_claim_commits_nothing(queue: StoreQueue, store: Store) -> None:
    before = store.snapshot().version
    assert queue.claim("alice") is None
    assert store.snapshot().version == before


def test_finish_publishes_status_and_files_in_one_commit(queue: StoreQueue, store: Store) -> None:
    queue.submit(submission())
    record = claimed(queue)
    before = store.snapshot().version
    files = {"results/open-r1/tiny/k.json": b"{}", "attempts/g.parquet": b"rows"}
    done = queue.finish("job-000", record.attempt, results=("k",), changes=files)
    assert (done.status, done.results, queue.find("job-000")) == (Status.FINISHED, ("k",), done)
    assert done.ended_at is not None
    snapshot = store.snapshot()
    assert {name: snapshot.read(name) for name in files} == files
    with pytest.raises(LeaseLost):
        queue.finish("job-000", record.attempt, results=("k",), changes=files)
    assert store.snapshot().version == snapshot.version != before


def test_result_files_may_not_write_into_the_queue(queue: StoreQueue) -> None:
    queue.submit(submission())
    record = claimed(queue)
    with pytest.raises(InvalidName, match="the queue's own records"):
        queue.finish("job-000", record.attempt, results=(), changes={"requests/open-r1/tiny/job-001.json": b"{}"})
    assert queue.find("job-000").status is Status.RUNNING


def test_failed_job_keeps_code_reason_and_log(queue: StoreQueue, other: StoreQueue) -> None:
    queue.submit(submission())
    queue.fail("job-000", claimed(queue).attempt, FAILURE)
    record = other.find("job-000")
    assert (record.status, record.failure) == (Status.FAILED, FAILURE)


def test_retried_job_starts_anew_with_a_higher_attempt(queue: StoreQueue) -> None:
    queue.submit(submission())
    queue.fail("job-000", claimed(queue).attempt, FAILURE)
    waiting = queue.retry("job-000")
    assert (waiting.status, waiting.failure, waiting.worker, waiting.ended_at) == (Status.PENDING, None, None, None)
    assert claimed(queue).attempt == 2


def test_released_job_waits_again_and_counts_as_no_loss(queue: StoreQueue) -> None:
    queue.submit(submission())
    queue.release("job-000", claimed(queue).attempt)
    record = claimed(queue, "bob")
    assert (record.worker, record.attempt, record.lost) == ("bob", 2, 0)


def test_cancelled_job_stops_its_worker_and_refuses_its_writes(queue: StoreQueue, other: StoreQueue) -> None:
    queue.submit(submission())
    attempt = claimed(queue).attempt
    other.cancel("job-000")
    writes = (
        lambda: queue.beat("job-000", attempt),
        lambda: queue.finish("job-000", attempt, results=(), changes={"results/a/b/c.json": b""}),
        lambda: queue.fail("job-000", attempt, FAILURE),
        lambda: queue.release("job-000", attempt),
    )
    for write in writes:
        with pytest.raises(JobCancelled, match="was cancelled"):
            write()
    assert issubclass(JobCancelled, Cancelled)
    assert queue.find("job-000").status is Status.CANCELLED


def test_pending_job_can_be_cancelled_and_is_never_claimed(queue: StoreQueue) -> None:
    queue.submit(submission())
    queue.cancel("job-000")
    assert queue.claim("alice") is None


def reach(queue: StoreQueue, status: Status) -> str:
    """A job that has reached a status."""
    job_id = queue.submit(submission()).submission.id
    if status is Status.PENDING:
        return job_id
    if status is Status.CANCELLED:
        return queue.cancel(job_id).submission.id
    attempt = claimed(queue).attempt
    if status is Status.FINISHED:
        queue.finish(job_id, attempt, results=(), changes={})
    if status is Status.FAILED:
        queue.fail(job_id, attempt, FAILURE)
    return job_id


@pytest.mark.parametrize("status", Status)
def test_people_can_make_exactly_the_moves_of_the_table(queue: StoreQueue, status: Status) -> None:
    job_id = reach(queue, status)
    if Status.CANCELLED not in MOVES[status]:
        with pytest.raises(MoveRefused, match=f"job {job_id} is {status}, and from there can become"):
            queue.cancel(job_id)
    if status is not Status.FAILED:
        with pytest.raises(MoveRefused, match="only a FAILED job can be tried again"):
            queue.retry(job_id)
    assert queue.find(job_id).status is status


def test_one_function_writes_status() -> None:
    tree = ast.parse(Path(queue_module.__file__).read_text(encoding="utf-8"))
    writers = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.keyword) and node.arg == "status"
    ]
    assert writers == ["_move"]
    assert set(MOVES) == set(Status)


def test_lease_is_over_after_a_whole_lease_without_a_beat(
    queue: StoreQueue, other: StoreQueue, clock: FakeClock
) -> None:
    queue.submit(submission())
    first = claimed(queue)
    assert other.claim("bob") is None
    clock.seconds += LEASE_S - 0.01
    assert other.claim("bob") is None
    clock.seconds += 0.01
    second = claimed(other, "bob")
    assert (second.worker, second.attempt, second.lost) == ("bob", first.attempt + 1, 1)


def test_beat_begins_the_lease_anew(queue: StoreQueue, other: StoreQueue, clock: FakeClock) -> None:
    queue.submit(submission())
    attempt = claimed(queue).attempt
    for _ in range(10):
        assert other.claim("bob") is None
        clock.seconds += LEASE_S * 0.9
        queue.beat("job-000", attempt)
    assert other.claim("bob") is None


def test_observer_that_just_started_waits_a_whole_lease_whatever_the_record_says(
    queue: StoreQueue, other: StoreQueue, clock: FakeClock
) -> None:
    queue.submit(submission())
    claimed(queue)
    clock.seconds += 1_000_000
    assert other.claim("bob") is None


def test_observer_that_slept_through_beats_takes_nothing(
    queue: StoreQueue, other: StoreQueue, clock: FakeClock
) -> None:
    queue.submit(submission())
    attempt = claimed(queue).attempt
    assert other.claim("bob") is None
    clock.seconds += 10 * LEASE_S
    queue.beat("job-000", attempt)
    assert other.claim("bob") is None


def test_worker_that_comes_back_goes_on_while_nobody_took_its_job(queue: StoreQueue, clock: FakeClock) -> None:
    queue.submit(submission())
    attempt = claimed(queue).attempt
    clock.seconds += 100 * LEASE_S
    assert queue.beat("job-000", attempt).beat == 1
    assert queue.finish("job-000", attempt, results=("k",), changes={}).status is Status.FINISHED


def test_worker_whose_job_was_taken_over_writes_nothing_more(
    queue: StoreQueue, other: StoreQueue, store: Store, clock: FakeClock
) -> None:
    queue.submit(submission())
    attempt = claimed(queue).attempt
    assert lose(other, clock) is not None
    version = store.snapshot().version
    writes = (
        lambda: queue.beat("job-000", attempt),
        lambda: queue.finish("job-000", attempt, results=("k",), changes={"results/a/b/c.json": b""}),
        lambda: queue.fail("job-000", attempt, FAILURE),
        lambda: queue.release("job-000", attempt),
    )
    for write in writes:
        with pytest.raises(LeaseLost, match="attempt 1 no longer holds job job-000"):
            write()
    assert store.snapshot().version == version


def test_job_that_loses_every_worker_fails_and_says_so(queue: StoreQueue, clock: FakeClock) -> None:
    queue.submit(submission())
    claimed(queue)
    for _ in range(MOST_LOST):
        assert lose(queue, clock) is not None
    assert lose(queue, clock) is None
    record = queue.find("job-000")
    assert (record.status, record.attempt, record.lost) == (Status.FAILED, MOST_LOST + 1, MOST_LOST + 1)
    assert record.failure is not None
    assert record.failure.code == "worker_lost"
    assert "3 workers vanished" in record.failure.reason


def test_job_that_loses_every_worker_does_not_hold_up_the_next_one(queue: StoreQueue, clock: FakeClock) -> None:
    queue.submit(submission(0))
    claimed(queue)
    for _ in range(MOST_LOST):
        lose(queue, clock)
    assert queue.claim("bob") is None
    queue.submit(submission(1))
    clock.seconds += LEASE_S
    assert claimed(queue, "bob").submission.id == "job-001"
    assert queue.find("job-000").status is Status.FAILED


def test_retry_forgives_lost_workers(queue: StoreQueue, clock: FakeClock) -> None:
    queue.submit(submission())
    claimed(queue)
    for _ in range(MOST_LOST + 1):
        lose(queue, clock)
    assert queue.retry("job-000").lost == 0
    assert claimed(queue).attempt == MOST_LOST + 2


SAME_WORK = [
    {},
    {"benchmarks": ("aime_2024", "math_500")},
    {"note": "another note", "submitted_by": "bob", "tensor_parallel_size": 2},
]


@pytest.mark.parametrize("change", SAME_WORK)
def test_same_work_is_refused_while_it_waits_or_runs(queue: StoreQueue, change: dict[str, object]) -> None:
    fields: dict[str, object] = {"benchmarks": ("math_500", "aime_2024"), "commit": "c" * 40}
    queue.submit(submission(0, **fields))
    again = submission(1, **(fields | change))
    with pytest.raises(SubmissionRejected, match="already pending with the same work as job job-000"):
        queue.submit(again)
    attempt = claimed(queue).attempt
    with pytest.raises(SubmissionRejected, match="already running with the same work as job job-000"):
        queue.submit(again)
    queue.finish("job-000", attempt, results=(), changes={})
    assert queue.submit(again).status is Status.PENDING


OTHER_WORK = [
    {"model": "open-r1/other"},
    {"commit": "d" * 40},
    {"benchmarks": ("math_500",)},
    {"attempts": 8},
    {"max_tokens": 1024},
]


@pytest.mark.parametrize("change", OTHER_WORK)
def test_other_work_on_the_same_model_is_accepted(queue: StoreQueue, change: dict[str, object]) -> None:
    fields: dict[str, object] = {"benchmarks": ("math_500", "aime_2024"), "commit": "c" * 40}
    queue.submit(submission(0, **fields))
    queue.submit(submission(1, **(fields | change)))
    assert len(queue.jobs()) == 2


def test_training_of_one_run_is_refused_while_the_run_is_active(queue: StoreQueue) -> None:
    training = {"kind": JobKind.TRAIN, "model": "local/demo", "recipe": "a.yaml"}
    queue.submit(submission(0, **training))
    with pytest.raises(SubmissionRejected, match="job-000"):
        queue.submit(submission(1, **training))


def test_failed_job_is_not_retried_beside_its_double(queue: StoreQueue) -> None:
    queue.submit(submission(0, commit="c" * 40))
    queue.fail("job-000", claimed(queue).attempt, FAILURE)
    queue.submit(submission(1, commit="c" * 40))
    with pytest.raises(SubmissionRejected, match="job-001"):
        queue.retry("job-000")
    assert queue.find("job-000").status is Status.FAILED


def test_id_is_used_once(queue: StoreQueue) -> None:
    queue.submit(submission(0))
    with pytest.raises(SubmissionRejected, match="job-000 already exists"):
        queue.submit(submission(0, commit="d" * 40))


@pytest.mark.parametrize("job_id", ["nobody", "", "open-r1/tiny/job-000", "../job-000", "job-000.json"])
def test_unknown_job_is_not_found(queue: StoreQueue, job_id: str) -> None:
    queue.submit(submission(0))
    with pytest.raises(JobNotFound, match="no job has the id"):
        queue.find(job_id)


@pytest.mark.parametrize(
    "model",
    ["", "tiny", "/tiny", "open-r1/", "open-r1/..", "../tiny", "a/b/c", "open-r1/ti\0ny", "open-r1/a\\b", "./x"],
)
def test_model_that_could_leave_its_folder_is_refused(queue: StoreQueue, store: Store, model: str) -> None:
    with pytest.raises(InvalidName):
        queue.submit(submission(0, model=model))
    assert store.snapshot().names == ()


@pytest.mark.parametrize("job_id", ["", "a/b", "..", "a.json", "a b", "-a", "a" * 65])
def test_id_that_is_no_plain_name_is_refused(queue: StoreQueue, job_id: str) -> None:
    with pytest.raises(InvalidName, match="an id of letters"):
        queue.submit(submission(0, id=job_id))


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    start = datetime(2026, 1, 31, 23, 59, 59, 998_000, tzinfo=UTC)
    ids = [new_job_id(start + timedelta(milliseconds=number)) for number in range(5)]
    assert ids == sorted(ids)
    assert re.fullmatch(r"20260131-235959-998-[0-9a-f]{8}", ids[0])
    assert len({new_job_id(start) for _ in range(1000)}) == 1000


DAMAGES = [
    (b"", "Invalid JSON"),
    (b"[]", "the file"),
    (b"\xff", "Invalid JSON"),
    ({"status": "ASLEEP"}, "status: Input should be 'PENDING'"),
    ({"attempt": "2"}, "attempt: Input should be a valid integer"),
    ({"colour": "red"}, "colour: Unexpected keyword argument"),
    ({"submission": None}, "submission: "),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damaged_record_says_what_is_wrong_and_hides_no_other(
    queue: StoreQueue, store: Store, caplog: pytest.LogCaptureFixture, damage: bytes | dict[str, object], message: str
) -> None:
    damaged = record_name(submission(0))
    whole = json.loads(record_bytes(JobRecord(submission=submission(0))))
    content = damage if isinstance(damage, bytes) else json.dumps(whole | damage).encode()
    update(store, lambda _: {damaged: content}, message="damage")
    queue.submit(submission(1))
    with caplog.at_level(logging.ERROR):
        assert [job.submission.id for job in queue.jobs()] == ["job-001"]
        assert claimed(queue).submission.id == "job-001"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert message in caplog.text
    with pytest.raises(RecordUnreadable, match=re.escape(damaged)):
        queue.find("job-000")


def test_record_at_the_wrong_place_is_unreadable() -> None:
    content = record_bytes(JobRecord(submission=submission(0)))
    with pytest.raises(RecordUnreadable, match="its content belongs at requests/open-r1/tiny/job-000"):
        read_record("requests/open-r1/other/job-000.json", content)


def test_every_field_of_a_record_survives_its_file() -> None:
    record = JobRecord(
        submission=submission(
            3, revision="main", attempts=8, max_tokens=1024, tensor_parallel_size=2, recipe="r.yaml", note="Ω\n\ud7ff"
        ),
        status=Status.FAILED,
        worker="host:1",
        attempt=3,
        beat=17,
        lost=2,
        started_at="2026-01-31T12:00:00+00:00",
        ended_at="2026-01-31T13:00:00+00:00",
        failure=FAILURE,
        results=("a", "b"),
    )
    assert read_record(record_name(record.submission), record_bytes(record)) == record


def test_record_of_an_earlier_version_reads_with_defaults() -> None:
    few = {"id": "job-000", "kind": "train", "model": "local/x", "submitted_at": "2026-01-31T12:00:00+00:00"}
    record = read_record("requests/local/x/job-000.json", json.dumps({"submission": few}).encode())
    assert (record.status, record.submission.kind) == (Status.PENDING, JobKind.TRAIN)
