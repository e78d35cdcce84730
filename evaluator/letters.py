"""Which option letter (A to D) a completion settles on: many phrasings, many languages, never a guess.

A letter counts where it is stated: boxed, after a word for "answer" or "option", or alone on a line. Of several
statements the last wins. An "A" that may be an article, two letters at once and a letter that is denied state nothing.
All scans are linear in the length of the text. The words for "answer" in other languages are those that simple-evals
(github.com/openai/simple-evals) looks for, and their copulas.
"""

from __future__ import annotations

import re

FULL_WIDTH = str.maketrans(
    dict(zip("ＡＢＣＤＥＦ：（）．。，、！＝［］【】「」『』《》", "ABCDEF:()..,,!=[][]" + 6 * '"', strict=True))
    | {"\u200b": "", "\u200c": "", "\u200d": "", "\u200e": "", "\u200f": "", "\u00a0": " ", "\u3000": " "}
)
"""Punctuation and letters of East Asian typesetting as their plain forms; marks without width are dropped."""
NATIVE = {"أ": "A", "ب": "B", "ج": "C", "د": "D"}

OPENINGS = (
    r"(?:[\s*_`\"'“‘(\[{<$]|\\\(|\\\[|\\(?:text|textbf|textrm|textsf|mathrm|mathbf|mathsf|boxed|bf|rm) ?\{?){0,12}"
)
CLOSINGS = r"[*_`\"'”’)\]}>$\\]{0,12}"
OPTION = r"(?:(?:the )?(?:correct |final )?(?:option|choice|answer|letter)\b[\s*:]{0,6})?"
# A letter that is denied, one of several, or the first letter of a word or formula states nothing.
DENIED = (
    rf"(?!{CLOSINGS}\s{{0,3}}(?:(?:is|was|are|can|could|would be|must be|est|ist|es|é|è)\s+)?"
    r"(?:not\b|n[o']t\b|cannot\b|wrong\b|incorrect\b|false\b|impossible\b|ruled out\b|eliminated\b|out\b|"
    r"不|错|錯|では(?:な|あり)|じゃな|[가이]?\s?아[니닙]|नहीं|не\b|no es\b|não\b|n'est|nicht\b|falsch\b))"
)
JOINED = r"(?:/|&|\+|\b(?:or|and|oder|und|ou|o|y|e|или|и)\b|或|和|と|또는)"
SEVERAL = (
    rf"(?!{CLOSINGS}\s{{0,9}}(?:{JOINED}\s{{0,9}}{OPENINGS}[A-D](?![A-Za-z])"
    rf"|, ?[A-D]{CLOSINGS}\s{{0,9}}(?:[.;]|\n|\Z)))"
)
WHOLE = r"(?![A-Za-z0-9_'’=^]|-[A-Za-z0-9])" + SEVERAL + DENIED
# "A" and then a word is an article, unless the word could not follow one.
ARTICLE = (
    r"(?!A +(?!(?:because|since|as|due|is|was|which|for|so|but|if|given|in|on|by|from|of|to|and|that|it|with|"
    r"based|when|where|while|would|must|should|has|gives|satisfies|matches|i|we|therefore|thus|hence)\b)[a-z])"
)
LETTER = OPENINGS + ARTICLE + r"(?P<letter>[A-D])" + WHOLE
SMALL = OPENINGS + r"(?P<letter>[a-d])(?=\)|[*_`]{1,2}\)|[.)\]}$*]{0,8}[ \t]{0,8}$)"
LONE_ENDING = r"[ \t*_)\]}$.]{0,12}$"
IS = r"(?:\bis\b|\bwould be\b|\bmust be\b|\bshould be\b|:|=|\u2014|\u2013|->|→)"
CERTAINLY = r"(?:for sure |clearly |definitely |therefore |thus |most likely |probably |indeed |simply |just )?"
STATED = rf"\b(?:answer|choice|option|selection)\b[^.\n]{{0,60}}?{IS}[\s*_]{{0,6}}{CERTAINLY}{OPTION}"
STATEMENTS = (
    re.compile(r"\\(?:boxed|fbox)\s*\{" + LETTER),
    re.compile(r"\\(?:boxed|fbox)\s*\{" + OPENINGS + r"(?P<letter>[a-d])(?=[\s.)\]}$]{0,6}\})"),
    re.compile(rf"(?i:{STATED})" + LETTER),
    re.compile(r"(?i:\banswer ?:?)" + LETTER),
    re.compile(r"(?i:\banswer ?(?:is ?)?:|\banswer is (?:option |choice )?(?=[(\[*\"'$\\b-d]))" + SMALL, re.MULTILINE),
    re.compile(r"(?i:\bi(?:'ll| will| would)? (?:choose|pick|select|go with) (?:option |choice |answer )?)" + LETTER),
    re.compile(
        r"(?i:\b(?:option|choice|answer)) " + LETTER + r"[*)\].]{0,6} (?i:is (?:the )?(?:correct|right|best)\b)"
    ),
    re.compile(
        r"(?i:^|[.,;:]\s|\b(?:so|thus|hence|therefore|that)\s)"
        + LETTER
        + r"[*)\]]{0,6} (?i:is (?:the )?(?:correct|right)\b)",
        re.MULTILINE,
    ),
)
"""Explicit statements of a letter in English and in LaTeX."""

