"""The only door to matplotlib: small line plots as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

SIZE_INCHES = (7.0, 3.2)
COLOURS = ("#3b6fd4", "#c8641b", "#2c8a57", "#8e4ec6")
MOST_POINTS = 400


def lines(
    path: Path,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x: str,
    y: str,
    title: str,
    levels: Mapping[str, float] | None = None,
) -> None:
    """One line per series; a level is a dashed horizontal line, in its series' colour where it has that name."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fixed"  # the same figures make the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE_INCHES, layout="constrained")
    colours = dict(zip(series, COLOURS, strict=False))
    for name, points in series.items():
        kept = points[:: len(points) // MOST_POINTS + 1]
        axes.plot(*zip(*kept, strict=True), label=name, color=colours[name], linewidth=1.6)
    for name, level in (levels or {}).items():
        axes.axhline(level, linestyle="--", linewidth=1.0, color=colours.get(name, "#888888"))
        if name not in colours:
            axes.annotate(name, (0.99, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
