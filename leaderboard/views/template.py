"""A result's chat template: its text, and how it differs from that of the model it was trained from."""

from __future__ import annotations

from collections.abc import Callable

from leaderboard.template_files import difference
from leaderboard.types import ResultRow, TemplateOrigin
from leaderboard.views.markup import NOTHING, Html, badge, fill, join, model_name

KINDS = {"+": "added", "-": "removed", "@": "place"}
Read = Callable[[str], str]
"""The text of a template by its hash."""


def template_badge(row: ResultRow) -> Html:
    """The flag beside a score that was made under another template than its base model's."""
    differs = row.template is not None and row.template.differs
    return badge("own chat template", "careful") if differs else NOTHING


def template_section(row: ResultRow, read: Read) -> Html:
    """The template and its difference; nothing for results of which it was not kept."""
    origin = row.template
    if origin is None:
        return NOTHING
    text = read(origin.hash)
    return fill(
        "<section><h2>Chat template</h2><p>{said}</p>{difference}"
        "<details data-key='template'><summary>The whole template</summary><pre class='text' dir='ltr'>{text}</pre>"
        "</details></section>",
        said=_said(origin),
        difference=_difference(origin, text, read),
        text=text,
    )


def _said(origin: TemplateOrigin) -> Html:
    if origin.differs is None:
        return fill("What it was trained from has a template that is not known here: {why}.", why=origin.unknown)
    name = model_name(origin.base or "", origin.base_commit)
    if origin.differs:
        return fill(
            "{flag} It differs from that of {base}, which it was trained from. A template is a program: read what it "
            "adds before you compare scores.",
            flag=badge("differs", "careful"),
            base=name,
        )
    return fill("The same as that of {base}, which it was trained from.", base=name)


def _difference(origin: TemplateOrigin, text: str, read: Read) -> Html:
    if not origin.differs or origin.base_hash is None:
        return NOTHING
    lines = difference(read(origin.base_hash), text)
    shown = [fill("<span class='{kind}'>{line}</span>\n", kind=KINDS.get(line[0], "same"), line=line) for line in lines]
    return fill("<pre class='text difference' dir='ltr'>{lines}</pre>", lines=join(shown))
