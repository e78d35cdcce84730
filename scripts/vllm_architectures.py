"""Writes the architectures that the engine's vLLM has classes of its own for: evaluator/data/architectures.txt.

Run after a change of vLLM's version: .venv-engine/bin/python scripts/vllm_architectures.py
Read from the registry's source, so that no part of vLLM is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "evaluator" / "data" / "architectures.txt"
TABLES = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS")


def native_architectures() -> list[str]:
    """Names of `architectures` entries that vLLM serves with a class of its own and that generate text."""
    package = importlib.util.find_spec("vllm")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).parent / "model_executor" / "models" / "registry.py"
    names: set[str] = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id in TABLES for target in targets):
            assert isinstance(node.value, ast.Dict)
            names |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return sorted(names)


if __name__ == "__main__":
    TARGET.write_text("\n".join(native_architectures()) + "\n", encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(native_architectures())} architectures\n")
