"""The prompt as the model sees it: chat template, whether it opens a thought, and its length in tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from evaluator.errors import CheckpointRejected

THOUGHT_OPENS = "<think>"
THOUGHT_CLOSES = "</think>"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTemplate:
    """A checkpoint's chat template and the special tokens that it may name."""

    text: str
    special_tokens: tuple[tuple[str, str], ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 of the template's text, 64 hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def render(self, prompt: str, system_prompt: str | None = None) -> str:
        """The prompt text up to where the model begins to write.

        Raises:
            CheckpointRejected: the template fails, or tries what the sandbox forbids.
        """
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        messages = [*system, {"role": "user", "content": prompt}]
        try:
            rendered, _ = render_jinja_template(
                conversations=[messages],
                chat_template=self.text,
                add_generation_prompt=True,
                **dict(self.special_tokens),
            )
        except (TemplateError, SecurityError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise CheckpointRejected(f"the chat template cannot be rendered: {error}") from error
        return str(rendered[0])


def read_template(folder: Path) -> ChatTemplate:
    """The chat template of a checkpoint: `chat_template.jinja`, or the key of `tokenizer_config.json`.

    Raises:
        CheckpointRejected: there is none, so the model cannot be asked through a chat API.
    """
    tokenizer_config: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        tokenizer_config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    file = folder / "chat_template.jinja"
    text = file.read_text(encoding="utf-8") if file.is_file() else _embedded(tokenizer_config)
    if not text:
        raise CheckpointRejected(
            f"{folder} has no chat template (chat_template.jinja or tokenizer_config.json); a chat model is expected"
        )
    tokens = {
        name: _token_text(tokenizer_config.get(name))
        for name in ("bos_token", "eos_token", "unk_token", "pad_token")
        if tokenizer_config.get(name)
    }
    return ChatTemplate(text=text, special_tokens=tuple(sorted(tokens.items())))


def opens_thought(rendered: str) -> bool:
    """Whether a rendered prompt ends inside a thought, so that completions hold only its end."""
    return rendered.rfind(THOUGHT_OPENS) > rendered.rfind(THOUGHT_CLOSES)


def longest_prompt_tokens(folder: Path, template: ChatTemplate, prompts: Iterable[str], system: str | None) -> int:
    """Tokens of the longest rendered prompt.

    Where the checkpoint has no tokenizer.json, the UTF-8 bytes of the prompt: an upper bound for every byte-level and
    sentencepiece vocabulary.
    """
    rendered = [template.render(prompt, system) for prompt in prompts]
    path = folder / "tokenizer.json"
    if not path.is_file():
        return max(len(text.encode()) for text in rendered)
    tokenizer = Tokenizer.from_file(str(path))
    return max(len(encoding.ids) for encoding in tokenizer.encode_batch(rendered, add_special_tokens=False))


def token_starts(folder: Path) -> Callable[[str], Sequence[int]] | None:
    """A function from a text to where each of its tokens begins, in characters; None without a tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]


def _embedded(tokenizer_config: dict[str, Any]) -> str:
    template = tokenizer_config.get("chat_template")
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else ""


def _token_text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
