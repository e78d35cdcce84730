"""What surrounds every page, and the messages of the submission form."""

from __future__ import annotations

from leaderboard.types import JobRecord
from leaderboard.views.markup import NOTHING, Html, fill, join, model_name, notice, page_link

PAGES = {
    "": "Leaderboard",
    "charts": "Charts",
    "runs": "Runs",
    "compare": "Compare",
    "datasets": "Datasets",
    "submit": "Submit",
    "queue": "Queue",
    "about": "About",
}


def header(current: str, *, local_mode: bool) -> Html:
    """The site's name and its pages; `current` is the address of this one."""
    links = (
        fill(
            '<li><a href="{link}"{current}>{title}</a></li>',
            link=page_link(path),
            current=Html(' aria-current="page"') if path == current else NOTHING,
            title=title,
        )
        for path, title in PAGES.items()
    )
    return fill(
        '<a class="skip" href="#content">Skip to the content</a>'
        '<header class="site"><a class="name" href="./" translate="no">open-r1 leaderboard</a>'
        '<nav aria-label="Pages"><ul>{links}</ul></nav>{mode}<div class="tools">'
        '<button type="button" data-theme-switch aria-pressed="false" aria-label="Dark colours" title="Dark colours">'
        '<span aria-hidden="true">◐</span></button>'
        '<button type="button" data-language="zh" lang="zh-CN" translate="no">中文</button>'
        '<button type="button" data-language="en" lang="en" translate="no">English</button></div></header>'
        '<div id="content" tabindex="-1"></div>',
        links=join(links),
        mode=Html('<span class="mode">local mode, no login</span>') if local_mode else _account(current),
    )


def _account(current: str) -> Html:
    """Signing in and out. Who has signed in stands on the page that asks for it: this one is the same for everybody."""
    return fill(
        '<span class="mode"><a href="login?back=/{current}">Sign in</a>'
        '<form method="post" action="logout"><button type="submit" class="link">Sign out</button></form></span>',
        current=current,
    )


def sign_in(back: str) -> Html:
    """What somebody reads who must sign in first."""
    return notice(
        fill(
            '<a href="login?back=/{back}">Sign in with Hugging Face</a> first: submissions are made in the name of an '
            "account. Nothing is kept of it but the name.",
            back=back,
        )
    )


def done(text: str) -> Html:
    """What to tell somebody whose act was carried out."""
    return notice(text)


def charts_head() -> Html:
    """What the charts are made of."""
    return fill(
        "<h1>Charts</h1><p class='lead'>Each picture answers one question. All are drawn from the numbers of the "
        "board, which stand below each as a table. Results of one protocol at a time.</p>"
    )


def submit_intro(*, local_mode: bool) -> Html:
    """What the form is for and what happens next."""
    return fill(
        "<h1>Submit a model</h1><p class='lead'>The checkpoint is pinned to a commit, served with vLLM and measured "
        "under the protocol of each benchmark. Every answer is kept, so the score can be opened down to the "
        "completions it came from.{local}</p>",
        local=" A folder on this machine works too." if local_mode else "",
    )


def submitted(job: JobRecord) -> Html:
    """What to tell somebody whose submission was taken."""
    return notice(
        fill(
            'Queued: {model}. <a href="{link}">Watch job <code>{id}</code></a>.',
            model=model_name(job.submission.model, job.submission.commit),
            link=page_link("queue", job=job.submission.id),
            id=job.submission.id,
        ),
        "good",
    )


def refused(message: str) -> Html:
    """Why something that was asked for did not happen."""
    return notice(fill('<span dir="auto">{message}</span>', message=message), "bad", role="alert")
