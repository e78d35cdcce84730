"""Looks every locked package up in the database of known vulnerabilities.

    python scripts/audit.py                     needs pip-audit: on the path, or named by PIP_AUDIT=/path/to/pip-audit

Exit status: 0 nothing is known of any package; 1 something is, and is listed; 3 the database could not be asked, which
is not the same as nothing being known.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("torch-cpu", "app", "dev", "engine-cpu", "engine-gpu")
NOT_ASKED = 3
LOCAL_BUILDS = frozenset({"torch"})
"""Builds that the database does not know under their own version; what they are built from is in another lock."""


def main() -> int:
    """Ask for every lock and say what was found."""
    tool = os.environ.get("PIP_AUDIT") or shutil.which("pip-audit")
    if tool is None:
        return _not_asked("pip-audit is not on the path: pip install pip-audit, or name it with PIP_AUDIT=...")
    asked, unknown, found = 0, [], []
    for lock in LOCKS:
        answer = ask(tool, ROOT / "locks" / f"{lock}.hashed.txt")
        if isinstance(answer, str):
            return _not_asked(answer)
        asked += len(answer)
        unknown += [each["name"] for each in answer if "skip_reason" in each and each["name"] not in LOCAL_BUILDS]
        found += [f"{each['name']} {each['version']}: {flaw(one)}" for each in answer for one in each.get("vulns", ())]
    if unknown:
        return _not_asked(f"the database knows nothing of {len(unknown)} of {asked} packages, {unknown[0]} first")
    sys.stdout.write("".join(f"{line}\n" for line in sorted(set(found))))
    sys.stdout.write(f"{asked} packages asked for, {len(set(found))} vulnerabilities known\n")
    return 1 if found else 0


def ask(tool: str, lock: Path) -> list[dict[str, Any]] | str:
    """What is known of each package of a lock; a text where nothing could be learned."""
    command = [tool, "--require-hashes", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, check=False)
    try:
        answer: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"pip-audit ended with status {done.returncode}"
    return answer


def flaw(known: dict[str, Any]) -> str:
    """One vulnerability: its name, and the versions without it."""
    fixed = ", ".join(known.get("fix_versions", ())) or "no version yet"
    return f"{known['id']}, mended in {fixed}"


def _not_asked(why: str) -> int:
    sys.stderr.write(f"not audited: {why}\n")
    return NOT_ASKED


if __name__ == "__main__":
    sys.exit(main())
