"""Where a completion gives its answer."""

from __future__ import annotations

import time

import pytest

from evaluator.answers import Place, Region, answer_region, last_box, math_answer, unwrap


def region_text(text: str, **facts: object) -> str | None:
    return answer_region(text, **facts).text  # type: ignore[arg-type]


@pytest.mark.parametrize("closing", ["</think>", "<\\/think>", "<|end_of_thought|>"])
def test_the_region_is_the_text_after_the_last_closing_tag(closing: str) -> None:
    region = answer_region(f"first{closing}second{closing}third", finish_reason="stop")
    assert region == Region(text="third", thought=f"first{closing}second")


def test_a_completion_that_holds_only_the_end_of_a_thought_is_split_there() -> None:
    assert region_text("so 4.</think>Four.", finish_reason="stop", prompt_opens_thought=True) == "Four."


@pytest.mark.parametrize(
    ("text", "prompt_opens"), [("<think> 2+2", False), ("2+2", True), ("<|begin_of_thought|>2", False)]
)
def test_a_thought_that_the_limit_cut_off_leaves_no_region(text: str, prompt_opens: bool) -> None:
    assert region_text(text, finish_reason="length", prompt_opens_thought=prompt_opens) is None


@pytest.mark.parametrize("finish_reason", ["stop", None])
@pytest.mark.parametrize(("text", "prompt_opens"), [("<think> 2+2", False), ("2+2", True)])
def test_a_model_that_stopped_by_itself_without_closing_its_thought_is_read_whole(
    text: str, prompt_opens: bool, finish_reason: str | None
) -> None:
    assert region_text(text, finish_reason=finish_reason, prompt_opens_thought=prompt_opens) == text


@pytest.mark.parametrize("finish_reason", ["stop", "length", None])
def test_without_any_thought_the_whole_text_is_the_region(finish_reason: str | None) -> None:
    assert region_text("It is \\boxed{4}", finish_reason=finish_reason) == "It is \\boxed{4}"


def test_an_answer_before_a_second_thought_that_was_cut_off_still_counts() -> None:
    text = "a</think>\\boxed{4}<think>wait, maybe \\boxed{5}"
    assert region_text(text, finish_reason="length") == "\\boxed{4}"
    assert region_text(text, finish_reason="stop") == "\\boxed{4}<think>wait, maybe \\boxed{5}"


def test_reasoning_that_the_server_returned_apart_is_a_closed_thought() -> None:
    region = answer_region("It is 4.", reasoning="so \\boxed{4}", finish_reason="stop", prompt_opens_thought=True)
    assert region.text == "It is 4."
    assert "\\boxed{4}" in region.thought


