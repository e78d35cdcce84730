"""Live progress: what was published is read back whole, and a damaged file is nothing at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from evaluator.types import Progress
from leaderboard.contracts import LiveState
from leaderboard.live import FileLive
from leaderboard.store import InvalidName

PROGRESS = Progress(phase="asking", done=10, total=40, graded=9, score=22.5, ci95=(10.0, 40.25), tokens_per_s=5e3)
STATE = LiveState(
    job_id="20260131-120501-042-9f3a0c1d",
    updated_at="2026-01-31T12:05:01+00:00",
    phase="running",
    progress={"math_500": PROGRESS, "aime_2024": Progress(phase="waiting")},
    training={"step": 3, "steps": 600, "loss": 0.25, "eta_s": None},
    log_tail="engine is up\nΩ",
)


def test_published_state_is_read_back_by_another_reader(tmp_path: Path) -> None:
    FileLive(tmp_path / "live").publish(STATE)
    read = FileLive(tmp_path / "live").read(STATE.job_id)
    assert read == STATE
    assert list(read.progress) == ["math_500", "aime_2024"]


def test_later_state_replaces_the_earlier_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    live = FileLive(tmp_path)
    live.publish(STATE)
    live.publish(LiveState(job_id=STATE.job_id, updated_at=STATE.updated_at, phase="finished"))
    state = live.read(STATE.job_id)
    assert state is not None
    assert state.phase == "finished"
    assert len(list(tmp_path.iterdir())) == 1


def test_job_without_a_state_reads_as_none(tmp_path: Path) -> None:
    assert FileLive(tmp_path / "missing").read("nobody") is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"job_id": "a"}', b"\xff\xfe", b'{"job_id": 3, "updated_at": "x"}']
)
def test_torn_or_foreign_file_reads_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert FileLive(tmp_path).read("a") is None


@pytest.mark.parametrize("job_id", ["../outside", "a/b", "", "..", "a\0b", "/etc/passwd"])
def test_id_that_could_leave_the_folder_is_refused(tmp_path: Path, job_id: str) -> None:
    live = FileLive(tmp_path / "live")
    with pytest.raises(InvalidName):
        live.publish(LiveState(job_id=job_id, updated_at=STATE.updated_at))
    assert live.read(job_id) is None


def test_folder_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"exists|directory"):
        FileLive(tmp_path / "file").publish(STATE)


def test_reader_never_sees_half_a_state(tmp_path: Path) -> None:
    live = FileLive(tmp_path)
    live.publish(STATE)
    done = threading.Event()

    def keep_publishing() -> None:
        size = 0
        while not done.is_set():
            size = (size + 997) % 20_000
            live.publish(LiveState(job_id=STATE.job_id, updated_at=STATE.updated_at, log_tail="x" * size))

    writers = [threading.Thread(target=keep_publishing) for _ in range(2)]
    for writer in writers:
        writer.start()
    read = [live.read(STATE.job_id) for _ in range(500)]
    done.set()
    for writer in writers:
        writer.join()
    assert None not in read
