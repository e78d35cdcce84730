"""Hostile checkpoints: the files that a stranger may upload, and a part of the refusal that each must lead to."""

from __future__ import annotations

import json
import pickle
from typing import Any

from tests.checkpoints import CONFIG, TENSORS, TOKENIZER, config, raw_safetensors, safetensors, sound_checkpoint

Files = dict[str, bytes]


def with_index(content: object) -> Files:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {**sound_checkpoint(), "model.safetensors.index.json": raw}


def weights(header: Any, data: bytes = b"") -> Files:
    return sound_checkpoint(model_safetensors=raw_safetensors(header, data))


def template(text: str) -> Files:
    return sound_checkpoint(chat_template_jinja=text.encode())


def tokenizer(**changed: Any) -> Files:
    return sound_checkpoint(tokenizer_json=json.dumps({**json.loads(TOKENIZER), **changed}).encode())


def split_by(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


ENTRY = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
SAID = "{{ messages[0].content }}"

WEIGHTS: dict[str, tuple[Files, str]] = {
    "a pickle named safetensors": (sound_checkpoint(model_safetensors=pickle.dumps([1] * 99)), "does not begin"),
    "an archive named safetensors": (sound_checkpoint(model_safetensors=b"PK\3\4" + b"\0" * 200), "does not begin"),
    "a header of exabytes": (sound_checkpoint(model_safetensors=b"\xff" * 200), "does not begin"),
    "an empty file": (sound_checkpoint(model_safetensors=b""), "does not begin"),
    "tensors that overlap": (weights({"w": ENTRY, "v": ENTRY}, b"\0" * 24), "the tensor before ends"),
    "tensors beyond the file": (weights({"w": ENTRY}), "declares 12 bytes of tensors and holds 0"),
    "bytes behind the tensors": (weights({"w": ENTRY}, b"\0" * 500), "holds 500"),
    "a shape of 2 to the 300": (weights({"w": {**ENTRY, "shape": [1 << 300]}}, b"\0" * 12), "whole numbers"),
    "a shape that multiplies out of sight": (weights({"w": {**ENTRY, "shape": [1 << 47] * 8}}, b"\0" * 12), "needs"),
    "a name that stands twice": (weights(b'{"w": {}, "w": {}}'), "stands twice"),
    "a header of brackets": (weights(b"[" * 200_000), "not JSON"),
    "an unknown dtype": (weights({"w": {**ENTRY, "dtype": "O"}}, b"\0" * 12), "does not have"),
    "no weights": (sound_checkpoint(model_safetensors=None), "safetensors"),
    "layers that are not there": (sound_checkpoint(config_json=config(num_hidden_layers=999)), "declares 999 layers"),
    "a vocabulary that is not there": (sound_checkpoint(config_json=config(vocab_size=4_000_000)), "not of one model"),
    "an index that climbs": (with_index({"weight_map": {"w": "../../../etc/shadow"}}), "not among the weight files"),
    "an index of nothing": (with_index({"weight_map": {}}), "no weight_map"),
    "an index that is a list": (with_index([]), "expected an object"),
    "an index of numbers": (with_index({"weight_map": {"w": 7}}), "not among the weight files"),
}

CONFIGS: dict[str, tuple[Files, str]] = {
    "code of its own": (sound_checkpoint(config_json=config(architectures=["MyForCausalLM"])), "no class of its own"),
    "an architecture that is no text": (sound_checkpoint(config_json=config(architectures=[{}])), "no architecture"),
    "a million layers": (sound_checkpoint(config_json=config(num_hidden_layers=10**6)), "is believed"),
    "a head as wide as a disk": (sound_checkpoint(config_json=config(head_dim=1 << 50)), "is believed"),
    "a context beyond belief": (sound_checkpoint(config_json=config(max_position_embeddings=1 << 60)), "is believed"),
    "minus two heads": (sound_checkpoint(config_json=config(num_attention_heads=-2)), "positive integer"),
    "half a layer": (sound_checkpoint(config_json=config(num_hidden_layers=0.5)), "positive integer"),
    "heads that do not divide": (
        sound_checkpoint(config_json=config(num_attention_heads=3, num_key_value_heads=2, head_dim=8)),
        "multiple of the second",
    ),
    "numbers as text": (sound_checkpoint(config_json=config(hidden_size="16")), "positive integer"),
    "not a number": (
        sound_checkpoint(config_json=json.dumps({**CONFIG, "hidden_size": float("nan")}).encode()),
        "positive integer",
    ),
    "a config that is a list": (sound_checkpoint(config_json=b"[]"), "expected an object"),
    "a config as deep as the sea": (sound_checkpoint(config_json=b'{"a":' * 100_000), "not valid JSON"),
    "a config in another alphabet": (sound_checkpoint(config_json=b"\xff\xfe{\0}\0"), "not valid JSON"),
    "a number of ten thousand digits": (
        sound_checkpoint(config_json=config().replace(b'"hidden_size": 16', b'"hidden_size": ' + b"9" * 10_000)),
        "not valid JSON",
    ),
    "no config": (sound_checkpoint(config_json=None), "no config.json"),
}

TEMPLATES: dict[str, tuple[Files, str]] = {
    "a template that never ends": (template("{% for a in range(10**9) %}{% for b in range(10**9) %}{% endfor %}{% endfor %}"), "does not end|cannot be used"),  # noqa: E501
    "a template that eats memory": (template("{{ ('x' * 10**10) }}"), "memory|cannot be used"),
    "a template that grows": (template("{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}"), "memory|cannot be used"),  # noqa: E501
    "a template that reads classes": (template("{{ ''.__class__.__mro__[1].__subclasses__() }}"), "cannot be used"),
    "a template that reads globals": (template("{{ cycler.__init__.__globals__.os.environ }}"), "cannot be used"),
    "a format string": (template("{{ '{0.__class__}'.format(messages) }}"), "cannot be used|changes the problem"),
    "a template that imports": (template("{% import 'os' as os %}{{ os }}"), "cannot be used"),
    "a template that includes": (template("{% include '/etc/passwd' %}"), "cannot be used"),
    "a template that gives up": (template("{{ raise_exception('no') }}"), "cannot be used"),
    "a template that does not parse": (template("{% for"), "cannot be used"),
    "a template in no alphabet": (sound_checkpoint(chat_template_jinja=b"\xff\xfe\xfd"), "not UTF-8"),
    "a hint for one problem": (template("{% if '2 + 2' in messages[0].content %}It is 4. {% endif %}" + SAID), "differently"),  # noqa: E501
    "an answer computed": (template(SAID + "{{ messages[0].content | length }}"), "differently"),
    "another problem": (template("{{ messages[0].content | replace('2', '1') }}"), "changes the problem"),
    "no problem": (template("What is 1 + 1?"), "changes the problem"),
    "no template": (sound_checkpoint(chat_template_jinja=None), "no chat template"),
}  # fmt: skip

TOKENIZERS: dict[str, tuple[Files, str]] = {
    "a tokenizer that is no tokenizer": (sound_checkpoint(tokenizer_json=b"{}"), "cannot be used"),
    "a tokenizer as deep as the sea": (sound_checkpoint(tokenizer_json=b'{"a":' * 100_000), "cannot be used"),
    "a pattern that never ends": (tokenizer(pre_tokenizer=split_by("(a|aa|a)+$|((a+)+)+b")), "cannot be used|does not"),
    "a normalizer that explodes": (
        tokenizer(
            normalizer={
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1_000}] * 4,
            }
        ),
        "cannot be used|does not end",
    ),
    "ids that are negative": (
        tokenizer(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
        "cannot be used",
    ),
}

TENSOR_BOMB = safetensors({**TENSORS, **{f"model.layers.0.x{n}": (1,) for n in range(50_000)}})
ACCEPTED = {
    "a sound one": sound_checkpoint(),
    "with code beside it": {**sound_checkpoint(), "modeling.py": b"raise SystemExit", "evil.so": b"\x7fELF"},
    "with pickles beside it": {**sound_checkpoint(), "training_args.bin": pickle.dumps(1), "optimizer.pt": b"x"},
    "with fifty thousand tensors": sound_checkpoint(model_safetensors=TENSOR_BOMB),
}