# noun, copula, what may stand between copula and letter, and what follows a letter that comes first.
LANGUAGES = (
    (
        r"答案|答|選項|选项|回答|正解",
        r"应该是|應該是|应是|选择|選擇|是|为|為|选|選|:|=",
        r"选项|選項",
        r"(?:选项|選項)?(?:是)?(?:正确|正確|对的)",
    ),
    (r"答え|答|解答|回答|正解|正答", r"は|が|:|=", r"選択肢", r"(?:が|は)(?:正解|正しい|正答|答え)"),
    (r"정답|답변|답", r"은|는|:|=", r"선택지|보기", r"[이가] ?(?:정답|답|맞)|번이 정답"),
    (r"उत्तर|जवाब|विकल्प", r"है|:|=|(?<=उत्तर)|(?<=विकल्प)|(?<=जवाब)", r"विकल्प", r" ?(?:सही|है)"),
    (r"উত্তর", r"হলো|হল|:|ঃ|=", r"বিকল্প", r" ?সঠিক"),
    (r"الإجابة|إجابة|الجواب|الاجابة|جواب", r"هي|هو|:|=", r"الخيار|الحرف", r" ?(?:هي|هو) الإجاب"),
    (r"ответ(?:ом)?\b", r"является|будет|это|:|=|—|–|-", r"вариант|буква", r"\)? ?— правильный"),
    (
        r"respuesta\b|opción correcta",
        r"(?<!no )\bes\b|:|=",
        r"la opción|opción|la letra|la",
        r" es (?:la )?(?:correcta|respuesta correcta)",
    ),
    (
        r"réponse\b|option correcte",
        r"\best\b|:|=",
        r"l['’]option|la lettre|option|la",
        r" est (?:la )?(?:correcte|bonne réponse)",
    ),
    (
        r"antwort\b|lösung\b",
        r"\bist\b|\blautet\b|\bwäre\b|:|=",
        r"die option|option|antwort|buchstabe",
        r" ist (?:richtig|korrekt|die richtige)",
    ),
    (
        r"resposta\b|alternativa correta|opção correta",
        r"(?<!não )\bé\b|:|=",
        r"a (?:opção|alternativa|letra)|opção|alternativa|letra|a",
        r" é (?:a )?(?:correta|resposta correta)",
    ),
    (
        r"risposta\b",
        r"(?<!non )\bè\b|:|=",
        r"l['’]opzione|la lettera|opzione|la",
        r" è (?:la )?(?:corretta|risposta corretta|giusta)",
    ),
    (
        r"jawaban(?:nya)?\b|odpowiedź\b|cevap\b|yanıt\b|antwoord\b|svar(?:et)?\b|đáp án\b"
        r"|câu trả lời\b|คำตอบ|jibu\b|ìdáhùn\b",
        r"\badalah\b|\bto\b|\bis\b|\bär\b|\ber\b|\blà\b|คือ|\bni\b|:|=",
        r"opsi|pilihan|opcja|optie|alternativ|phương án",
        r"(?!)",
    ),
)
DENIAL = r"不|没|не\b|нет|ليس|नहीं|নয়|\bno\b|\bnão\b|\bnon\b|\bnicht\b|\bkein|\bbukan\b|\bnie\b|không"
"""Between noun and letter: the sentence says what the answer is not."""


