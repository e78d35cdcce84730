"""The process in which a foreign chat template is rendered: a program of strangers. See `evaluator/confined.py`.

Asked with `template`, `tokens` and `conversations`; answers with `rendered`, a list of texts, or `error`.
"""

from __future__ import annotations

import json
import sys

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from transformers.utils.chat_template_utils import render_jinja_template

from evaluator.confined import MEMORY_LIMIT_BYTES, confine

LARGEST_OUTPUT_CHARACTERS = 64 << 20


def main() -> None:
    """Render what standard input asks for."""
    asked = json.load(sys.stdin)
    confine()
    try:
        rendered, _ = render_jinja_template(
            conversations=asked["conversations"],
            chat_template=asked["template"],
            add_generation_prompt=True,
            **asked["tokens"],
        )
        answer: dict[str, object] = {"rendered": [str(text) for text in rendered]}
        if sum(map(len, rendered)) > LARGEST_OUTPUT_CHARACTERS:
            answer = {"error": f"it makes more than {LARGEST_OUTPUT_CHARACTERS:,} characters of the prompts"}
    except MemoryError:
        answer = {"error": f"it needs more than {MEMORY_LIMIT_BYTES >> 30} GiB of memory"}
    except (TemplateError, SecurityError, TypeError, ValueError, OverflowError, RecursionError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
