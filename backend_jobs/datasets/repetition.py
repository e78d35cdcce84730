"""How much of a text is repetition: models that lost their way write one passage until the budget ends."""

from __future__ import annotations

TAIL_CHARACTERS = 6_000
LEAST_TURNS = 3
"""A passage at the end counts as a loop where it stands there so often."""
LEAST_LOOP_CHARACTERS = 60
WINDOW_WORDS = 12
LEAST_WORDS = 60


def repeated_share(text: str) -> float:
    """The share of a text, 0 to 1, that repeats what came before: a loop at its end, or passages of twelve words."""
    return max(_loop_share(text), _passages_share(text))


def _loop_share(text: str) -> float:
    """The share that a periodic end takes, less its first turn. Linear, by the failure function of the reversed end."""
    end = text.rstrip()[-TAIL_CHARACTERS:][::-1]
    best, fallback = 0, [0] * len(end)
    length = 0
    for place in range(1, len(end)):
        while length and end[place] != end[length]:
            length = fallback[length - 1]
        length += end[place] == end[length]
        fallback[place] = length
        period, covered = place + 1 - length, place + 1
        if covered >= LEAST_TURNS * period and covered >= LEAST_LOOP_CHARACTERS:
            best = max(best, covered - period)
    return best / max(1, len(text))


def _passages_share(text: str) -> float:
    words = text.split()
    windows = len(words) - WINDOW_WORDS + 1
    if len(words) < LEAST_WORDS:
        return 0.0
    seen: set[int] = set()
    repeated_until, repeated = 0, 0
    for start in range(windows):
        passage = hash(tuple(words[start : start + WINDOW_WORDS]))
        if passage in seen:
            end = start + WINDOW_WORDS
            repeated += end - max(start, repeated_until)
            repeated_until = end
        seen.add(passage)
    return repeated / len(words)
