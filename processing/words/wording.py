"""What two texts have in common: tokens, stems, numbers as they are written or spoken, names.

Belongs here: taking a text apart, for comparing a statement with what it cites. Does not belong here: what follows from
a difference (contracts/summary, resources/releases/scoring) or reading a recogniser's words (transcript).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from processing.words.stop_words import stop_words

_TOKEN = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
# Scripts without spaces between words, where every character counts as one: Thai, Lao, Khmer, kana, Han.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
CLOCK = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,2}):([0-5]\d)\b")
_SENTENCE_END = ".!?…:;。！？\n"
STEM = 5  # letters: enough to tell words apart, few enough that "launch" and "launched" are one
CAPITAL_NOUNS = frozenset({"de", "lb"})  # languages that write every noun with a capital: no sign of a name there
SMALL = 2  # numbers up to this are often no count when they are spelled out: "one of them"

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS_EN = {word: value for value, word in enumerate(_UNITS.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), start=2)
}
_SCALES_EN = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
LONGEST_NUMBER = 12  # number words that are read as one
SPELLED = frozenset({"en"})  # languages whose spoken numbers are understood here


def base(language: str | None) -> str:
    """The language of a BCP 47 tag without region or script, lower case."""
    return (language or "").partition("-")[0].lower()


def tokens(text: str) -> list[str]:
    """The words of a text as they are written, in order; characters where a script has no spaces between words."""
    found: list[str] = []
    for word in _TOKEN.findall(unicodedata.normalize("NFKC", text)):
        if not UNSPACED.search(word):
            found.append(word)
            continue
        rest = ""
        for character in word:
            if UNSPACED.match(character):
                found += [rest, character] if rest else [character]
                rest = ""
            else:
                rest += character
        if rest:
            found.append(rest)
    return found


def folded(word: str) -> str:
    """A word without case, accents and the genitive's 's."""
    bare = "".join(each for each in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(each))
    bare = bare.replace("’", "'")
    return bare.removesuffix("'s").removesuffix("'")


def stem(word: str) -> str:
    """What words of one root have in common, roughly: their first letters, folded, without the plural's s."""
    bare = folded(word)
    plural = len(bare) > 3 and bare.endswith("s") and not bare.endswith("ss")
    return bare[:-1][:STEM] if plural else bare[:STEM]


def content(text: str, language: str | None) -> list[str]:
    """The stems of the words that say something, in order."""
    little = stop_words(language)
    found = []
    for word in tokens(text):
        if word.casefold().replace("’", "'") in little or (len(word) == 1 and not UNSPACED.match(word)):
            continue
        found += [stem(part) for part in word.split("-") if part]
    return found


def supported_share(text: str, source: str, language: str | None) -> tuple[int, int]:
    """How many of the words that say something in `text` occur in `source`, and how many there are."""
    said = set(content(source, language)) | {stem(word) for word in tokens(source)}
    wanted = content(text, language)
    return sum(word in said for word in wanted), len(wanted)


def faithfulness(statements: Iterable[tuple[str, str]], language: str | None) -> Fraction:
    """The share of the words that say something, over all statements, that occur in what each cites; 1 of none.

    `statements` are pairs of what is said and the text it cites. A quotation has 1, a free rendering about a half, a
    summary of something else near 0.
    """
    shares = [supported_share(text, cited, language) for text, cited in statements]
    wanted = sum(count for _, count in shares)
    return Fraction(sum(found for found, _ in shares), wanted) if wanted else Fraction(1)


def names(text: str) -> list[str]:
    """Words that a capital marks as names: inside a sentence, or of capitals only.

    The first word of a sentence has one anyhow. Nothing in scripts without capitals; in a title in which nearly every
    word has one, a capital says nothing.
    """
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if not word[0].isupper() or word == "I" or word.startswith(("I'", "I’")):
            continue
        before = text[: match.start()].rstrip(" \t\"'“”‘’«»([")
        starts = not before or before[-1] in _SENTENCE_END
        if not starts or (len(word) > 1 and word.isupper()):
            found.append(word)
    return found


