"""Markup that escapes by default, links built from validated parts, and how numbers and times are written.

Everything a model or a submitter wrote is an attacker's text. It reaches a page only through `fill`, which escapes
every value that is not `Html` already, and shows characters that could reorder or hide text instead of obeying them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from urllib.parse import urlencode, urlsplit

HUB = "https://huggingface.co"
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
HUB_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
DECEPTIVE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what follows
    "\u200b\u2028\u2029\u2060\ufeff"  # take no room
    "\ud800-\udfff"  # half a character: cannot be sent as UTF-8
    "]"
)


class Html(str):
    """Text that is markup already. Foreign text becomes part of one only through `fill` and `join`."""

    __slots__ = ()


NOTHING = Html("")


def fill(template: LiteralString, /, **values: object) -> Html:
    """The template with each `{name}` replaced by its value, escaped unless it is `Html`. None becomes nothing."""
    return Html(template.format_map({name: _safe(value) for name, value in values.items()}))


def join(parts: Iterable[object], separator: LiteralString = "") -> Html:
    """Values one after the other, each escaped unless it is `Html`."""
    return Html(separator.join(_safe(part) for part in parts))


def visible(text: str) -> str:
    """The text with characters that reorder, hide or break text written out: a right-to-left override is `⟨U+202E⟩`."""
    return DECEPTIVE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def _safe(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Html):
        return value
    return html.escape(visible(str(value)), quote=True)


# Links


def page_link(page: str, **query: object) -> str:
    """A link within the board, relative to its root; values that are None are left out."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    target = page or "./"
    return f"{target}?{urlencode(given)}" if given else target


def external(url: str, text: object) -> Html:
    """A link to another site, or the bare text where the address is not a plain https one."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or DECEPTIVE.search(url):
        return fill("{text}", text=text)
    return fill('<a href="{url}" target="_blank" rel="noopener noreferrer">{text}</a>', url=url, text=text)


def model_name(model: str, commit: str | None = None) -> Html:
    """A model's name, linked to its exact files where it is a Hub id with a Hub commit."""
    name = fill("<bdi>{model}</bdi>", model=model)
    if commit and HUB_COMMIT.fullmatch(commit) and HUB_NAME.fullmatch(model):
        return external(f"{HUB}/{model}/tree/{commit}", name)
    return name


def short_commit(commit: str | None) -> str:
    """The beginning of a commit, long enough to tell checkpoints apart."""
    if commit is None:
        return "commit unknown"
    return commit.removeprefix("sha256:")[:8]


# Tables and lists


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column's heading, and whether its cells are numbers (set to the right, digits of equal width)."""

    head: str
    numeric: bool = False
    css: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row; the first cell names it. `key` lets an updated page keep what belongs to this row."""

    cells: Sequence[object]
    key: str = ""
    current: bool = False


def table(
    *, caption: object, columns: Sequence[Column], rows: Iterable[Row], css: str = "", cards: bool = False
) -> Html:
    """A table; with `cards`, one whose rows become cards on narrow screens.

    CSS that changes `display` takes a table's meaning away from assistive technology, so a table of cards writes out
    every role, and each cell carries its column's heading for the style sheet to show.
    """
    head = join(
        fill('<th scope="col"{attributes}>{head}</th>', attributes=_attributes(c, "columnheader", cards), head=c.head)
        for c in columns
    )
    return fill(
        "<table{table}{css}><caption>{caption}</caption><thead{group}><tr{row}>{head}</tr></thead>"
        "<tbody{group}>{rows}</tbody></table>",
        table=_role("table", cards),
        css=fill(' class="{css}"', css=f"{css} cards".strip() if cards else css) if css or cards else NOTHING,
        caption=caption,
        group=_role("rowgroup", cards),
        row=_role("row", cards),
        head=head,
        rows=join(_row(row, columns, cards) for row in rows),
    )


def _row(row: Row, columns: Sequence[Column], cards: bool) -> Html:
    (name, first), *others = zip(row.cells, columns, strict=True)
    cells = (
        fill(
            "<td{attributes}{label}>{cell}</td>",
            attributes=_attributes(column, "cell", cards),
            label=fill(' data-label="{head}"', head=column.head) if cards else NOTHING,
            cell=cell,
        )
        for cell, column in others
    )
    return fill(
        '<tr{role}{key}{current}><th scope="row"{attributes}>{name}</th>{cells}</tr>',
        role=_role("row", cards),
        key=fill(' data-key="{key}"', key=row.key) if row.key else NOTHING,
        current=Html(' aria-current="true"') if row.current else NOTHING,
        attributes=_attributes(first, "rowheader", cards),
        name=name,
        cells=join(cells),
    )


def _role(name: str, cards: bool) -> Html:
    return fill(' role="{name}"', name=name) if cards else NOTHING


def _attributes(column: Column, role: str, cards: bool) -> Html:
    css = f"{column.css} number".strip() if column.numeric else column.css
    return join([_role(role, cards), fill(' class="{css}"', css=css) if css else NOTHING])


def facts(pairs: Mapping[str, object]) -> Html:
    """Names and values, one line each. None reads as "not known"."""
    lines = (
        fill("<div><dt>{name}</dt><dd>{value}</dd></div>", name=name, value="not known" if value is None else value)
        for name, value in pairs.items()
    )
    return fill('<dl class="facts">{lines}</dl>', lines=join(lines))


def badge(text: object, css: str) -> Html:
    """A short state in a frame. The words say it; the colour only repeats it."""
    return fill('<span class="badge {css}">{text}</span>', css=css, text=text)


def notice(text: object, css: str = "", *, role: str = "status") -> Html:
    """A message to the reader; `role` is `alert` for what went wrong."""
    return fill('<div class="notice {css}" role="{role}">{text}</div>', css=css, role=role, text=text)


def part_of_page(key: str, content: Html, *, current: str | None = None) -> Html:
    """What replaces one part of a page that is shown already: the element with this `data-key`.

    `current` is the row of a table, by its key, that the page marks as the current one.
    """
    return fill(
        '<div data-part="{key}" data-current="{current}">{content}</div>', key=key, current=current, content=content
    )


def at_address(link: str) -> Html:
    """Says which address shows what a page shows now, so that the browser can name it."""
    return fill('<div data-address="{link}" hidden></div>', link=link)


# Numbers and times


def points(value: float | None) -> str:
    """A score in points with one decimal."""
    return "–" if value is None else f"{value:.1f}"


def interval(bounds: tuple[float, float]) -> str:
    """An interval in points, as `81.2–85.4`."""
    return f"{bounds[0]:.1f}–{bounds[1]:.1f}"


def count(value: float | None) -> str:
    """A count, thousands apart; a dash where it is not known."""
    return "–" if value is None else f"{value:,.0f}"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent; a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def moment(stamp: str | None, *, day_only: bool = False) -> Html:
    """A UTC time stamp in ISO 8601 for people and programs; shown as it is where it is not one."""
    if not stamp:
        return Html("–")
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return fill("{stamp}", stamp=stamp)
    shown = f"{when:%Y-%m-%d}" if day_only else f"{when:%Y-%m-%d %H:%M} UTC"
    return fill('<time datetime="{stamp}">{shown}</time>', stamp=stamp, shown=shown)


def progress_bar(done: float, total: float, label: str) -> Html:
    """How far something is, in words for those who do not see the bar."""
    part = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
    return fill(
        '<div class="progress" role="progressbar" aria-label="{label}" aria-valuemin="0" aria-valuemax="100" '
        'aria-valuenow="{percent}"><span style="width:{percent}%"></span></div>',
        label=label,
        percent=f"{100 * part:.1f}",
    )
