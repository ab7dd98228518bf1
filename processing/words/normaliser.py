"""Texts made alike before their words are compared: what differs only in writing is no error of a recogniser.

Belongs here: the rules and their version. Does not belong here: counting errors (resources/releases/scoring).

A score names `VERSION`: two scores of different versions cannot be compared.
"""

from __future__ import annotations

import re
import unicodedata

from processing.words.wording import UNSPACED, base, tokens

VERSION = "1"  # raised when any text would come out otherwise
_MARKS = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪[^♪]*♪?")
_DIGITS_EN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS_EN = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS_EN = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SAME_EN = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "st": "saint",
    "ok": "okay",
    "oh": "zero",
    "percent": "percent",
    "colour": "color",
    "harbour": "harbor",
    "grey": "gray",
    "metre": "meter",
    "metres": "meters",
    "kilometre": "kilometer",
    "kilometres": "kilometers",
    "centimetres": "centimeters",
    "tonnes": "tons",
}


def normalised(text: str, language: str | None = "en") -> str:
    """Words in small letters, parted by single spaces, without punctuation; a space after every character of scripts
    that write none.

    Marks of sound like [music] are dropped. In English digits become words as they are mostly said: up to 99 as a
    number, longer ones digit by digit.
    """
    plain = _MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold().replace("’", "'"))
    found: list[str] = []
    for token in tokens(plain):
        for word in token.split("-"):
            found += _spelled(word) if base(language) == "en" else [word]
    return " ".join(word for word in found if word)


def _spelled(word: str) -> list[str]:
    if not re.fullmatch(r"[0-9]+", word):
        return [_SAME_EN.get(word, word)]
    value = int(word) if len(word) <= 2 else 100
    if word[0] == "0" or value > 99:
        return [_DIGITS_EN[int(digit)] for digit in word]
    if value < 10:
        return [_DIGITS_EN[value]]
    if value < 20:
        return [_TEENS_EN[value - 10]]
    return [_TENS_EN[value // 10], *([_DIGITS_EN[value % 10]] if value % 10 else [])]


def written_alike(text: str) -> str:
    """A text as it is shown, for counting characters: composed letters, single spaces, case and marks kept; no spaces
    between characters of scripts that write none.
    """
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    return re.sub(rf"(?<={UNSPACED.pattern}) (?={UNSPACED.pattern})", "", line)
