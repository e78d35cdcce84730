"""The README says only what is there: its map is the tree, its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from backend_jobs.arguments import parser
from settings import ROOT, read_settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
UNLISTED = {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml"}
UNLISTED |= {
    "requirements-cpu.txt",
    "requirements-gpu.txt",
    "requirements-dev.txt",
    "pre-requirements.txt",
    "requirements-ray.txt",
}
PLACEHOLDERS = {"M": "owner/model", "B": "math_500", "S": "store.db", "F": "file.jsonl"}


def tracked() -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.split("/")[0] for line in listed.splitlines()}


def test_the_map_names_every_top_level_entry_and_no_other() -> None:
    block = README.split("## Map")[1].split("```")[1]
    named = {line.split()[0].rstrip("/") for line in block.splitlines()[1:] if line.strip()}
    entries = {name for name in tracked() if not name.startswith(".")}
    assert named == entries - UNLISTED


def commands() -> list[str]:
    lines = [
        line.split(" #")[0].strip()
        for block in README.split("```bash")[1:]
        for line in block.split("```")[0].split("\n")
    ]
    return [line for line in lines if line.startswith("python -m backend_jobs")]


@pytest.mark.parametrize("command", commands())
def test_every_command_parses(command: str) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[3:]]
    parser(read_settings({})).parse_args(words)


@pytest.mark.parametrize("target", ["run", "test"])
def test_the_two_commands_of_the_first_screen_are_make_targets(target: str) -> None:
    assert f"make {target}" in README.split("## Submit")[0]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links), links


def test_the_pins_of_both_environments_agree_with_their_locks() -> None:
    for requirements, lock in (("requirements.txt", "app.txt"), ("requirements-cpu.txt", "engine-cpu.txt")):
        locked = {pin(line) for line in (ROOT / "locks" / lock).read_text().splitlines() if "==" in line}
        wanted = {pin(line) for line in (ROOT / requirements).read_text().splitlines() if "==" in line.split("#")[0]}
        assert wanted <= locked, wanted - locked


def pin(line: str) -> tuple[str, str]:
    name, _, version = line.split("#")[0].strip().partition("==")
    return re.sub(r"\[.*\]", "", name).lower().replace("_", "-"), version.strip()
