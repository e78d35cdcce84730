"""Writes locks/*.hashed.txt: every pin of locks/*.txt with the SHA-256 of every file that the index holds for it.

    .venv/bin/python scripts/lock.py            needs uv: on the path, or named by UV=/path/to/uv

The pins are written by hand, from environments that passed the tests. What the app needs is told from what only its
tests need by following the requirements of the installed packages. The GPU engine's pins are resolved here, for Linux
on x86-64, because no environment of it stands on a machine without one. torch's CPU build is hashed from the index that
pre-requirements.txt names, or from the wheel of that name in the folder TORCH_WHEELS.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "locks"
TARGET = ["--python-version", "3.11.9", "--python-platform", "x86_64-manylinux_2_28"]
QUIET = ["--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
UNPINNED = frozenset({"torch"})
"""In a lock of its own."""
HEAD = "# Made by scripts/lock.py from {source}; never edited by hand.\n"


def main() -> None:
    """Write every hashed lock."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        sys.exit("error: uv is not on the path; pip install uv, or name it with UV=/path/to/uv")
    app = read_pins(LOCKS / "app.txt")
    engine = read_pins(LOCKS / "engine-cpu.txt")
    needed = closure(ROOT / "requirements.txt")
    if forgotten := sorted(name for name in needed - app.keys() - UNPINNED if installed(name)):
        sys.exit(f"error: the app needs {', '.join(forgotten)}; pin them in locks/app.txt")
    write("app", hashed(uv, {name: pin for name, pin in app.items() if name in needed}), "locks/app.txt")
    write("dev", hashed(uv, {name: pin for name, pin in app.items() if name not in needed}), "locks/app.txt")
    write("engine-cpu", hashed(uv, engine), "locks/engine-cpu.txt")
    write("engine-gpu", compiled(uv, ROOT / "requirements-gpu.txt"), "requirements-gpu.txt")
    write("torch-cpu", torch_lock(uv), "pre-requirements.txt")


def read_pins(path: Path) -> dict[str, str]:
    """`name==version` lines by normalized name."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {canonicalize_name(line.partition("==")[0]): line for line in lines if line}


def closure(requirements: Path) -> set[str]:
    """The normalized names of everything that the packages of a requirements file need, as installed here."""
    lines = (line.partition(" #")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    waiting = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        asked = waiting.pop()
        name, extras = str(canonicalize_name(asked.name)), frozenset(asked.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        waiting += [each for each in needs(name) if applies(each, extras)]
    return {name for name, _ in seen}


def needs(name: str) -> list[Requirement]:
    """What an installed package asks for; nothing where another platform's is not installed."""
    try:
        return [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return []


def installed(name: str) -> bool:
    """Whether a package is here; those that only other platforms need are not."""
    try:
        return version(name) != ""
    except PackageNotFoundError:
        return False


def applies(asked: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement holds here, with these extras of the package that states it."""
    return asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def hashed(uv: str, pins: dict[str, str]) -> str:
    """The same pins with hashes."""
    return compiled(uv, None, "\n".join(pins[name] for name in sorted(pins)), "--no-deps")


def compiled(uv: str, source: Path | None, text: str = "", *more: str) -> str:
    """What uv makes of a requirements file, or of a text."""
    command = [uv, "pip", "compile", str(source or "-"), *QUIET, *TARGET, *more]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"error: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def torch_lock(uv: str) -> str:
    """torch's CPU build with the hash of the wheel at hand, or else with those of PyTorch's own index."""
    text = (ROOT / "pre-requirements.txt").read_text(encoding="utf-8")
    pin, index = (re.search(pattern, text, re.M)[1] for pattern in (r"^(torch==\S+)", r"^--extra-index-url (\S+)"))  # type: ignore[index]
    folder = os.environ.get("TORCH_WHEELS")
    wheels = sorted(Path(folder).glob(f"{pin.replace('==', '-')}-cp311-*.whl")) if folder else []
    if not wheels:
        return compiled(uv, None, pin, "--no-deps", "--index-url", index)
    sums = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
    return f"{pin} \\\n" + " \\\n".join(f"    --hash=sha256:{each}" for each in sums) + "\n"


def write(name: str, lock: str, source: str) -> None:
    """One file, and how much it holds."""
    (LOCKS / f"{name}.hashed.txt").write_text(HEAD.format(source=source) + lock, encoding="utf-8")
    sys.stdout.write(f"locks/{name}.hashed.txt: {len(re.findall(r'^[A-Za-z]', lock, re.M))} packages\n")


if __name__ == "__main__":
    main()
