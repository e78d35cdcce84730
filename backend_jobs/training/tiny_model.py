"""The demonstration's model: a Qwen2 of 0.6 M parameters that reads and writes single characters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

# Room for the longest benchmark prompt, one token per character, and an answer of 32,768 tokens.
CONTEXT_TOKENS = 65_536

PAD, TURN_BEGINS, TURN_ENDS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THOUGHT_OPENS, THOUGHT_CLOSES = "<think>", "</think>"

# ChatML. The generation prompt opens a thought, as templates of the R1 family do.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)


def tiny_tokenizer() -> Qwen2Tokenizer:
    """Qwen2's own tokenizer without a single merge: one token per UTF-8 byte, so one per ASCII character.

    It is that class because loaders choose it for every `qwen2` checkpoint and rebuild its rules around the saved
    vocabulary, whatever the saved ones are. `<think>` and `</think>` are single tokens but not special ones: servers
    drop special tokens from what they return.
    """
    vocabulary = [PAD, TURN_BEGINS, TURN_ENDS, THOUGHT_OPENS, THOUGHT_CLOSES, *sorted(ByteLevel.alphabet())]
    tokenizer = Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=[],
        unk_token=PAD,
        pad_token=PAD,
        eos_token=TURN_ENDS,
        model_max_length=CONTEXT_TOKENS,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([AddedToken(TURN_BEGINS, special=True)], special_tokens=True)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in (THOUGHT_OPENS, THOUGHT_CLOSES)])
    return tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class TinySize:
    """Heads are of 64, because vLLM's attention on the CPU refuses small ones."""

    hidden: int
    intermediate: int
    layers: int

    @property
    def heads(self) -> int:
        """Query heads; there is one key-value head."""
        return self.hidden // 64


DEMONSTRATION = TinySize(hidden=128, intermediate=384, layers=3)


def token_ids(tokenizer: Any) -> dict[str, int | None]:
    """What begins, ends and fills a sequence, as configs name it."""
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def decoder(tokenizer: Any, size: TinySize) -> dict[str, Any]:
    """What the configs of the Llama family want to know."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT_TOKENS,
        "tie_word_embeddings": True,
        **token_ids(tokenizer),
    }


def tiny_model(tokenizer: Qwen2Tokenizer, *, seed: int, size: TinySize = DEMONSTRATION) -> Qwen2ForCausalLM:
    """Freshly drawn float32 weights."""
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(Qwen2Config(**decoder(tokenizer, size)))
    model.generation_config = GenerationConfig(**token_ids(tokenizer))
    return model


def main() -> None:
    """`python -m backend_jobs.training.tiny_model FOLDER`: the demonstration's architecture, untrained, in bfloat16."""
    tokenizer = tiny_tokenizer()
    tiny_model(tokenizer, seed=0).to(torch.bfloat16).save_pretrained(sys.argv[1])
    tokenizer.save_pretrained(sys.argv[1])


if __name__ == "__main__":
    main()
