"""Which language a text is mostly in: by its script, and among Latin ones by their commonest words."""

from __future__ import annotations

import re
from collections import Counter

SCRIPTS = {
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
}
LATIN_WORD = re.compile(r"[a-zà-öø-ÿ]{2,}")
MATHS = re.compile(r"\\[A-Za-z]+|\$[^$\n]{0,400}\$|```.*?```", re.DOTALL)
COMMON = {
    "en": "the and of to is that we so in for this with are be it have if can then which there not but from",
    "de": "der die und das ist nicht ein wir zu den mit sich auf für eine wenn dann also aber von im dass kann",
    "fr": "le la les et des est que nous une pour dans qui sur pas donc avec ce si on alors mais sont par être",
    "es": "el la los que de y en un una por con es para como se si entonces pero del las más son podemos",
    "it": "il di che la per un una con non del si è sono come questo se allora ma della nel dei anche abbiamo",
    "pt": "o a os que de e em um uma por com é para como se não então mas do da são mais temos isso",
}
OWN = {language: frozenset(words.split()) for language, words in COMMON.items()}
LETTER_WEIGHT = 2.5
"""A character of a script without word gaps says as much as so many Latin letters."""
FOREIGN_SHARE = 0.15
LEAST_COMMON_WORDS = 5


def foreign_language(text: str, allowed: tuple[str, ...]) -> str | None:
    """The language outside `allowed` that a text is in to a considerable part; None where there is none.

    Formulas say nothing. A text too short to tell, or of numbers alone, is in no foreign language.
    """
    words = MATHS.sub(" ", text.lower())
    latin = LATIN_WORD.findall(words)
    letters = sum(map(len, latin))
    counts = {name: LETTER_WEIGHT * len(pattern.findall(words)) for name, pattern in SCRIPTS.items()}
    if counts["ja"]:  # Japanese is written with Chinese characters too
        counts["ja"], counts["zh"] = counts["ja"] + counts["zh"], 0
    total = letters + sum(counts.values())
    foreign = [name for name, n in counts.items() if name not in allowed and n > FOREIGN_SHARE * total]
    if foreign:
        return max(foreign, key=lambda name: counts[name])
    latin_language = _latin_language(latin)
    mostly_latin = letters > total / 2
    return latin_language if mostly_latin and latin_language and latin_language not in allowed else None


def _latin_language(words: list[str]) -> str | None:
    """The Latin-script language whose common words stand out; None where too few of any do."""
    counted = Counter(words)
    hits = {language: sum(counted[word] for word in own) for language, own in OWN.items()}
    (first, most), (_, second) = Counter(hits).most_common(2)
    return first if most >= LEAST_COMMON_WORDS and most > 1.5 * second else None
