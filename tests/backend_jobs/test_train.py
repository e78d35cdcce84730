"""Training as a job: a real TRL run of a few steps, stopped, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from backend_jobs.recipes import Recipe, RecipeRejected, load_recipe, recipe_hash
from backend_jobs.train import TrainingFailed, run_folders, train
from backend_jobs.training import checkpoints
from backend_jobs.training.events import (
    Alarm,
    CheckpointReady,
    Finished,
    Note,
    Sample,
    Sampled,
    Started,
    Stepped,
    TrainEvent,
    from_line,
    to_line,
)
from evaluator.checkpoint import local_checkpoint, read_shape
from evaluator.errors import Cancelled
from evaluator.template import opens_thought, read_template
from evaluator.types import Lineage
from settings import ROOT, Settings, read_settings
from tests.waiting import until

NEVER = threading.Event()
STEPS, SAVE_EVERY = 40, 20
FIRST, LAST = "step-000000020", "step-000000040"


def test_events_survive_the_wire() -> None:
    for event in (
        Started(steps=4, resumed_at=0, parameters=10, examples=3),
        Stepped(step=1, steps=4, loss=0.5, learning_rate=1e-3, tokens=7, eta_s=2.5, hours=0.1, metrics={"reward": 0.5}),
        Sampled(step=1, samples=(_sample(),)),
        Alarm(step=2, name="truncation", message="40 % are cut off"),
        Note(step=0, message="hello"),
        CheckpointReady(step=2, tokens=14, path=Path("/x/step-000000002")),
        Finished(steps=4, tokens=28, wall_seconds=1.5),
    ):
        assert from_line(to_line(event)) == event


def test_a_process_that_cannot_start_fails_with_its_last_lines(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, engine_python="/nowhere/python")
    with pytest.raises(TrainingFailed, match=r"the training of short ended early") as caught:
        train(_short(tmp_path), settings=settings, on_event=_ignore, cancelled=NEVER)
    assert "/nowhere/python" in caught.value.log_tail


def test_a_process_that_fails_leaves_its_exit_status_and_last_lines(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no room on the device >&2\nexit 3\n")
    python.chmod(0o755)
    settings = Settings(data_dir=tmp_path, engine_python=str(python))
    with pytest.raises(TrainingFailed, match=r"ended early \(exit status 3\)") as caught:
        train(_short(tmp_path), settings=settings, on_event=_ignore, cancelled=NEVER)
    assert caught.value.log_tail == "no room on the device"


def test_the_process_gets_no_token_and_no_network(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nenv\nexit 1\n")
    python.chmod(0o755)
    settings = Settings(
        data_dir=tmp_path, engine_python=str(python), hub_token="hf_secret", child_environment=(("PATH", "/bin"),)
    )
    with pytest.raises(TrainingFailed) as caught:
        train(_short(tmp_path), settings=settings, on_event=_ignore, cancelled=NEVER)
    seen = dict(line.split("=", 1) for line in caught.value.log_tail.splitlines())
    assert "hf_secret" not in caught.value.log_tail
    assert (seen["HF_HUB_OFFLINE"], seen["HOME"]) == ("1", str(tmp_path / "training" / "short" / "home"))


def test_a_run_is_never_continued_with_another_recipe(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, engine_python="/nowhere/python")
    with pytest.raises(TrainingFailed):
        train(_short(tmp_path), settings=settings, on_event=_ignore, cancelled=NEVER)
    with pytest.raises(RecipeRejected, match="was trained with another recipe"):
        train(_short(tmp_path, steps=30), settings=settings, on_event=_ignore, cancelled=NEVER)


def test_a_torn_checkpoint_of_the_trainer_is_removed_and_a_whole_one_kept(tmp_path: Path) -> None:
    whole, torn = tmp_path / "checkpoint-9", tmp_path / "checkpoint-10"
    _trained(whole, step=9)
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    assert checkpoints.complete_checkpoints(tmp_path) == [whole]
    assert not torn.exists()


def test_a_checkpoint_is_handed_on_whole_without_pickles_and_only_once(tmp_path: Path) -> None:
    trained, models = tmp_path / "checkpoint-9", tmp_path / "models"
    _trained(trained, step=9)
    (models / ".partial-step-000000009").mkdir(parents=True)
    for _ in range(2):
        lineage, folder = checkpoints.hand_on(trained, models, origin=Lineage(run="r", step=0, recipe_hash="h"))
    assert lineage == Lineage(run="r", step=9, recipe_hash="h", parent=None, tokens=90)
    assert sorted(path.name for path in folder.iterdir()) == ["lineage.json", "model.safetensors"]
    assert checkpoints.handed_on(models) == [(lineage, folder)]
    assert [path.name for path in models.iterdir()] == ["step-000000009"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return replace(read_settings(), data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(settings: Settings) -> tuple[Recipe, list[TrainEvent]]:
    """A short run from start to end."""
    recipe, events = _short(settings.data_dir, run="undisturbed"), list[TrainEvent]()
    result = train(recipe, settings=settings, on_event=events.append, cancelled=NEVER)
    assert result.resumed_at == 0
    assert [ready.step for ready in result.checkpoints] == [SAVE_EVERY, STEPS]
    return recipe, events


@pytest.mark.training
def test_a_run_tells_its_start_every_step_its_checkpoints_and_its_end(
    undisturbed: tuple[Recipe, list[TrainEvent]],
) -> None:
    _, events = undisturbed
    assert isinstance(events[0], Started)
    assert 600_000 < events[0].parameters < 650_000
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert all(step.loss > 0 and step.tokens > 0 and step.eta_s >= 0 for step in steps)
    assert [event.step for event in events if isinstance(event, CheckpointReady)] == [SAVE_EVERY, STEPS]
    assert isinstance(events[-1], Finished)
    assert events[-1].tokens == steps[-1].tokens


@pytest.mark.training
def test_a_checkpoint_is_a_chat_model_with_lineage_that_opens_a_thought(
    undisturbed: tuple[Recipe, list[TrainEvent]],
) -> None:
    recipe, events = undisturbed
    ready = next(event for event in events if isinstance(event, CheckpointReady))
    checkpoint = local_checkpoint(ready.path)
    lineage = checkpoint.lineage
    assert lineage is not None
    assert (lineage.run, lineage.step, lineage.tokens) == ("undisturbed", SAVE_EVERY, ready.tokens)
    assert (lineage.recipe_hash, lineage.parent, lineage.device) == (recipe_hash(recipe), None, "cpu")
    assert lineage.data == "arithmetic, seed 1, 640 problems"
    assert "trl 1.16.0" in (lineage.code or "")
    assert 0 < (lineage.hours or 0) < 1
    assert checkpoint.revision == "undisturbed-step-000000020"
    shape = read_shape(ready.path)
    assert (shape.architecture, shape.head_dim, shape.context) == ("Qwen2ForCausalLM", 64, 65_536)
    (rendered,) = read_template(ready.path).render(["What is 1 + 1?"])
    assert opens_thought(rendered)
    tokens = Tokenizer.from_file(str(ready.path / "tokenizer.json")).encode(rendered, add_special_tokens=False).ids
    assert len(tokens) == len(rendered) - len("<|im_start|>" * 2 + "<|im_end|>" + "<think>") + 4
    assert max(tokens) < shape.vocab
    assert not [path.name for path in ready.path.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".py")]


@pytest.mark.training
def test_every_loader_of_a_checkpoint_sees_the_tokens_that_it_was_trained_on(
    undisturbed: tuple[Recipe, list[TrainEvent]], settings: Settings
) -> None:
    """Loaders pick a tokenizer class by model type; it must agree with tokenizer.json and with the training process."""
    ready = next(event for event in undisturbed[1] if isinstance(event, CheckpointReady))
    text = "<|im_start|>user\nWhat is 3 + 5?<|im_end|>\n<|im_start|>assistant\n<think>\n3; +5=8\n</think>\n\nna\u00efve"
    script = (
        "import json, sys; from transformers import AutoTokenizer\n"
        "from backend_jobs.training.tiny_model import tiny_tokenizer\n"
        "both = (AutoTokenizer.from_pretrained(sys.argv[1]), tiny_tokenizer())\n"
        "print(json.dumps([[t(sys.argv[2]).input_ids, t.decode(t(sys.argv[2]).input_ids)] for t in both]))"
    )
    output = subprocess.run(
        [settings.engine_python, "-c", script, str(ready.path), text],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        text=True,
    ).stdout
    expected = Tokenizer.from_file(str(ready.path / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    assert json.loads(output.splitlines()[-1]) == [[expected, text], [expected, text]]


@pytest.mark.training
def test_a_finished_run_tells_its_checkpoints_again_without_training(
    undisturbed: tuple[Recipe, list[TrainEvent]], settings: Settings
) -> None:
    recipe, _ = undisturbed
    events: list[TrainEvent] = []
    elsewhere = replace(settings, engine_python="/nowhere/python")
    result = train(recipe, settings=elsewhere, on_event=events.append, cancelled=NEVER)
    assert result.resumed_at == STEPS
    assert tuple(events) == result.checkpoints


@pytest.mark.training
def test_a_cancelled_run_ends_its_process_and_resumes_to_the_same_weights(
    undisturbed: tuple[Recipe, list[TrainEvent]], settings: Settings
) -> None:
    recipe = _short(settings.data_dir, run="stopped")
    cancelled, started = threading.Event(), list[TrainEvent]()

    def stop_after_the_first_checkpoint(event: TrainEvent) -> None:
        started.append(event)
        if isinstance(event, CheckpointReady):
            cancelled.set()

    with pytest.raises(Cancelled):
        train(recipe, settings=settings, on_event=stop_after_the_first_checkpoint, cancelled=cancelled)
    # As if killed between the trainer's checkpoint and ours.
    folders = run_folders(settings, "stopped")
    (folders.models / FIRST).rename(folders.work / "lost")

    events: list[TrainEvent] = []
    result = train(recipe, settings=settings, on_event=events.append, cancelled=NEVER)
    assert result.resumed_at == SAVE_EVERY
    assert [ready.step for ready in result.checkpoints] == [SAVE_EVERY, STEPS]
    assert {ready.step for ready in events if isinstance(ready, CheckpointReady)} == {SAVE_EVERY, STEPS}
    whole = run_folders(settings, "undisturbed").models
    for step in (FIRST, LAST):
        assert _content(folders.models / step) == _content(whole / step)


@pytest.mark.training
def test_the_trainer_is_gone_when_its_parent_is_killed(settings: Settings, tmp_path: Path) -> None:
    recipe = _short(tmp_path, run="orphan", steps=100_000)
    program = (
        "import sys, threading; from dataclasses import replace; from pathlib import Path\n"
        "from backend_jobs.recipes import load_recipe; from backend_jobs.train import train\n"
        "from settings import read_settings\n"
        "settings = replace(read_settings(), data_dir=Path(sys.argv[2]))\n"
        "train(load_recipe(Path(sys.argv[1])), settings=settings, cancelled=threading.Event(),"
        " on_event=lambda event: print(type(event).__name__, flush=True))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "orphan.yaml"), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert "Stepped\n" in _lines_until(parent.stdout, "Stepped\n")
        trainers = _trainers(recipe.run)
        assert trainers
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not _trainers(recipe.run), every_s=0.2)


def _short(folder: Path, *, run: str = "short", steps: int = STEPS) -> Recipe:
    text = (ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8")
    for old, new in {
        "run: arithmetic-demo": f"run: {run}",
        "steps: 600": f"steps: {steps}",
        "size: 38400": "size: 640",
        "batch_size: 64": "batch_size: 32",
        "save_every: 150": f"save_every: {SAVE_EVERY if steps == STEPS else steps}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{run}.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def _trained(folder: Path, *, step: int) -> None:
    """A trainer's checkpoint as far as handing on looks at it."""
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "num_input_tokens_seen": 10 * step}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "training_args.bin").write_bytes(b"pickle")


def _content(folder: Path) -> dict[str, bytes]:
    """What a checkpoint is made of. Its lineage differs in the run's name and in how long it took."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lineage.json"}


def _sample() -> Sample:
    return Sample(prompt="p", completion="c", gold=None, tokens=3, truncated=True, rewards={"accuracy": None})


def _trainers(run: str) -> list[str]:
    """Living processes of the training of one run, by their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if "backend_jobs.training " in command and f"/{run}/" in command:
            found.append(f"{entry.name}: {command}")
    return found


def _lines_until(stream: Iterator[str], wanted: str) -> list[str]:
    lines = []
    for line in stream:
        lines.append(line)
        if line == wanted:
            break
    return lines


def _ignore(_: TrainEvent) -> None:
    pass
