"""The training process: supervised fine-tuning with TRL, as one recipe says.

Started by `backend_jobs/train.py`; runs alone as
`python -m backend_jobs.training.sft --recipe recipe.json --models DIR --work DIR --events FILE`.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from datasets import Dataset, disable_progress_bars
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTConfig, SFTTrainer

from backend_jobs.recipes import SftRecipe, recipe_hash
from backend_jobs.training.arithmetic_data import training_examples
from backend_jobs.training.checkpoints import complete_checkpoints, hand_on, handed_on
from backend_jobs.training.events import CheckpointReady, Finished, Started, Stepped, TrainEvent, to_line
from backend_jobs.training.tiny_model import tiny_model, tiny_tokenizer
from evaluator.types import Lineage

PROGRESS_EVENTS = 200
KEPT_TO_RESUME = 2
LOCK_WAIT_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until the recipe's last step, continuing from the newest whole checkpoint; returns the exit status."""
    options = _parser().parse_args(arguments)
    recipe = SftRecipe.model_validate_json(json.dumps(json.loads(options.recipe.read_text())["recipe"]))
    with _only_trainer(options.work / "lock"), options.events.open("a", encoding="utf-8", buffering=1) as events:
        train(recipe, models=options.models, output=options.work / "trainer", events=events)
    return 0


def train(recipe: SftRecipe, *, models: Path, output: Path, events: TextIO) -> None:
    """Train, writing the trainer's state under `output`, whole checkpoints under `models`, and one line an event."""
    disable_progress_bars()
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer, seed=recipe.model.seed)
    follower = _Follower(recipe, models, events)
    examples = Dataset.from_list(list(training_examples(seed=recipe.data.seed, size=recipe.data.size)))
    trainer = SFTTrainer(
        model=model,
        args=_trainer_settings(recipe, output),
        train_dataset=examples,
        processing_class=tokenizer,
        callbacks=[follower],
    )
    complete = complete_checkpoints(output)
    resumed_at = int(complete[-1].name.removeprefix("checkpoint-")) if complete else 0
    follower.tell(
        Started(
            steps=recipe.training.steps,
            resumed_at=resumed_at,
            parameters=model.num_parameters(),
            examples=recipe.data.size,
        )
    )
    follower.resume(complete)
    trainer.train(resume_from_checkpoint=str(complete[-1]) if complete else None)
    follower.tell(
        Finished(
            steps=trainer.state.global_step,
            tokens=trainer.state.num_input_tokens_seen,
            wall_seconds=follower.seconds(),
        )
    )


def _trainer_settings(recipe: SftRecipe, output: Path) -> SFTConfig:
    training = recipe.training
    return SFTConfig(
        output_dir=str(output),
        max_steps=training.steps,
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup_steps,
        seed=training.seed,
        save_steps=training.save_every,
        save_total_limit=KEPT_TO_RESUME,
        logging_first_step=True,
        logging_steps=max(1, training.steps // PROGRESS_EVENTS),
        include_num_input_tokens_seen="non_padding",
        # A model this small gains nothing from an accelerator, and so trains the same everywhere.
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
        disable_tqdm=True,
        report_to="none",
    )


class _Follower(TrainerCallback):  # type: ignore[misc]  # TRL's environment is not the type checker's
    """Hands checkpoints on and tells the parent how far the training is."""

    def __init__(self, recipe: SftRecipe, models: Path, events: TextIO) -> None:
        self._recipe = recipe
        self._hash = recipe_hash(recipe)
        self._models = models
        self._events = events
        self._began, self._began_at_step = time.monotonic(), 0

    def tell(self, event: TrainEvent) -> None:
        """One line, at once."""
        self._events.write(to_line(event))

    def seconds(self) -> float:
        """Since the first step of this process."""
        return time.monotonic() - self._began

    def resume(self, trained: Sequence[Path]) -> None:
        """Hand on what an earlier process could not, and tell of every checkpoint there is."""
        for folder in trained:
            self._hand_on(folder)
        for lineage, folder in handed_on(self._models):
            self.tell(CheckpointReady(step=lineage.step, tokens=lineage.tokens or 0, path=folder))

    def _hand_on(self, trained: Path) -> tuple[Lineage, Path]:
        return hand_on(trained, self._models, run=self._recipe.run, recipe_hash=self._hash, parent=None)

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
        self.tell(
            Stepped(
                step=state.global_step,
                steps=state.max_steps,
                loss=float(logs["loss"]),
                learning_rate=float(logs["learning_rate"]),
                tokens=int(state.num_input_tokens_seen),
                eta_s=seconds_a_step * (state.max_steps - state.global_step),
            )
        )

    def on_save(self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """The trainer has just written a checkpoint."""
        lineage, folder = self._hand_on(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self.tell(CheckpointReady(step=lineage.step, tokens=lineage.tokens or 0, path=folder))


@contextmanager
def _only_trainer(lock: Path) -> Iterator[None]:
    """Hold the run's lock; the kernel frees it however this process ends.

    Waits a little: a trainer whose parent was killed needs a moment to end.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as stream:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    sys.exit(f"another process holds {lock}: this run is being trained already (I am {os.getpid()})")
                time.sleep(0.2)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend_jobs.training.sft", description="Train one recipe.")
    parser.add_argument("--recipe", type=Path, required=True, help="the run's recipe.json")
    parser.add_argument("--models", type=Path, required=True, help="where whole checkpoints go")
    parser.add_argument("--work", type=Path, required=True, help="the trainer's own folder")
    parser.add_argument("--events", type=Path, required=True, help="gets one JSON line an event")
    return parser


if __name__ == "__main__":
    sys.exit(main())
