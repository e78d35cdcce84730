"""Gradio's own components in our colours, and how the site is launched: nothing is fetched from elsewhere."""

from __future__ import annotations

from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from leaderboard.board_files import BoardFiles
from leaderboard.page_head import PageHead
from leaderboard.site_routes import ASSETS, asset_link, site_routes

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

STYLES = ("shell.css", "table.css", "charts.css")
"""Style sheets beside `page.css`, in order. Their selectors are left as they are written."""

COLOURS = {
    "body_background_fill": "var(--ground)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--quiet)",
    "block_background_fill": "transparent",
    "block_info_text_color": "var(--quiet)",
    "block_label_text_color": "var(--ink)",
    "block_title_text_color": "var(--ink)",
    "input_background_fill": "var(--ground)",
    "input_border_color": "var(--field)",
    "input_border_color_focus": "var(--accent)",
    "input_placeholder_color": "var(--quiet)",
    "checkbox_background_color": "var(--ground)",
    "checkbox_border_color": "var(--field)",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_selected": "transparent",
    "checkbox_label_text_color_selected": "var(--ink)",
    "button_primary_background_fill": "#2459b3",
    "button_primary_background_fill_hover": "#1c478f",
    "button_primary_text_color": "#ffffff",
}
"""Gradio's names for colours, as the variables of `page.css`, which know light and dark by themselves."""


def launch_options(files: BoardFiles) -> dict[str, Any]:
    """Keyword arguments for `mount_gradio_app`: our looks and our own routes, none of Gradio's extras."""
    return {
        "css": "\n".join(path.read_text(encoding="utf-8") for path in sorted(ASSETS.glob("*.css"))),
        "theme": theme(),
        "app_kwargs": {"routes": site_routes(files), "middleware": [Middleware(PageHead, tags=head())]},
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
    }


def head() -> str:
    """What every page loads while Gradio starts: styles, and the script of the shared shell."""
    styles = "".join(f'<link rel="stylesheet" href="{asset_link(name)}">' for name in STYLES)
    return f'{styles}<script type="module" src="{asset_link("js/shell.js")}"></script>'


def theme() -> gr.themes.Base:
    """Gradio's own components in the colours of `page.css`, with the system's fonts."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=[gr.themes.Font(name) for name in SYSTEM_FONTS],
        font_mono=[gr.themes.Font(name) for name in MONO_FONTS],
    )
    in_the_dark = {f"{name}_dark": colour for name, colour in COLOURS.items()}
    return base.set(
        **COLOURS,
        **in_the_dark,
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_title_text_weight="600",
        input_border_width="1px",
    )
