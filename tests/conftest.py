"""Shared by all tests: the heavy ones run one after another, and a checkpoint that a real vLLM can serve."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from settings import ROOT, read_settings

# The local Hub speaks the plain protocol, not Xet's. Read once when huggingface_hub is first imported: later than here.
os.environ["HF_HUB_DISABLE_XET"] = "1"
HEAVY = {"engine", "training", "browser"}
MAKE_CHECKPOINT = """
import sys
import torch
from backend_jobs.training.tiny_model import tiny_model, tiny_tokenizer
tokenizer = tiny_tokenizer()
tiny_model(tokenizer, seed=0).to(torch.bfloat16).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One xdist group for whatever starts an engine, a training or a browser: together they would starve each other."""
    for item in items:
        if HEAVY & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.xdist_group("heavy"))


@pytest.fixture(scope="session")
def engine_python() -> str:
    """The interpreter of the engine's environment; skips where it is not installed."""
    python = read_settings().engine_python
    if not (ROOT / ".venv-engine").exists():
        pytest.skip("the engine's environment is missing: run scripts/install.sh engine")
    return python


@pytest.fixture(scope="session")
def checkpoint(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of the demonstration's architecture with untrained weights."""
    folder = tmp_path_factory.mktemp("checkpoints") / "untrained"
    subprocess.run([engine_python, "-c", MAKE_CHECKPOINT, str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder
