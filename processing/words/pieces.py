"""A track of sound as pieces that are asked about one by one: cut in pauses, silence left out. Pure arithmetic.

Belongs here: where pieces begin and end, and whose a word at a border is. Does not belong here: writing them as files
(piece_files) or which tracks are wanted (transcript_plan).

All times are samples at 16 kHz from time 0 of the source's timeline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processing.sound.speech import WINDOW, Probabilities
from processing.words.answers.speech import RATE_HZ, SpokenWord, folded


@dataclass(frozen=True, slots=True)
class Piece:
    """What is sent: samples [start, end). Of them [first, last) are this piece's own.

    The rest is air around speech, or, where a cut had to go through speech, what the piece beside it has as well.
    """

    start: int
    end: int
    first: int
    last: int

    @property
    def samples(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A word on the source's timeline, and the number of the piece whose answer has it."""

    text: str
    start: int
    end: int
    confidence: int | None
    piece: int


Spans = Sequence[Sequence[int]]
OVERLAPPING = 64  # words: more than anybody says in the two seconds that pieces can share


def cut(segments: Spans, samples: int, rules: Mapping[str, int], probabilities: Probabilities) -> list[Piece]:
    """Pieces of a track of `samples` samples, in order, that hold all `segments` of speech.

    `rules` are transcript_plan.PIECE_RULES. No piece is longer than `longest_s`. A pause of `silence_s` ends one; where
    that would give more pieces than `most`, longer silences are sent instead of more questions. `probabilities` of
    speech, one a window, say where a stretch without a pause is cut: where they are least.
    """
    silence = rules["silence_s"] * RATE_HZ
    while True:
        pieces = _cut(segments, rules, probabilities, silence)
        if len(pieces) <= rules["most"] or silence > samples:
            return _padded(pieces, samples, rules)
        silence *= 2


def _cut(
    segments: Spans, rules: Mapping[str, int], probabilities: Probabilities, silence: int
) -> list[tuple[int, int]]:
    """The pieces' own spans."""
    longest = rules["longest_s"] * RATE_HZ - 2 * _samples(max(rules["pad_ms"], rules["overlap_ms"]))
    found: list[tuple[int, int]] = []
    rest = deque((int(start), int(end)) for start, end in segments)
    while rest:
        first, end = rest.popleft()
        if end - first > longest:  # a stretch of speech without a pause
            at = _quietest(first + longest // 2, first + longest, probabilities)
            found.append((first, at))
            rest.appendleft((at, end))
            continue
        taken = [(first, end)]
        while rest and rest[0][0] - taken[-1][1] < silence and rest[0][1] - first <= longest:
            taken.append(rest.popleft())
        if rest and rest[0][0] - taken[-1][1] < silence:  # it is full, not over: the longest pause of its second half
            count = _longest_pause([*taken, rest[0]], first + longest // 2)
            rest.extendleft(reversed(taken[count:]))
            del taken[count:]
        found.append((first, taken[-1][1]))
    return found


def _longest_pause(spans: Spans, after: int) -> int:
    """How many of the spans but the last to take, so that the cut is in the longest pause after `after`, the last of
    equals; all of them where none ends so late.
    """
    candidates = [number for number in range(1, len(spans)) if spans[number - 1][1] >= after]
    return max(candidates, key=lambda number: (spans[number][0] - spans[number - 1][1], number), default=len(spans) - 1)


def _quietest(start: int, end: int, probabilities: Probabilities) -> int:
    """The middle of the window between two samples in which speech is least likely, the last of equals."""
    first, last = -(-start // WINDOW), min(end // WINDOW, len(probabilities))
    if first >= last:
        return end
    lowest = min(range(first, last), key=lambda number: (int(probabilities[number]), -number))
    return lowest * WINDOW + WINDOW // 2


def _padded(spans: Spans, samples: int, rules: Mapping[str, int]) -> list[Piece]:
    """Air on either side. Two that share a pause share it in halves; two that share a cut through speech overlap."""
    pad, overlap = _samples(rules["pad_ms"]), _samples(rules["overlap_ms"])
    found = []
    for number, (first, last) in enumerate(spans):
        before = first - spans[number - 1][1] if number else 2 * pad
        after = spans[number + 1][0] - last if number + 1 < len(spans) else 2 * pad
        start = first - (min(pad, before // 2) if before else overlap)
        end = last + (min(pad, after // 2) if after else overlap)
        found.append(Piece(max(0, start), min(samples, end), first, last))
    return found


def _samples(ms: int) -> int:
    return RATE_HZ * ms // 1000


def together(answers: Sequence[tuple[Piece, Sequence[SpokenWord]]]) -> list[PlacedWord]:
    """The words of all pieces on the source's timeline, in order, none twice.

    Where two pieces overlap, a word that both have at times that meet is the first one's. Where they disagree about one
    moment, that moment is of the piece in whose own span the first one's word has its middle. What only one of them
    heard stays.
    """
    found: list[PlacedWord] = []
    for number, (piece, words) in enumerate(answers):
        own = [
            PlacedWord(each.text, piece.start + each.start, piece.start + each.end, each.confidence, number)
            for each in words
        ]
        if number and answers[number - 1][0].end > piece.start:
            found = _met(found, own, piece)
        else:
            found += own
    return sorted(found, key=lambda each: (each.start, each.end, each.piece))


def _met(before: list[PlacedWord], own: list[PlacedWord], piece: Piece) -> list[PlacedWord]:
    """The words before a piece and its own, put together where they overlap."""
    early, near = before[:-OVERLAPPING], before[-OVERLAPPING:]
    kept: list[PlacedWord] = []
    for late in own:
        rivals = [each for each in near if _shares_a_moment(each, late)]
        if any(folded(each.text) == folded(late.text) for each in rivals):
            continue
        if any((each.start + each.end) // 2 < piece.first for each in rivals):
            continue
        near = [each for each in near if each not in rivals]
        kept.append(late)
    return early + near + kept


def _shares_a_moment(one: PlacedWord, other: PlacedWord) -> bool:
    """Whether two words meet at all, where they are the same, or for half of the shorter, where they are not."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    if folded(one.text) == folded(other.text):
        return shared > 0
    return 2 * shared >= min(one.end - one.start, other.end - other.start)
