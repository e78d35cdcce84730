"""The prompt as the model sees it: chat template, whether it opens a thought, and its length in tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from evaluator.checkpoint import LARGEST_JSON_BYTES, read_json
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
        tokenizer_config = read_json(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    text = _read_text(file) if file.is_file() else _embedded(tokenizer_config)
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
    tokenizer = _tokenizer(path)
    return max(len(encoding.ids) for encoding in tokenizer.encode_batch(rendered, add_special_tokens=False))


def token_starts(folder: Path) -> Callable[[str], Sequence[int]] | None:
    """A function from a text to where each of its tokens begins, in characters; None without a tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = _tokenizer(path)
    return lambda text: [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]


def _embedded(tokenizer_config: dict[str, Any]) -> str:
    template = tokenizer_config.get("chat_template")
    if isinstance(template, list):
        named = (item for item in template if isinstance(item, dict) and item.get("name") == "default")
        template = next(named, {}).get("template")
    return template if isinstance(template, str) else ""


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_JSON_BYTES:
            raise CheckpointRejected(f"{path} is too large, at most {LARGEST_JSON_BYTES:,} bytes are read")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointRejected(f"{path} is not UTF-8 text: {error}") from error


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class for a file that it cannot read
        raise CheckpointRejected(f"{path} is not a tokenizer file: {error}; save the tokenizer again") from error


def _token_text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
