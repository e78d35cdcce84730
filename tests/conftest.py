"""Shared by all tests: the heavy ones run one after another, and a checkpoint that a real vLLM can serve."""

from __future__ import annotations

import ast
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from settings import ROOT, read_settings

# The local Hub speaks the plain protocol, not Xet's. Read once when huggingface_hub is first imported: later than here.
os.environ["HF_HUB_DISABLE_XET"] = "1"
HEAVY = {"engine", "training", "browser"}


class HeavyTogether(LoadScopeScheduling):  # type: ignore[misc]
    """Whatever starts an engine, a training or a browser runs in one worker, one after another: together they would
    starve each other. Every other test goes to whichever worker is free.

    xdist's own `loadgroup` does this by a part of a test's id that pytest 9.2 no longer lets it write.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, *names = nodeid.split("[")[0].split("::")
        return "heavy" if heavy_names(file) & {*names, "pytestmark"} else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> HeavyTogether:
    """How the tests are dealt out to the workers."""
    return HeavyTogether(config, log)


@cache
def heavy_names(file: str) -> frozenset[str]:
    """The tests and classes of a file that are marked as heavy; `pytestmark` where the whole file is."""
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    words = HEAVY | {name for name, value in _assigned(body) if _names(value) & HEAVY}
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    inner = [node for owner in classes for node in owner.body]
    marked = {
        node.name
        for node in (*body, *inner)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and any(_names(mark) & words for mark in node.decorator_list)
    }
    own = {
        each.name
        for each in classes
        for name, value in _assigned(each.body)
        if name == "pytestmark" and _names(value) & words
    }
    whole = {name for name, value in _assigned(body) if name == "pytestmark" and _names(value) & words}
    return frozenset(marked | own | whole)


def _assigned(body: list[ast.stmt]) -> list[tuple[str, ast.expr]]:
    return [
        (node.targets[0].id, node.value)
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]


def _names(expression: ast.expr) -> set[str]:
    nodes = list(ast.walk(expression))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {
        node.id for node in nodes if isinstance(node, ast.Name)
    }


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
    command = [engine_python, "-m", "backend_jobs.training.tiny_model", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder
