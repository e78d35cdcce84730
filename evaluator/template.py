"""The prompt as the model sees it: chat template, whether it opens a thought, and its length in tokens."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evaluator.checkpoint import LARGEST_JSON_BYTES, read_json
from evaluator.errors import CheckpointRejected

RENDER_TIMEOUT_S = 300.0
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

        The template is a stranger's program: it runs in a process of its own (`evaluator/rendering.py`).

        Raises:
            CheckpointRejected: the template fails, does not end, or tries what the sandbox forbids.
        """
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        conversations = [[*system, {"role": "user", "content": prompt}] for prompt in prompts]
        asked = {"template": self.text, "tokens": dict(self.special_tokens), "conversations": conversations}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "evaluator.rendering"],
                input=json.dumps(asked).encode(),
                capture_output=True,
                cwd=Path(__file__).resolve().parents[1],
                env={},
                timeout=RENDER_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckpointRejected(f"the chat template did not end within {RENDER_TIMEOUT_S:.0f} s") from error
        if done.returncode < 0:
            raise CheckpointRejected("the chat template does not end: it ran out of processor time or memory")
        if done.returncode:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            raise CheckpointRejected(f"the chat template cannot be rendered: {last}")
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise CheckpointRejected(f"the chat template cannot be rendered: {answer['error']}")
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


def longest_tokens(folder: Path, rendered: Sequence[str]) -> int:
    """Tokens of the longest rendered prompt.

    Where the checkpoint has no tokenizer.json, the UTF-8 bytes of the prompt: an upper bound for every byte-level and
    sentencepiece vocabulary.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return max(len(text.encode()) for text in rendered)
    encoded = _tokenizer(path).encode_batch(list(rendered), add_special_tokens=False)
    return max(len(encoding.ids) for encoding in encoded)


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
