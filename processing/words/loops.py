"""Text that repeats itself: the way language models fail when they lose their place.

Belongs here: finding loops, how well a text compresses. Does not belong here: what is done about it (contracts). Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_PHRASE = 40  # words: Whisper's windows of 30 s hold a hundred
# How often words may follow on themselves: people and songs say one word seven times, a phrase five, a sentence thrice.
MOST_TIMES = {1: 7, 2: 5, 3: 5}
MOST_TIMES_LONGER = 3
WINDOW = 60  # words, about 20 s, as long as what the ratio of Whisper's guard is taken of
LEAST_BYTES = 120  # below this the compressor's own overhead is what is measured


@dataclass(frozen=True, slots=True)
class Loop:
    """`phrase` words that begin at word `first` and follow on themselves, `times` in all."""

    first: int
    phrase: int
    times: int


def worst_loop(words: Sequence[str]) -> Loop | None:
    """The loop that goes furthest beyond what people say, None where nothing does. Words are compared as they are."""
    worst: Loop | None = None
    excess = 0
    for phrase in range(1, min(LONGEST_PHRASE, len(words) // 2) + 1):
        run = 0
        for number in range(phrase, len(words) + 1):
            if number < len(words) and words[number] == words[number - phrase]:
                run += 1
                continue
            times = run // phrase + 1
            over = (times - MOST_TIMES.get(phrase, MOST_TIMES_LONGER)) * phrase
            if over > excess:
                worst, excess = Loop(number - run - phrase, phrase, times), over
            run = 0
    return worst


def worst_compression(words: Sequence[str]) -> int:
    """The highest ratio of bytes to compressed bytes over windows of `WINDOW` words, in hundredths; 0 if short."""
    worst = 0
    for first in range(0, max(1, len(words) - WINDOW // 2), WINDOW // 2):
        data = " ".join(words[first : first + WINDOW]).encode("utf-8")
        if len(data) >= LEAST_BYTES:
            worst = max(worst, 100 * len(data) // len(zlib.compress(data)))
    return worst
