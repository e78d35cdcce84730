"""The prompt as the model sees it: chat template, whether it opens a thought, and its length in tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evaluator.checkpoint import check_size, read_json
from evaluator.confined import ask
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

    def render(self, prompts: Iterable[str], system_prompt: str | None = None) -> list[str]:
        """Each prompt's text up to where the model begins to write.

        The template is a stranger's program: it runs in a process with limits (`evaluator/rendering.py`).

        Raises:
            CheckpointRejected: the template fails, does not end, or tries what the sandbox forbids.
        """
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        conversations = [[*system, {"role": "user", "content": prompt}] for prompt in prompts]
        asked = {"template": self.text, "tokens": dict(self.special_tokens), "conversations": conversations}
        answer = ask("evaluator.rendering", asked, what="the chat template")
        rendered: list[str] = answer["rendered"]
        return rendered


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


def check_frame(rendered: Sequence[str], prompts: Sequence[str]) -> None:
    """That a template puts the same words around every problem, and the problem itself as it is.

    A template is a program and sees the problem: it could hold hints for some of them, or answers.

    Raises:
        CheckpointRejected: shows what stands around the first problem that is treated otherwise.
    """
    frames = (_frame(text, prompt) for text, prompt in zip(rendered, prompts, strict=True))
    first: tuple[str, str] | None = None
    for frame, prompt in zip(frames, prompts, strict=True):
        if frame is None:
            raise CheckpointRejected(
                f"the chat template changes the problem that begins {prompt[:60]!r}; problems must reach the model as "
                "they are"
            )
        first = first or frame
        if frame != first:
            raise CheckpointRejected(
                f"the chat template treats problems differently: around the one that begins {prompt[:60]!r} it puts "
                f"{_differing(first, frame)[:200]!r}; a template must not depend on the problem"
            )


def longest_tokens(folder: Path, rendered: Sequence[str]) -> int:
    """Tokens of the longest rendered prompt.

    Where the checkpoint has no tokenizer.json, the UTF-8 bytes of the prompt: an upper bound for every byte-level and
    sentencepiece vocabulary. The tokenizer is a stranger's: it runs in a process with limits.

    Raises:
        CheckpointRejected: the tokenizer cannot be read, or does not end.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return max(len(text.encode()) for text in rendered)
    check_size(path)
    asked = {"file": str(path.resolve()), "texts": list(rendered)}
    counts: list[int] = ask("evaluator.tokenizing", asked, what=f"the tokenizer {path}")["counts"]
    return max(counts)


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
    check_size(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointRejected(f"{path} is not UTF-8 text: {error}") from error


def _frame(rendered: str, prompt: str) -> tuple[str, str] | None:
    """What stands before and after the problem; None where the problem is not there, once and unchanged.

    Many templates strip the blanks around a message; nothing else may be done to it.
    """
    before, found, after = rendered.partition(prompt.strip())
    return (before, after.lstrip()) if found and prompt.strip() not in after else None


def _differing(first: tuple[str, str], other: tuple[str, str]) -> str:
    return other[0] if first[0] != other[0] else other[1]


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class for a file that it cannot read
        raise CheckpointRejected(f"{path} is not a tokenizer file: {error}; save the tokenizer again") from error


def _token_text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
