"""The picture in docs/design.md, enforced: imports point one way, and each heavy package has one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ["settings", "evaluator", "leaderboard", "backend_jobs", "app"]
DOORS = {
    "lighteval": "evaluator/tasks.py",
    "datasets": "evaluator/tasks.py",
    "math_verify": "evaluator/math_equality.py",
    "latex2sympy2_extended": "evaluator/formulas.py",
    "antlr4": "evaluator/formulas.py",
    "aiohttp": "evaluator/connection.py",
    "transformers": "evaluator/rendering.py",
    "scipy": "evaluator/statistics.py",
    "math_core": "leaderboard/formulas.py",
    "prometheus_client": "leaderboard/metrics.py",
    "authlib": "leaderboard/login.py",
    "pandas": "leaderboard/table.py",
    "pyarrow": "leaderboard/table.py",
    "gradio": "leaderboard/pages/",
    "huggingface_hub": "leaderboard/hub.py",
    "apscheduler": "backend_jobs/clock.py",
    "ray": "evaluator/ray_cluster.py",
    "fastapi": "leaderboard/api/",
}
SIDE_DOORS = {
    "backend_jobs/launchers/ray.py": {"ray"},  # the Jobs API, from outside a cluster
    "backend_jobs/datasets/parquet.py": {"pyarrow"},  # reasoning data, in streams; table.py has results, whole
    "leaderboard/hub_datasets.py": {"huggingface_hub"},
    "leaderboard/hub_models.py": {"huggingface_hub"},
    "leaderboard/hub_repository.py": {"huggingface_hub"},
    "leaderboard/hub_space.py": {"huggingface_hub"},
    "backend_jobs/launchers/hf_jobs.py": {"huggingface_hub"},
    "backend_jobs/launchers/endpoints.py": {"huggingface_hub"},
    "backend_jobs/launchers/hub_errors.py": {"huggingface_hub"},
    "leaderboard/exports/model_pages.py": {"huggingface_hub"},
    "leaderboard/exports/lighteval_details.py": {"pyarrow"},
    "leaderboard/dataset/columns.py": {"pyarrow"},  # the types of every published table
    "leaderboard/dataset/formats.py": {"pyarrow"},
    "leaderboard/dataset/compact.py": {"pyarrow"},
    "leaderboard/dataset/packed.py": {"pyarrow"},
}
ENGINE_ONLY = {"trl", "torch", "vllm", "accelerate", "peft"}
TRAINING_PROCESS = "backend_jobs/training/"


def modules() -> list[Path]:
    packages = (path for name in ORDER[1:4] for path in sorted((ROOT / name).rglob("*.py")))
    return [*packages, ROOT / "app.py", ROOT / "settings.py"]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def door_files(door: str) -> list[Path]:
    """The one module of a door, or every module of the folder that is one."""
    return sorted((ROOT / door).glob("*.py")) if door.endswith("/") else [ROOT / door]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    later = set(ORDER[ORDER.index(own) + 1 :])
    assert not {name for name in imported(path) if name.split(".")[0] in later}


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_each_heavy_package_has_one_door(path: Path) -> None:
    packages = {name.split(".")[0] for name in imported(path)}
    in_training = relative(path).startswith(TRAINING_PROCESS)
    allowed = SIDE_DOORS.get(relative(path), set())
    strangers = {p for p in packages & DOORS.keys() if path not in door_files(DOORS[p]) and p not in allowed}
    assert in_training or not strangers
    assert in_training or not packages & ENGINE_ONLY


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_only_settings_reads_the_environment(path: Path) -> None:
    if path.name == "settings.py":
        pytest.skip("it is the one that may")
    reads = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    ]
    assert not reads or relative(path).startswith(TRAINING_PROCESS)


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_checkpoint_may_bring_code(path: Path) -> None:
    trusting = [
        keyword
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "trust_remote_code"
    ]
    assert not trusting


def test_every_door_exists_and_is_used() -> None:
    for package, door in DOORS.items():
        used = {name.split(".")[0] for path in door_files(door) for name in imported(path)}
        assert package in used, f"{door} no longer imports {package}"
    for door, packages in SIDE_DOORS.items():
        assert packages <= {name.split(".")[0] for name in imported(ROOT / door)}