def _in_language(nouns: str, copulas: str, options: str, praises: str) -> list[re.Pattern[str]]:
    named = rf"(?:{options})?[\s:]{{0,3}}"
    letter = OPENINGS + r"(?P<letter>[A-Dأبجد])" + r"(?![A-Za-z0-9_'’\u0600-\u06ff])" + SEVERAL + DENIED
    between = rf"(?:(?!{DENIAL})[^.\n]){{0,40}}?"
    return [
        re.compile(rf"(?i:(?:{nouns}){between}(?:{copulas})[\s*_]{{0,6}}{named}){letter}"),
        re.compile(rf"(?:^|(?<=[\s.,:(*]))(?P<letter>[A-D])[*)\]]{{0,4}}(?:{praises})"),
    ]


FOREIGN = (
    *(pattern for language in LANGUAGES for pattern in _in_language(*language)),
    # "choose C", with no word for "answer".
    re.compile(r"(?:(?<!不)(?:故|应|應|我)?[选選](?:择|擇|项|項)?|選択肢)[\s:]{0,3}" + LETTER),
)
"""Explicit statements in other languages."""
WEAK = re.compile(
    rf"(?i:\b(?:it(?:'s|’s| is| must be)|therefore|so|thus|hence),? {OPTION})"
    + LETTER
    + rf"(?={CLOSINGS}\s{{0,4}}(?:[.,;!]|$|because\b|since\b))",
    re.MULTILINE,
)
"""Counts only where nothing is explicit: "thus B" may speak of a field."""
LONE_LETTER = re.compile(r"^[ \t*_(\[$]{0,12}(?P<letter>[A-Da-d])" + LONE_ENDING, re.MULTILINE)
LEADING_LETTER = re.compile(
    r"^[ \t*_(\[]{0,12}(?P<letter>[A-D])(?:[*_)\]]{0,6}[.:,)](?![A-Za-z0-9_])|[*_)\]]{0,6} (?=[A-Z0-9(])|\)|$)",
    re.MULTILINE,
)
"""Without any statement: a line that is only a letter, then the one letter that lines begin with (`C Cecile`)."""


def stated_letter(text: str) -> str | None:
    """The letter that a text states last, or None where it states none."""
    text = text.translate(FULL_WIDTH)
    return _last((*STATEMENTS, *FOREIGN), text) or _last((WEAK,), text)


def lone_letter(text: str) -> str | None:
    """The letter of the last line that is only a letter, or the one letter that lines begin with; else None."""
    text = text.translate(FULL_WIDTH)
    if alone := [match["letter"] for match in LONE_LETTER.finditer(text)]:
        return str(alone[-1]).upper()
    leading = {match["letter"] for match in LEADING_LETTER.finditer(text)}
    return leading.pop() if len(leading) == 1 else None


def _last(patterns: tuple[re.Pattern[str], ...], text: str) -> str | None:
    ends = [(match.end("letter"), match["letter"]) for pattern in patterns for match in pattern.finditer(text)]
    if not ends:
        return None
    letter = str(max(ends)[1])
    return NATIVE.get(letter, letter.upper())
