"""The process in which a foreign tokenizer reads prompts: its patterns may never end. See `evaluator/confined.py`.

Asked with `file` (a tokenizer.json) and `texts`; answers with `counts`, tokens per text. A file
that the library cannot read ends the process, with the library's reason as its last line.
"""

from __future__ import annotations

import json
import sys

from tokenizers import Tokenizer

from evaluator.confined import confine


def main() -> None:
    """Count what standard input asks for."""
    asked = json.load(sys.stdin)
    confine()
    tokenizer = Tokenizer.from_file(asked["file"])
    # A checkpoint may ask for padding or truncation, which would hide how long a prompt is.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = [tokenizer.encode(text, add_special_tokens=False) for text in asked["texts"]]
    json.dump({"counts": [len(encoding.ids) for encoding in encoded]}, sys.stdout)


if __name__ == "__main__":
    main()
