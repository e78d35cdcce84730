"""Hands checkpoints on and tells the parent how far a training is, what it looks like, and what is wrong with it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from backend_jobs.training.alarms import Watch
from backend_jobs.training.checkpoints import hand_on, handed_on
from backend_jobs.training.events import CheckpointReady, Note, Sample, Sampled, Stepped, TrainEvent, to_line
from backend_jobs.training.job import TrainingJob
from backend_jobs.training.machine import Machine, code_version
from backend_jobs.training.merging import merged_folder
from evaluator.types import Lineage

CLOCK_FILE = "clock.json"
METRICS = {
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "groups_without_spread",
    "completions/mean_length": "completion_tokens",
    "completions/clipped_ratio": "truncated",
    "clip_ratio/region_mean": "clipped_ratio",
    "kl": "kl",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
    "mean_token_accuracy": "token_accuracy",
    "step_time": "step_s",
}
"""TRL's names of what is watched, and ours. `truncated` is the share of answers that the limit cut off."""


class Follower(TrainerCallback):  # type: ignore[misc]  # TRL's environment is not the type checker's
    """The trainer's callback. Only the first of several processes writes anything."""

    samples: Callable[[], Sequence[Sample]] | None = None
    samples_every = 0

    def __init__(self, job: TrainingJob, events: TextIO, machine: Machine) -> None:
        self._job, self._events, self._machine = job, events, machine
        self._code = code_version()
        self._writes = os.environ.get("RANK", "0") == "0"
        self._began, self._began_at_step, self._seconds_before = time.monotonic(), 0, 0.0
        self._watch = Watch()

    def tell(self, event: TrainEvent) -> None:
        """One line, at once."""
        if self._writes:
            self._events.write(to_line(event))

    def say(self, message: str) -> None:
        """One line for people."""
        self.tell(Note(step=0, message=message))

    def seconds(self) -> float:
        """Since the first step of this process."""
        return time.monotonic() - self._began

    def resume(self, trained: Sequence[Path]) -> None:
        """Hand on what an earlier process could not, and tell of every checkpoint there is."""
        if trained:
            self._seconds_before = _clock(trained[-1])
        for folder in trained:
            self._hand_on(folder, _clock(folder))
        for lineage, folder in handed_on(self._job.models):
            self.tell(CheckpointReady(step=lineage.step, tokens=lineage.tokens or 0, path=folder))

    def on_train_begin(self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """The clock for the estimate starts at the step that training resumes from."""
        self._began, self._began_at_step = time.monotonic(), state.global_step

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Progress; the trainer's last log, a summary without a loss, is left out."""
        if logs is None or "loss" not in logs:
            return
        seconds_a_step = self.seconds() / max(1, state.global_step - self._began_at_step)
        metrics = watched(logs)
        self.tell(
            Stepped(
                step=state.global_step,
                steps=state.max_steps,
                loss=float(logs["loss"]),
                learning_rate=float(logs["learning_rate"]),
                tokens=int(state.num_input_tokens_seen),
                eta_s=seconds_a_step * (state.max_steps - state.global_step),
                hours=self._hours(self.seconds()),
                metrics=metrics,
            )
        )
        for alarm in self._watch.look(state.global_step, metrics):
            self.tell(alarm)
        if self.samples is not None and _due(state.global_step, self.samples_every):
            self.tell(Sampled(step=state.global_step, samples=tuple(self.samples())))

    def on_save(self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """The trainer has just written a checkpoint."""
        if not self._writes:
            return
        trained = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        seconds = self._seconds_before + self.seconds()
        (trained / CLOCK_FILE).write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
        lineage, folder = self._hand_on(trained, seconds)
        self.tell(CheckpointReady(step=lineage.step, tokens=lineage.tokens or 0, path=folder))

    def _hand_on(self, trained: Path, seconds: float) -> tuple[Lineage, Path]:
        job = self._job
        return hand_on(
            trained,
            job.models,
            weights=merged_folder(trained, job.begins) if job.recipe.lora else trained,
            origin=Lineage(
                run=job.recipe.run,
                step=0,
                recipe_hash=job.recipe_hash,
                parent=job.parent,
                data=job.data or None,
                code=self._code,
                device=self._machine.name,
                hours=round(self._in_hours(seconds), 6),
                method=job.recipe.kind,
            ),
        )

    def _hours(self, seconds: float) -> float:
        return self._in_hours(self._seconds_before + seconds)

    def _in_hours(self, seconds: float) -> float:
        """Of all processes together: GPU hours on GPUs."""
        return seconds / 3600 * int(os.environ.get("WORLD_SIZE", "1"))


def watched(logs: Mapping[str, Any]) -> dict[str, float]:
    """What of TRL's log is shown, under our names; each reward's mean as `reward/<name>`."""
    found = {}
    for theirs, value in logs.items():
        ours = METRICS.get(theirs)
        if theirs.startswith("rewards/") and theirs.endswith("/mean"):
            ours = f"reward/{theirs.split('/')[1]}"
        if ours is not None and isinstance(value, int | float) and math.isfinite(value):
            found[ours] = float(value)
    return found


def _due(step: int, every: int) -> bool:
    return every > 0 and (step == 1 or step % every == 0)


def _clock(trained: Path) -> float:
    """Seconds of training behind a trainer's checkpoint; 0 where a crash came before they were noted."""
    try:
        return float(json.loads((trained / CLOCK_FILE).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError):
        return 0.0