def test_reasoning_alone_counts_as_thought_unless_the_limit_cut_it_off() -> None:
    stopped = answer_region("", reasoning="so \\boxed{4}", finish_reason="stop")
    assert math_answer(stopped) is not None
    assert answer_region("", reasoning="so \\boxed{4}", finish_reason="length") == Region(text=None)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{4}", "4"),
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} and more", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed {4}", "4"),
        ("\\boxed 7", "7"),
        ("\\fbox{4}", "4"),
        ("\\\\boxed{4}", "4"),
        ("\\boxed{$4$}", "4"),
        ("\\boxed{\\(4\\)}", "4"),
        ("\\boxed{4.}", "4"),
        ("\\boxed{x = \\boxed{5}}", "5"),
        ("\\boxed{4} \\boxed{}", "4"),
        ("\\boxed{4} like \\boxed{ANSWER}", "4"),
        ("\\boxed{4} and \\boxed{5", "4"),
        ("<boxed>42</boxed>", "42"),
        ("\\boxed{7} <boxed>\\boxed{42}</boxed>", "42"),
        ("\\boxed{4}} stray {", "4"),
        ("no box", None),
        ("\\boxed{}", None),
    ],
)
def test_the_last_closed_box_that_says_something_is_the_box(text: str, content: str | None) -> None:
    assert last_box(text) == content


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{3} and \\boxed{5}", "3, 5"),
        ("$x = \\boxed{3}$ or $x = \\boxed{5}$", "3, 5"),
        ("$\\boxed{1}, \\boxed{2}$ and $\\boxed{3}$", "1, 2, 3"),
        ("\\boxed{5}, \\boxed{5}", "5"),
        ("\\boxed{5} \\boxed{5}", "5"),
        ("\\boxed{3}. So the answer is \\boxed{5}", "5"),
        ("\\boxed{3}\n\n\\boxed{5}", "5"),
    ],
)
def test_boxes_joined_by_and_or_or_a_comma_are_one_answer(text: str, content: str) -> None:
    assert last_box(text) == content


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Therefore, the final answer is: $5$. I hope it is correct.", "5"),
        ("Therefore, the final answer is: \\(5\\). I hope it is correct", "5"),
        ("Therefore, the final answer is:\n\n\\[\n\\frac{1}{2}\n\\]", "\\frac{1}{2}"),
        ("The final answer is **5**.", "5"),
        ("The final answer is 5", "5"),
        ("the final answer is $4$. No: the final answer is $x+1$.<|im_end|>", "x+1"),
    ],
)
def test_the_templates_last_line_is_read_without_a_box(text: str, answer: str) -> None:
    found = math_answer(Region(text=text))
    assert found is not None
    assert (found.text, found.place, found.exact) == (answer, Place.FINAL_LINE, True)


def test_a_last_line_in_words_is_left_to_the_search() -> None:
    found = math_answer(Region(text="The final answer is 5 apples in each basket."))
    assert found is not None
    assert not found.exact


def test_the_places_are_tried_in_the_documented_order() -> None:
    line, thought = "The final answer is $2$.", "\\boxed{3}"
    places = [
        math_answer(Region(text=f"\\boxed{{1}} {line}", thought=thought)),
        math_answer(Region(text=line, thought=thought)),
        math_answer(Region(text="It is 4.", thought=thought)),
        math_answer(Region(text="It is 4.")),
    ]
    assert [found and found.place for found in places] == [
        Place.BOX,
        Place.FINAL_LINE,
        Place.THOUGHT_BOX,
        Place.REGION,
    ]


def test_a_region_that_is_nothing_but_an_expression_is_the_answer() -> None:
    for text in ("(x+1)^2", "$\\frac{1}{2}$", "10\\text{ units}", "yes"):
        found = math_answer(Region(text=text))
        assert found is not None
        assert found.exact


@pytest.mark.parametrize("region", [Region(text=None), Region(text=""), Region(text=" \n "), Region(text="\\boxed{}")])
def test_nothing_said_is_no_answer(region: Region) -> None:
    assert math_answer(region) is None


@pytest.mark.parametrize("target", ["5", "$5$", "\\boxed{5}", "$\\boxed{5}$", " 5 ", "\\(5\\)"])
def test_a_target_loses_what_typesets_it(target: str) -> None:
    assert unwrap(target) == "5"


def test_a_currency_sign_is_part_of_a_target() -> None:
    assert unwrap("\\$36") == "\\$36"


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 12_000,
        "\\boxed{" * 12_000 + "}" * 12_000,
        "\\boxed{5}, " * 9_000,
        "\\boxed{" + "*" * 90_000 + "}",
        "\n" * 100_000,
        " " * 100_000,
        ("answer" + " " * 300) * 300,
        "the answer is " * 7_000,
        "final answer is 5" + " " * 1_900 + "I hop",
        "$" * 100_000,
        "\\" * 100_000,
        "<think>" * 14_000,
        "\n(A" * 30_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_reading_an_endless_loop_takes_linear_time(text: str) -> None:
    started = time.process_time()
    math_answer(answer_region(text, finish_reason="stop"))
    assert time.process_time() - started < 2.0
