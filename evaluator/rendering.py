"""The process in which a foreign chat template is rendered: a program of strangers, so with limits and without secrets.

Reads one JSON object from standard input (`template`, `tokens`, `conversations`) and writes one: `rendered`, a list of
texts, or `error`. Limits of processor time and memory are set before the template runs; the kernel enforces them.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from transformers.utils.chat_template_utils import render_jinja_template

CPU_LIMIT_S = 10
MEMORY_LIMIT_BYTES = 2 << 30
LARGEST_OUTPUT_CHARACTERS = 64 << 20


def main() -> None:
    """Render what standard input asks for."""
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_LIMIT_BYTES, in_use + MEMORY_LIMIT_BYTES))
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
