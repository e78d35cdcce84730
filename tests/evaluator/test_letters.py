"""Which option letter a completion settles on."""

from __future__ import annotations

import time

import pytest

from evaluator.answers import Place, Region, answer_region, letter_answer


def letter_of(text: str) -> str | None:
    found = letter_answer(Region(text=text))
    return found.text if found else None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("Answer:C", "C"),
        ("**Answer: C**", "C"),
        ("**Answer:** C", "C"),
        ("**Answer: (C)**", "C"),
        ("Answer: $\\boxed{D}$", "D"),
        ("Answer: $\\text{B}$", "B"),
        ("Answer: \\(\\mathbf{C}\\)", "C"),
        ("Answer: (A)", "A"),
        ("Answer: A) 5 m/s", "A"),
        ("Answer: C. 10^{-3} eV", "C"),
        ("Answer: b", "B"),
        ("answer: (c)", "C"),
        ("final answer: C) 5 m/s", "C"),
        ("Final answer: c) 5 m/s", "C"),
        ("Final Answer:\n\n**D**", "D"),
        ("### Answer\n\nB", "B"),
        ("\\boxed{\\text{(C)}}", "C"),
        ("\\[\\boxed{\\text{(C)}}\\]", "C"),
        ("\\boxed{\\mathrm{C}}", "C"),
        ("\\boxed{c}", "C"),
        ("\\boxed{\\textbf{D}}", "D"),
        ("\\boxed{\\text{C) 10 eV}}", "C"),
        ("The correct answer is option C.", "C"),
        ("The correct answer is **B) heavy water**.", "B"),
        ("The answer is: \n\n**D**", "D"),
        ("the answer is (c)", "C"),
        ("So the best choice would be (B).", "B"),
        ("The correct option is C", "C"),
        ("Hence option (D) is right.", "D"),
        ("Therefore, A is the correct choice.", "A"),
        ("I choose A.", "A"),
        ("I'll go with option B.", "B"),
        ("It's not A because that fails, therefore I think it's B", "B"),
        ("The answer is for sure D, it can't be A or B", "D"),
        ("D. it can't be A or B", "D"),
        ("C Cecile", "C"),
        ("The answer is A because the photon is massless.", "A"),
        ("The answer is A in both cases.", "A"),
    ],
)
def test_a_letter_is_read_from_many_phrasings(text: str, letter: str) -> None:
    assert letter_of(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("答案：C", "C"),
        ("答案是C", "C"),
        ("答案是 **C**。", "C"),
        ("所以正确答案为（B）。", "B"),
        ("正确选项是D", "D"),
        ("因此选C。", "C"),
        ("故选：B", "B"),
        ("我选择A", "A"),
        ("选项B是正确的", "B"),
        ("答案：Ｃ", "C"),
        ("B。 不是 A", "B"),
        ("答えはCです。", "C"),
        ("正解：D", "D"),
        ("したがって、Bが正解です", "B"),
        ("정답은 B입니다.", "B"),
        ("정답: C", "C"),
        ("따라서 C가 정답입니다", "C"),
        ("La respuesta correcta es la opción B.", "B"),
        ("Respuesta: C", "C"),
        ("**Respuesta final:** D", "D"),
        ("La réponse est C", "C"),
        ("réponse est C non A", "C"),
        ("Réponse : B", "B"),
        ("La bonne réponse est la lettre D.", "D"),
        ("Die richtige Antwort ist C.", "C"),
        ("Die Antwort lautet: B", "B"),
        ("**Antwort:** D", "D"),
        ("A resposta correta é a alternativa B.", "B"),
        ("Resposta: C", "C"),
        ("La risposta corretta è C.", "C"),
        ("Правильный ответ: C", "C"),
        ("Ответ — B.", "B"),
        ("Правильным ответом является вариант D", "D"),
        ("الإجابة: C", "C"),
        ("الإجابة الصحيحة هي B", "B"),
        ("الإجابة: ج", "C"),
        ("उत्तर: B", "B"),
        ("सही उत्तर C है", "C"),
        ("উত্তর: D", "D"),
        ("Jawaban: C", "C"),
        ("Odpowiedź: B", "B"),
        ("Đáp án: D", "D"),
        ("คำตอบคือ A", "A"),
        ("Jibu: C", "C"),
    ],
)
def test_a_letter_is_read_in_many_languages(text: str, letter: str) -> None:
    assert letter_of(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: A\nWait, no. Answer: B", "B"),
        ("The answer cannot be A, so the answer is B", "B"),
        ("Option A is incorrect. Option B is the correct answer", "B"),
        ("Answer: A. Option B is incorrect because it is wrong.", "A"),
        ("Answer: A. Vitamin C is the best known antioxidant.", "A"),
        ("答案是A。不对，答案是D。", "D"),
        ("Answer: C\n\nThus B = 0.5 T, so D.", "C"),
        ("La respuesta no es A. La respuesta es B.", "B"),
        ("答案不是A，答案是C", "C"),
        ("答えはAではありません。答えはBです。", "B"),
    ],
)
def test_the_last_explicit_letter_wins(text: str, letter: str) -> None:
    assert letter_of(text) == letter


@pytest.mark.parametrize(
    "text",
    [
        "A photon is emitted. Because of a Doppler shift it is red.",
        "I think a big answer is a mess.",
        "The answer is A photon with more energy",
        "The answer is a\nphoton",
        "Answer: B or C",
        "Answer: B and C",
        "Answer: (A) or (B)",
        "Answer: None of these",
        "Answer: $LETTER",
        "Answer: Dipole moment",
        "The answer: CH4",
        "Thus B = 0.5 T",
        "So A is wrong.",
        "La respuesta no es A.",
        "答案不是A",
        "答えはAではありません。",
        "정답은 A가 아닙니다",
        "La respuesta es a veces difícil",
        "A) 5\nB) 6\nC) 7\nD) 8",
        "",
    ],
)
def test_a_text_without_an_explicit_letter_has_no_letter(text: str) -> None:
    assert letter_of(text) is None


def test_a_letter_only_inside_a_closed_thought_is_found_there() -> None:
    found = letter_answer(Region(text="", thought="Therefore the answer is C."))
    assert found is not None
    assert (found.text, found.place) == ("C", Place.THOUGHT_BOX)


@pytest.mark.parametrize(
    "text",
    [
        ("answer" + " " * 300) * 300,
        "the answer is " * 7_000,
        "答案" * 50_000,
        "答案是" * 30_000,
        "respuesta " * 10_000,
        "\n(A" * 30_000,
        "A, B, " * 15_000,
        "(" * 100_000,
        " " * 100_000,
        "so A " * 20_000,
        "$\\text{" * 14_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_looking_for_a_letter_in_an_endless_loop_takes_linear_time(text: str) -> None:
    started = time.process_time()
    letter_answer(answer_region(text, finish_reason="stop"))
    assert time.process_time() - started < 2.0
