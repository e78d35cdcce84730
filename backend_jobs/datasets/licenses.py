"""What licences ask of a training set, as far as mixing goes. Facts for a person to act on; no legal advice."""

from __future__ import annotations

from collections.abc import Mapping

FREE = frozenset(
    {
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-3.0",
        "odc-by",
        "unlicense",
        "pddl",
    }
)
UNKNOWN = "unknown"


def warnings(licenses: Mapping[str, int]) -> list[str]:
    """What the licences of a dataset's rows ask for: one sentence each, the strictest first."""
    found = []
    for name in sorted(licenses):
        rows = f"{licenses[name]:,} rows are under {name}"
        if "-nc" in name:
            found.append(f"{rows}: no commercial use of them, or of what is made from them")
        if name.startswith(("llama", "gemma")):
            found.append(f"{rows}, a model licence: it asks for its name and its terms on what is made from them")
        if "-sa" in name:
            found.append(f"{rows}: what is made from them must be shared under the same licence")
        if "-nd" in name:
            found.append(f"{rows}: changed copies may not be shared")
        if name == UNKNOWN:
            found.append(f"{rows}: ask their makers before sharing anything that is made from them")
        elif name not in FREE and not any(rows in warning for warning in found):
            found.append(f"{rows}, which is not known here: read it before sharing anything")
    restricted = [name for name in sorted(licenses) if name not in FREE]
    if len(licenses) > 1 and restricted:
        found.append(
            f"the mixture as a whole is bound by all of: {', '.join(sorted(licenses))}; rows under "
            f"{', '.join(restricted)} decide what may be done with it"
        )
    if any("-sa" in name for name in restricted) and any(name.startswith(("llama", "gemma")) for name in restricted):
        found.append("share-alike rows and rows under a model licence cannot both have their way in one release")
    return found


def combined(licenses: Mapping[str, int]) -> str:
    """The licence to name on a card: the one that all rows have, `other` where several apply."""
    return next(iter(licenses)) if len(licenses) == 1 and UNKNOWN not in licenses else "other"
