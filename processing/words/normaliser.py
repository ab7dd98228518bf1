"""Text as word error rates compare it: what is said, not how it is written. Versioned: rates of two versions differ.

Belongs here: the rules. Does not belong here: measuring (benchmarks, golden sets), or texts that people read. Pure.

In order: compatibility forms, lower case, marks of sound like [music] dropped, punctuation dropped but apostrophes
within words, titles and spoken numbers up to ninety-nine as words (English), spaces made single. A language written
without spaces is compared character by character.
"""

from __future__ import annotations

import re
import unicodedata

from processing.words.answers.whisper import UNSPACED
from processing.words.transcript_plan import primary

VERSION = "1"  # raised when any text would come out different; golden sets hold the version they were made with

_MARKS = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪[^♪]*♪?")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})
_NOT_SAID = re.compile(r"(?<!\w)'|'(?!\w)|[^\w\s']|_")
_DIGITS = re.compile(r"(?<![\w.])\d{1,2}(?![\w.])")
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TITLES = {"mister": "mr", "missis": "mrs", "missus": "mrs", "doctor": "dr", "okay": "ok"}


def normalised(text: str, language: str | None = "en") -> str:
    """The text as it is compared; language is a BCP 47 tag, None for one that is not known."""
    tongue = primary(language or "")
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    plain = _MARKS.sub(" ", plain)
    if tongue == "en":
        plain = _DIGITS.sub(lambda found: _spoken(int(found.group())), plain)
    plain = _NOT_SAID.sub(" ", plain)
    if tongue in UNSPACED:
        return " ".join("".join(plain.split()))
    words = plain.split()
    return " ".join(_TITLES.get(word, word) for word in words) if tongue == "en" else " ".join(words)


def _spoken(number: int) -> str:
    units = _UNITS.split()
    if number < len(units):
        return units[number]
    tens = _TENS.split()[number // 10 - 2]
    return f"{tens} {units[number % 10]}" if number % 10 else tens
