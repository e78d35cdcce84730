"""Does the decontamination find MATH-500 and AIME problems, and leave others alone?

    BENCHMARK_MIRROR=<dir> python -m benchmarks.decontamination

Half of MATH-500 and both AIME years are protected. Planted are their problems as they are, with every number changed,
with other formatting, and with both; the other half of MATH-500 (the same authors, topics and phrases: as hard as
clean problems get) must pass. Recall is over the planted, precision over everything that was flagged when each kind of
planted problem stands among as many clean ones.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping

from backend_jobs.datasets.decontaminate import Decontaminator, Overlap, word_grams
from backend_jobs.generate.benchmark_texts import problem_texts
from settings import read_settings

SEED = 0
DISPLAY = re.compile(r"\$\$?(.+?)\$\$?", re.DOTALL)


def main() -> None:
    """Print one table."""
    texts = {name: problem_texts(name, read_settings()) for name in ("math_500", "aime_2024", "aime_2025")}
    keys = sorted(texts["math_500"], key=int)
    draw = random.Random(SEED)
    draw.shuffle(keys)
    clean = [texts["math_500"].pop(key) for key in keys[len(keys) // 2 :]]
    planted = [text for problems in texts.values() for text in problems.values()]
    kinds: Mapping[str, Callable[[str], str]] = {
        "as they are": lambda text: text,
        "other numbers": lambda text: other_numbers(text, draw),
        "other formatting": other_formatting,
        "both": lambda text: other_formatting(other_numbers(text, draw)),
    }
    rewordings = {kind: [change(text) for text in planted] for kind, change in kinds.items()}
    ours = Decontaminator(texts)
    checks = {
        "eight words, as Open-R1": eight_words(planted),
        "ours": lambda text: ours.check(text) is not None,
        "ours without eight words": wording_only(ours),
    }
    print(f"{len(planted)} protected, {len(clean)} clean")
    print(f"| check | {' | '.join(f'recall, {kind}' for kind in kinds)} | clean flagged | precision, all kinds | ms |")
    print(f"|---|{'---|' * len(kinds)}---|---|---|")
    for name, check in checks.items():
        began = time.perf_counter()
        false = sum(map(check, clean))
        spent = 1000 * (time.perf_counter() - began) / len(clean)
        found = {kind: sum(map(check, written)) for kind, written in rewordings.items()}
        recalls = " | ".join(f"{100 * found[kind] / len(planted):.1f} %" for kind in kinds)
        flagged = sum(found.values()) / len(kinds) + false * len(planted) / len(clean)
        precision = 100 * sum(found.values()) / len(kinds) / flagged
        print(f"| {name} | {recalls} | {false} of {len(clean)} | {precision:.1f} % | {spent:.2f} |")


def eight_words(protected: list[str]) -> Callable[[str], bool]:
    """Any eight words in a row in common."""
    grams = {gram for text in protected for gram in word_grams(text)}
    return lambda text: not grams.isdisjoint(word_grams(text))


def wording_only(ours: Decontaminator) -> Callable[[str], bool]:
    """Our check where eight words in a row alone are not believed."""

    def check(text: str) -> bool:
        # Between the words, marks break every run of eight without changing the wording.
        hit = ours.check(" ~ ".join(text.split()))
        return hit is not None and hit.overlap is not Overlap.NGRAM

    return check


def other_numbers(text: str, draw: random.Random) -> str:
    """Every number another one."""
    return re.sub(r"\d+", lambda number: str(int(number[0]) + draw.randint(1, 9)), text)


def other_formatting(text: str) -> str:
    """The same problem as another site writes it: delimiters, fractions, spaces, emphasis."""
    text = DISPLAY.sub(lambda formula: f"\\( {formula[1].strip()} \\)", text)
    text = text.replace("\\frac", "\\dfrac").replace("\\left", "").replace("\\right", "").replace("\\le ", "\\leq ")
    text = re.sub(r"([,;])", r" \1", text)
    return f"**Problem.** {'  '.join(text.split(' '))}"


if __name__ == "__main__":
    main()