def is_title_case(text: str) -> bool:
    """Whether so many words have a capital that it marks no names."""
    words = [word for word in tokens(text) if len(word) > 3]
    return len(words) >= 2 and sum(word[0].isupper() for word in words) * 4 >= 3 * len(words)


def clock_times(text: str) -> list[int]:
    """Times of the form 1:23 or 1:02:03 in a text, in seconds."""
    return [
        int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) for hours, minutes, seconds in CLOCK.findall(text)
    ]


def stated_numbers(text: str, language: str | None) -> list[str]:
    """The numbers a statement holds, as digits; times of day and small numbers that are spelled out are left alone."""
    found = [_plain(number) for number in _DIGITS.findall(CLOCK.sub(" ", text))]
    if base(language) in SPELLED:
        for run in _number_words(text):
            value = _value(run)
            if value > SMALL or len(run) > 1:
                found.append(str(value))
    return found


def said_numbers(text: str, language: str | None) -> set[str]:
    """Every number that can be heard in a text: its digits, and what its number words may mean.

    "nineteen sixty one" is 1961 as well as 19 and 61; "one oh four" is 104.
    """
    found = {_plain(number) for number in _DIGITS.findall(text)}
    for digits in list(found):
        found.update(re.findall(r"\d+", digits))
    if base(language) in SPELLED:
        for run in _number_words(text):
            for start in range(len(run)):
                for end in range(start + 1, min(len(run), start + LONGEST_NUMBER) + 1):
                    found.update(_readings(run[start:end]))
    return found


def _plain(number: str) -> str:
    """Digits without thousands separators and leading zeros; a decimal comma becomes a point."""
    grouped = re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", number)
    bare = re.sub(r"[.,]", "", number) if grouped else number.replace(",", ".")
    whole, point, rest = bare.partition(".")
    return f"{whole.lstrip('0') or '0'}{point}{rest}"


def _number_words(text: str) -> Iterator[list[str]]:
    """Runs of number words of a text; "and" and hyphens inside a run are passed over."""
    run: list[str] = []
    words = [part for word in tokens(text) for part in word.casefold().split("-")]
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else ""
        if word in _WORDS_EN or word in _SCALES_EN or (word == "oh" and (run or following in _WORDS_EN)):
            run.append(word)
        elif word == "and" and run and run[-1] in _SCALES_EN and following in _WORDS_EN:
            continue
        else:
            if run:
                yield run
            run = []
    if run:
        yield run


def _readings(run: Sequence[str]) -> Iterable[str]:
    """What a run of number words may mean, as digits."""
    yield str(_value(run))
    if all(word not in _SCALES_EN for word in run):
        yield "".join(str(_WORDS_EN.get(word, 0)) for word in run).lstrip("0") or "0"
        yield "".join(_grouped(run)).lstrip("0") or "0"


def _grouped(run: Sequence[str]) -> Iterator[str]:
    """Tens with their units, then whatever stands alone: "twenty", "twenty" + "four" give 20 and 24."""
    pending: int | None = None
    for word in run:
        value = _WORDS_EN.get(word, 0)
        if pending is not None and 0 < value < 10:
            yield str(pending + value)
            pending = None
            continue
        if pending is not None:
            yield str(pending)
        pending = value if value >= 20 else None
        if pending is None:
            yield str(value)
    if pending is not None:
        yield str(pending)


def _value(run: Sequence[str]) -> int:
    """The number of a run read as one: "three hundred and five thousand"."""
    total = part = 0
    for word in run:
        scale = _SCALES_EN.get(word)
        if scale is None:
            part += _WORDS_EN.get(word, 0)
        elif scale == 100:
            part = max(1, part) * scale
        else:
            total, part = total + max(1, part) * scale, 0
    return total + part
