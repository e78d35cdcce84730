"""The prompt as the model sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.errors import CheckpointRejected
from evaluator.template import ChatTemplate, check_frame, longest_tokens, opens_thought, read_template
from tests.checkpoints import TOKENIZER

R1_STYLE = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|><think>\n"


def test_a_template_that_ends_inside_a_thought_is_detected() -> None:
    template = ChatTemplate(text=R1_STYLE, special_tokens=(("bos_token", "<s>"),))
    (rendered,) = template.render(["1 + 1?"])
    assert rendered == "<s><|user|>1 + 1?<|assistant|><think>"
    assert opens_thought(rendered)


@pytest.mark.parametrize(
    "rendered", ["plain", "<think>\n\n</think>\n\n", "earlier <think>a</think> talk <|assistant|>"]
)
def test_a_prompt_without_an_open_thought_is_not_taken_for_one(rendered: str) -> None:
    assert not opens_thought(rendered)


def test_a_system_prompt_reaches_the_template() -> None:
    (rendered,) = ChatTemplate(text=R1_STYLE).render(["hi"], "Be brief.")
    assert rendered.startswith("<|system|>Be brief.<|user|>hi")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception('only assistants may speak') }}",
        "{% for m in messages %}",
        "{{ messages[0].content + 1 }}",
    ],
)
def test_a_template_that_fails_or_escapes_is_refused(text: str) -> None:
    with pytest.raises(CheckpointRejected, match="chat template cannot be used"):
        ChatTemplate(text=text).render(["hi"])


def test_the_template_file_wins_over_the_tokenizer_config(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "old", "bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    )
    assert read_template(tmp_path).text == "old"
    (tmp_path / "chat_template.jinja").write_text("new")
    assert read_template(tmp_path) == ChatTemplate(
        text="new", special_tokens=(("bos_token", "<s>"), ("eos_token", "</s>"))
    )


def test_the_default_of_several_named_templates_is_used(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert read_template(tmp_path).text == "plain"


def test_a_checkpoint_without_a_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointRejected, match="no chat template"):
        read_template(tmp_path)


def test_without_a_tokenizer_file_the_bytes_bound_the_length(tmp_path: Path) -> None:
    assert longest_tokens(tmp_path, ["a", "aé"]) == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"a":' * 100_000])
def test_a_broken_tokenizer_config_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(CheckpointRejected, match=r"tokenizer_config\.json"):
        read_template(tmp_path)


def test_a_broken_template_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointRejected, match=r"chat_template\.jinja is not UTF-8"):
        read_template(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"model": 3}'])
def test_a_broken_tokenizer_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointRejected, match=r"tokenizer\.json cannot be used"):
        longest_tokens(tmp_path, ["a"])


ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)
GREEDY = "{% set ns = namespace(s='x' * 1000000) %}{% for i in range(9999) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"


@pytest.mark.parametrize("text", [ENDLESS, GREEDY])
def test_a_template_that_never_ends_or_eats_memory_is_ended_and_refused(text: str) -> None:
    with pytest.raises(CheckpointRejected, match="chat template"):
        ChatTemplate(text=text).render(["hi"])


def test_many_prompts_are_rendered_by_one_process_in_their_order() -> None:
    prompts = [f"prompt {n}" for n in range(500)]
    assert ChatTemplate(text="{{ messages[0].content }}").render(prompts) == prompts


PROMPTS = ["What is 1 + 1?\n", "What is 2 + 2?\n"]


def framed(text: str) -> None:
    check_frame(ChatTemplate(text=text).render(PROMPTS), PROMPTS)


@pytest.mark.parametrize("content", ["m.content", "m.content | trim", "m['content'].strip()"])
def test_a_template_may_put_the_same_words_around_every_problem(content: str) -> None:
    framed("{% for m in messages %}<|user|>{{ " + content + " }}<|end|>{% endfor %}<think>")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{% if '2 + 2' in messages[0].content %}It is 4. {% endif %}{{ messages[0].content }}", "It is 4"),
        ("{{ messages[0].content }}{{ messages[0].content | length + (messages[0].content[8] | int) }}", "differently"),
        ("{{ messages[0].content | replace('+', '-') }}", "changes the problem"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "changes the problem"),
        ("no problem at all", "changes the problem"),
    ],
    ids=["a hint for one", "a number made of it", "another sign", "said twice", "left out"],
)
def test_a_template_that_looks_at_the_problem_is_refused(text: str, says: str) -> None:
    with pytest.raises(CheckpointRejected, match=says):
        framed(text)


def test_a_tokenizer_pattern_that_never_ends_is_stopped(tmp_path: Path) -> None:
    endless = {"type": "Split", "pattern": {"Regex": "(a|aa|a)+$|(a+)+b"}, "behavior": "Isolated", "invert": False}
    (tmp_path / "tokenizer.json").write_bytes(json.dumps({**json.loads(TOKENIZER), "pre_tokenizer": endless}).encode())
    with pytest.raises(CheckpointRejected, match=r"cannot be used|does not end"):
        longest_tokens(tmp_path, ["a" * 50_000 + "c"])


def test_padding_that_a_checkpoint_asks_for_does_not_hide_a_prompts_length(tmp_path: Path) -> None:
    padding = {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    truncation = {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    changed = {**json.loads(TOKENIZER), "padding": padding, "truncation": truncation}
    (tmp_path / "tokenizer.json").write_bytes(json.dumps(changed).encode())
    assert longest_tokens(tmp_path, ["ab", "abab"]) == 4
