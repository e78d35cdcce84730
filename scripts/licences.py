"""Writes docs/licences.md: under which licence each package of both environments comes, as far as it is locked.

    .venv/bin/python scripts/licences.py [--check]

Read from the installed packages' own metadata. Exit status 1 where a licence is unknown or is not one of ACCEPTED, and
with --check also where the page is not what would be written.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
ENVIRONMENTS = {".venv": "app", ".venv-engine": "engine"}
WORDS = {
    "Apache-2.0": r"apache",
    "MIT": r"\bmit\b|expat",
    "BSD": r"\bbsd\b|0bsd",
    "PSF-2.0": r"python software foundation|\bpsf\b",
    "ISC": r"\bisc\b",
    "MPL-2.0": r"mpl|mozilla",
    "HPND": r"hpnd|historical permission",
    "Unlicense": r"unlicense|public domain|cc0",
    "Zlib": r"zlib",
    "LGPL": r"lgpl|lesser general public",
    "GPL": r"(?<!l)gpl|(?<!lesser )general public",
    "Intel EULA": r"intel end user",
}
"""What a licence is called in metadata, whatever form it takes there."""
ACCEPTED = frozenset(WORDS) - {"GPL"}
"""Whoever runs or passes on this program may, without passing on more than it and its notices. Intel's is proprietary:
free to use, and to pass on unchanged with its terms; vLLM's CPU build asks for that runtime.
"""
BY_HAND = {
    "agent-client-protocol": ("Apache-2.0", "the LICENSE in its wheel"),
    "axe-playwright-python": ("MIT", "the LICENSE in its wheel; the axe-core that it carries is MPL-2.0"),
    "math-verify": ("Apache-2.0", "the LICENCE in its wheel"),
    "oss-harmony": ("Apache-2.0", "the LICENSE in its wheel"),
}
"""Packages whose metadata says nothing or too much: the licence, and where it is written."""


def main() -> int:
    """Write or check the page."""
    packages = collected()
    page = rendered(packages)
    strangers = [f"{name}: {found}" for name, (_, found, _) in packages.items() if not acceptable(found)]
    for line in strangers:
        sys.stderr.write(f"not acceptable or not known: {line}\n")
    if "--check" in sys.argv[1:]:
        stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page
        sys.stderr.write("docs/licences.md is not up to date: run scripts/licences.py\n" if stale else "")
        return 1 if strangers or stale else 0
    PAGE.write_text(page, encoding="utf-8")
    return 1 if strangers else 0


def collected() -> dict[str, tuple[str, str, str]]:
    """(version, licence, environments) by name."""
    locked = {"torch"} | set(re.findall(r"^([a-z0-9-]+)==", _locks(), re.MULTILINE))
    found: dict[str, tuple[str, str, str]] = {}
    for folder, title in ENVIRONMENTS.items():
        for path in sorted((ROOT / folder).glob("lib/python3*/site-packages")):
            for package in distributions(path=[str(path)]):
                name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
                if name not in locked:
                    continue
                where = f"{found[name][2]}, {title}" if name in found and title not in found[name][2] else title
                found[name] = (package.version, licence(name, package), where)
    return dict(sorted(found.items()))


def _locks() -> str:
    names = ("app", "dev", "engine-cpu")
    return "\n".join((ROOT / "locks" / f"{name}.hashed.txt").read_text(encoding="utf-8") for name in names)


def licence(name: str, package: Distribution) -> str:
    """Its licence in our words; what it says itself, shortened, where none of them fits."""
    if name in BY_HAND:
        return BY_HAND[name][0]
    stated = package.metadata
    classifiers = [each.rpartition(":: ")[2] for each in stated.get_all("Classifier") or () if "License ::" in each]
    for said in (stated["License-Expression"], "; ".join(classifiers), (stated["License"] or "").strip()[:200]):
        words = [word for word, pattern in WORDS.items() if said and re.search(pattern, said, re.IGNORECASE)]
        if words:
            return " or ".join(words) if " OR " in said else " and ".join(words)
    return (stated["License"] or "unknown").strip().splitlines()[0][:60]


def acceptable(found: str) -> bool:
    """Whether every licence of a package is accepted, or one of those that it leaves the choice of."""
    if " or " in found:
        return any(each in ACCEPTED for each in found.split(" or "))
    return all(each in ACCEPTED for each in found.split(" and "))


def rendered(packages: dict[str, tuple[str, str, str]]) -> str:
    """The page."""
    counted = Counter(found for _, found, _ in packages.values())
    lines = [
        "# Licences",
        "",
        "Of every package that `scripts/install.sh` installs on a machine without a GPU, as its own metadata states.",
        "Made by `scripts/licences.py`, which fails where one is unknown or not accepted. This program is Apache-2.0.",
        "",
        ", ".join(f"{found}: {count}" for found, count in counted.most_common()) + ".",
        "",
        "| package | version | licence | environment |",
        "|---|---|---|---|",
        *(f"| {name} | {version} | {found} | {where} |" for name, (version, found, where) in packages.items()),
    ]
    if BY_HAND:
        lines += ["", "Read by hand:", "", *(f"* {name}: {why}" for name, (_, why) in sorted(BY_HAND.items()))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
