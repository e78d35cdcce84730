"""What is installed is what was locked: every pin has its hashes, and the files agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

AGAIN = "run scripts/lock.py"
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[a-z,]+\])?==([^\s;\\#]+)", re.MULTILINE)
HASHED = ("app", "dev", "engine-cpu", "engine-gpu", "torch-cpu")


def pins(name: str) -> dict[str, str]:
    """Versions by normalized name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in PIN.findall(text)}


def test_every_pin_of_the_app_and_its_tests_is_in_one_hashed_lock() -> None:
    app, dev = pins("locks/app.hashed.txt"), pins("locks/dev.hashed.txt")
    assert not app.keys() & dev.keys()
    assert app | dev == pins("locks/app.txt"), AGAIN


def test_every_pin_of_the_cpu_engine_is_in_its_hashed_lock() -> None:
    assert pins("locks/engine-cpu.hashed.txt") == pins("locks/engine-cpu.txt"), AGAIN


@pytest.mark.parametrize(
    ("requirements", "locks"),
    [
        ("requirements.txt", ("app",)),
        ("requirements-dev.txt", ("app", "dev")),
        ("requirements-cpu.txt", ("engine-cpu",)),
        ("requirements-gpu.txt", ("engine-gpu",)),
        ("pre-requirements.txt", ("torch-cpu",)),
    ],
)
def test_what_is_asked_for_is_locked_at_that_version(requirements: str, locks: tuple[str, ...]) -> None:
    locked = {name: version for lock in locks for name, version in pins(f"locks/{lock}.hashed.txt").items()}
    asked = pins(requirements)
    assert asked
    assert asked.items() <= locked.items(), AGAIN


@pytest.mark.parametrize("name", HASHED)
def test_every_locked_package_has_the_sha256_of_a_file(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.hashed.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(f"locks/{name}.hashed.txt"))
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


def test_everything_is_installed_from_hashed_locks_by_one_script() -> None:
    script = (ROOT / "scripts" / "install.sh").read_text(encoding="utf-8")
    installs = re.findall(r"pip\" install .*", script)
    assert len(installs) == 1
    assert "--require-hashes --no-deps" in installs[0]
    for image in ("Dockerfile", "Dockerfile.gpu"):
        text = (ROOT / "deploy" / image).read_text(encoding="utf-8")
        assert "scripts/install.sh app" in text
        assert "pip install" not in text


def test_every_package_has_a_licence_that_is_accepted_and_listed() -> None:
    if not (ROOT / ".venv").exists() or not (ROOT / ".venv-engine").exists():
        pytest.skip("one of the two environments is missing: run scripts/install.sh")
    command = [sys.executable, "scripts/licences.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


AUDITOR = """#!/bin/sh
for last; do :; done
case "$last" in
  *{flawed}*) echo '{{"dependencies": [{{"name": "p", "version": "1", "vulns": [{flaw}]}}]}}' ;;
  *) echo '{{"dependencies": [{answer}]}}' ;;
esac
"""
FLAW = '{"id": "CVE-1", "fix_versions": ["2"]}'


def audited(folder: Path, *, answer: str, flawed: str = "nothing") -> subprocess.CompletedProcess[str]:
    tool = folder / "pip-audit"
    tool.write_text(AUDITOR.format(answer=answer, flawed=flawed, flaw=FLAW))
    tool.chmod(0o755)
    command, environment = [sys.executable, "scripts/audit.py"], {**os.environ, "PIP_AUDIT": str(tool)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_an_audit_that_found_nothing_is_told_from_one_that_could_not_ask(tmp_path: Path) -> None:
    clean = audited(tmp_path, answer='{"name": "p", "version": "1", "vulns": []}')
    assert (clean.returncode, clean.stdout) == (0, "5 packages asked for, 0 vulnerabilities known\n")
    skipped = audited(tmp_path, answer='{"name": "p", "skip_reason": "Dependency not found"}')
    assert skipped.returncode == 3
    assert "knows nothing of 5 of 5 packages" in skipped.stderr
    offline = audited(tmp_path, answer="no connection")
    assert offline.returncode == 3


def test_a_known_vulnerability_is_listed_with_the_version_that_mends_it(tmp_path: Path) -> None:
    found = audited(tmp_path, answer='{"name": "q", "version": "1", "vulns": []}', flawed="engine-cpu")
    assert found.returncode == 1
    assert "p 1: CVE-1, mended in 2" in found.stdout
