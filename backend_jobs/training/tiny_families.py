"""Tiny models of the families that recipes train, made on the spot: same architecture, fresh weights."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from backend_jobs.training.tiny_model import (
    CONTEXT_TOKENS,
    DEMONSTRATION,
    TinySize,
    decoder,
    tiny_model,
    tiny_tokenizer,
    token_ids,
)

LLAMA_SPECIALS = (
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|finetune_right_pad_id|>",
)
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
IMAGE_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IMAGE_READER = TinySize(hidden=128, intermediate=384, layers=2)
SIZES = {"tiny": DEMONSTRATION, "tiniest": TinySize(hidden=64, intermediate=128, layers=1)}
IMAGE_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def tiny_of_family(family: str, *, seed: int, size: TinySize = DEMONSTRATION) -> tuple[Any, Any]:
    """(model, tokenizer or processor) of one family. Qwen2's template ends in `<think>`, as those of the R1 family do.

    Raises:
        ImportError: torchvision is missing, which the processor of `qwen2_vl` needs.
    """
    match family:
        case "llama":
            tokenizer = _llama_tokenizer()
            return _llama(tokenizer, seed=seed, size=size), tokenizer
        case "qwen2_vl":
            return _qwen2_vl(seed=seed)
    tokenizer = tiny_tokenizer()
    return tiny_model(tokenizer, seed=seed, size=size), tokenizer


def _llama_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: number for number, token in enumerate((*LLAMA_SPECIALS, *sorted(ByteLevel.alphabet())))}
    inner = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    inner.decoder = ByteLevelDecoder()
    inner.add_special_tokens([AddedToken(token, special=True) for token in LLAMA_SPECIALS])
    begin, turn_ends, *_, pad = LLAMA_SPECIALS
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=begin,
        eos_token=turn_ends,
        pad_token=pad,
        model_max_length=CONTEXT_TOKENS,
        chat_template=LLAMA_TEMPLATE,
    )


def _llama(tokenizer: PreTrainedTokenizerFast, *, seed: int, size: TinySize) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**decoder(tokenizer, size)))
    model.generation_config = GenerationConfig(**token_ids(tokenizer))
    return model


def _qwen2_vl(*, seed: int) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = IMAGE_TEMPLATE
    tokenizer.add_tokens([AddedToken(token, special=True) for token in IMAGE_TOKENS], special_tokens=True)
    image_id, video_id = (tokenizer.convert_tokens_to_ids(token) for token in IMAGE_TOKENS[2:])
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=IMAGE_TEMPLATE,
    )
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            text_config=decoder(tokenizer, IMAGE_READER)
            | {"rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 10_000.0}},
            vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 128, "num_heads": 2, "mlp_ratio": 2},
            image_token_id=image_id,
            video_token_id=video_id,
            vision_start_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKENS[0]),
            vision_end_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKENS[1]),
            tie_word_embeddings=True,
        )
    )
    return model, processor
