"""Alarms, and what a run told of itself read back for the page."""

from __future__ import annotations

from pathlib import Path

from backend_jobs.run_log import FileTrainingLog
from backend_jobs.training.alarms import WINDOW, Watch
from backend_jobs.training.events import Alarm, Finished, Note, Sample, Sampled, Started, Stepped, TrainEvent, to_line

SAMPLE = Sample(prompt="p", completion="c", gold="7", tokens=3, truncated=False, rewards={"accuracy": 1.0})


def alarms(metrics: list[dict[str, float]]) -> list[tuple[int, str]]:
    watch = Watch()
    return [(alarm.step, alarm.name) for step, told in enumerate(metrics, 1) for alarm in watch.look(step, told)]


def test_a_reward_that_stays_at_zero_sounds_once() -> None:
    assert alarms([{"reward": 0.0}] * (2 * WINDOW)) == [(WINDOW, "reward_flat")]
    assert alarms([{"reward": 0.0}] * (WINDOW - 1) + [{"reward": 0.1}] + [{"reward": 0.0}] * (WINDOW - 1)) == []


def test_answers_that_collapse_sound() -> None:
    long, short = [{"completion_tokens": 400.0}] * WINDOW, [{"completion_tokens": 50.0}] * 5
    assert alarms(long + short) == [(WINDOW + 3, "length_collapse")]
    assert alarms(long + [{"completion_tokens": 150.0}] * 20) == []


def test_truncation_over_a_fifth_sounds_and_again_after_it_was_over() -> None:
    bad, good = [{"truncated": 0.3}] * 5, [{"truncated": 0.0}] * 5
    assert [name for _, name in alarms(bad + good + bad)] == ["truncation", "truncation"]
    assert alarms([{"truncated": 0.2}] * 20) == []


def step(number: int, loss: float) -> Stepped:
    return Stepped(
        step=number, steps=4, loss=loss, learning_rate=0.1, tokens=10 * number, eta_s=1.0, metrics={"kl": 0.1}
    )


def started(at: int) -> Started:
    return Started(steps=4, resumed_at=at, parameters=1, examples=1, notes=("trains in float32",))


def write(folder: Path, number: int, events: list[TrainEvent], *, torn: str = "") -> None:
    starts = folder / "run" / "starts"
    starts.mkdir(parents=True, exist_ok=True)
    (starts / f"{number:03d}.jsonl").write_text("".join(map(to_line, events)) + torn, encoding="utf-8")


def test_a_resumed_runs_steps_take_the_place_of_those_it_did_again(tmp_path: Path) -> None:
    write(tmp_path, 1, [started(0), step(1, 4.0), step(2, 3.0), step(3, 2.5), Sampled(step=3, samples=(SAMPLE,))])
    write(
        tmp_path, 2, [started(2), step(3, 2.0), Alarm(step=3, name="truncation", message="cut")], torn='{"event": "st'
    )
    log = FileTrainingLog(tmp_path)
    assert list(log.runs()) == ["run"]
    told = log.read("run")
    assert told is not None
    assert [(s.step, s.loss) for s in told.steps] == [(1, 4.0), (2, 3.0), (3, 2.0)]
    assert (told.samples, told.alarms, told.notes) == ((), ((3, "cut"),), ("trains in float32",))
    assert not told.finished
    write(tmp_path, 2, [started(2), step(3, 2.0), step(4, 1.0), Finished(steps=4, tokens=40, wall_seconds=1.0)])
    told = log.read("run")
    assert told is not None
    assert told.finished
    assert len(told.steps) == 4


def test_a_line_of_another_version_is_counted_and_the_rest_is_shown(tmp_path: Path) -> None:
    write(tmp_path, 1, [started(0), step(1, 4.0)], torn='{"event": "from the future"}\nno json\n')
    told = FileTrainingLog(tmp_path).read("run")
    assert told is not None
    assert len(told.steps) == 1
    assert "2 lines of 001.jsonl could not be read: another version wrote it" in told.notes


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, 1, [Note(step=0, message="hello")])
    log = FileTrainingLog(tmp_path / "none")
    for name in ("../run", "..", "", "none", "run/starts"):
        assert log.read(name) is None
