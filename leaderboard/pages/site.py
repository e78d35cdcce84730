"""Every page of the site by its address; `shell.PAGES` says which of them the navigation lists, and in which order."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import gradio as gr
from starlette.applications import Starlette

from leaderboard.api.tools import board_tools
from leaderboard.board_files import BoardFiles
from leaderboard.pages.about import about_page
from leaderboard.pages.charts import charts_page
from leaderboard.pages.compare import compare_page
from leaderboard.pages.datasets import datasets_page
from leaderboard.pages.frame import PageContext
from leaderboard.pages.leaderboard import leaderboard_page
from leaderboard.pages.model import model_page
from leaderboard.pages.operate import operate_page
from leaderboard.pages.queue import queue_page
from leaderboard.pages.result import result_page
from leaderboard.pages.runs import runs_page
from leaderboard.pages.submit import submit_page
from leaderboard.pages.theme import launch_options
from leaderboard.views import shell

ROUTES: Mapping[str, Callable[[gr.Blocks, PageContext], None]] = {
    "charts": charts_page,
    "runs": runs_page,
    "compare": compare_page,
    "datasets": datasets_page,
    "submit": submit_page,
    "queue": queue_page,
    "about": about_page,
    "operate": operate_page,
    "result": result_page,
    "model": model_page,
}
"""The pages beside the board by their addresses."""
SESSIONS_KEPT = 512
"""Of each visit Gradio keeps a copy of the whole site, 0.12 MB, and 10,000 of them unless told otherwise. Of ours only
what a page showed last is in it: who comes back later is sent it once more.
"""


def build_page(context: PageContext) -> gr.Blocks:
    """The whole site, to be shown with `mount_page`."""
    with gr.Blocks(title="open-r1 leaderboard", analytics_enabled=False) as page:
        page.state_session_capacity = SESSIONS_KEPT
        leaderboard_page(page, context)
        for name, function in board_tools(context.board, context.queue).items():
            gr.api(function, api_name=name, queue=False, api_visibility="public")
    for address, build in ROUTES.items():
        title = shell.PAGES.get(address, address.title())
        with page.route(title, address, show_in_navbar=address in shell.PAGES):
            build(page, context)
    return page


def mount_page(root: Starlette, page: gr.Blocks, files: BoardFiles) -> None:
    """Show the site at every address of an application that it does not answer itself."""
    with warnings.catch_warnings():
        # Said although nobody asked for server-side rendering.
        warnings.filterwarnings("ignore", "SSR mode is not supported")
        gr.mount_gradio_app(root, page, path="/", **launch_options(files))
