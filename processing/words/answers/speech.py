"""What every recogniser's answer becomes: words of one piece of sound, placed in samples at 16 kHz.

Belongs here: the shape, placing words inside the piece, choosing the reader of a format. Does not belong here: any
provider's format (a module each beside this one) or what the words are worth (contracts/transcript).
"""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from processing.probe.language import bcp47
from processing.words.answers.strict import broken, shown

RATE_HZ = 16_000
MOST_A_SECOND = 16  # words; the fastest speakers say ten, and single characters of Chinese may count as words
MOST_WORD = 100  # characters: the longest word in use has fewer
OUTSIDE = RATE_HZ  # a second: models look at windows that are longer than what they were given
BACKWARDS = RATE_HZ // 2  # half a second: times of words are attention, not clockwork
SHORTEST = RATE_HZ // 100  # 10 ms: a word that begins and ends at once still has to be shown
READERS = {
    "pocketsphinx.v1": "pocketsphinx",
    "openai.verbose_json.v1": "openai_verbose",
    "whisper.v1": "whisper",
    "aws.transcribe.v1": "aws_transcribe",
}
# Names by which models say a language, where they give no code. Whisper's own list has a hundred of them; these are the
# ones that are spoken as a first language by more than fifty million, or in Europe.
LANGUAGE_NAMES = {
    "arabic": "ar", "bengali": "bn", "bulgarian": "bg", "cantonese": "yue", "catalan": "ca", "chinese": "zh",
    "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "estonian": "et", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "gujarati": "gu", "hebrew": "he", "hindi": "hi", "hungarian": "hu",
    "icelandic": "is", "indonesian": "id", "italian": "it", "japanese": "ja", "javanese": "jw", "kannada": "kn",
    "korean": "ko", "latvian": "lv", "lithuanian": "lt", "malay": "ms", "malayalam": "ml", "marathi": "mr",
    "norwegian": "no", "persian": "fa", "polish": "pl", "portuguese": "pt", "punjabi": "pa", "romanian": "ro",
    "russian": "ru", "serbian": "sr", "slovak": "sk", "slovenian": "sl", "spanish": "es", "swahili": "sw",
    "swedish": "sv", "tagalog": "tl", "tamil": "ta", "telugu": "te", "thai": "th", "turkish": "tr", "ukrainian": "uk",
    "urdu": "ur", "vietnamese": "vi", "welsh": "cy",
}  # fmt: skip


class Timing(StrEnum):
    """What placed the words: the model itself, or an even spread over a passage or over the whole piece."""

    WORD = "word"
    PASSAGE = "passage"
    PIECE = "piece"


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word: what is written, a half-open span in samples of the piece, confidence in thousandths (None: unsaid)."""

    text: str
    start: int
    end: int
    confidence: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch the model decoded at once, with what it says of itself; None where it says nothing.

    `log_probability` is the mean of the tokens' natural logarithms in thousandths, `compression` the ratio of the
    text's bytes to its compressed bytes in hundredths, `no_speech` the likelihood of no speech in thousandths.
    """

    text: str
    start: int
    end: int
    log_probability: int | None = None
    compression: int | None = None
    no_speech: int | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a model of one language explains the sound; sums over a piece, so that pieces add up.

    `frames` of 10 ms hold words, of `spoken` frames in which somebody speaks. `gain` is by how much the words explain
    the sound better than two loops of the language's sounds do, a logarithm to the base 1.0001. `certainty` is that of
    the words in thousandths, times their frames.
    """

    frames: int
    spoken: int
    gain: int
    certainty: int

    def __add__(self, other: Fit) -> Fit:
        return Fit(
            self.frames + other.frames,
            self.spoken + other.spoken,
            self.gain + other.gain,
            self.certainty + other.certainty,
        )


@dataclass(frozen=True, slots=True)
class Speech:
    """An answer: words in order, inside the piece; passages; the language as a BCP 47 tag and how sure the model is."""

    words: tuple[SpokenWord, ...]
    passages: tuple[Passage, ...] = ()
    language: str | None = None
    language_certainty: int | None = None
    timing: Timing = Timing.WORD
    fit: Fit | None = None


Span = tuple[str, float, float, int | None]  # text, start and end in seconds, confidence


def read_speech(kind: str, content: bytes, samples: int) -> Speech:
    """The answer about a piece of `samples` samples, in the format `kind`. Raises ContractBroken."""
    if kind not in READERS:
        raise broken(f"it is in the format {shown(kind)}, which is not read here")
    module = importlib.import_module(f"processing.words.answers.{READERS[kind]}")
    read: Callable[[bytes, int], Speech] = module.read
    return read(content, samples)


def most_words(samples: int) -> int:
    """More words than this nobody says in a piece."""
    return 8 + MOST_A_SECOND * samples // RATE_HZ


def placed(spans: Iterable[Span], samples: int) -> tuple[SpokenWord, ...]:
    """Words in samples: in order, each at least `SHORTEST` long where there is room, none beyond the piece.

    Times that are a little out of order or outside are put right; more than that is another sound's answer, and raises
    ContractBroken.
    """
    found: list[SpokenWord] = []
    before = 0
    for text, start_s, end_s, confidence in spans:
        written = word(text)
        if not written:
            continue
        start, end = _samples(start_s), _samples(end_s)
        if start < before - BACKWARDS or end < start - BACKWARDS:
            raise broken(f"its words go back in time at {start_s:.2f} s")
        if start > samples + OUTSIDE or end > samples + 30 * OUTSIDE or start < -OUTSIDE:
            raise broken(f"a word at {start_s:.2f} s lies outside the {samples / RATE_HZ:.2f} s that were asked about")
        start = min(max(start, before, 0), max(0, samples - SHORTEST))
        end = min(max(end, start + SHORTEST), samples)
        found.append(SpokenWord(written, start, max(end, start + 1), confidence))
        before = start
    if len(found) > most_words(samples):
        raise broken(f"it has {len(found)} words in {samples / RATE_HZ:.1f} s")
    return _apart(found)


def spread(text: str, start_s: float, end_s: float) -> list[Span]:
    """The words of a text over a span, each as long as it is written: for answers that say no times of words."""
    words = text.split()
    letters = sum(len(each) for each in words)
    spans: list[Span] = []
    said = 0
    for each in words:
        start = start_s + (end_s - start_s) * said / letters
        said += len(each)
        spans.append((each, start, start_s + (end_s - start_s) * said / letters, None))
    return spans


def word(text: str) -> str:
    """A word as it is kept: composed, without spaces around it, nothing that does not show. Raises for a long one."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(each for each in composed if each.isprintable() and each not in "<>").strip()
    if len(kept) > MOST_WORD:
        raise broken(f"a word has {len(kept)} characters")
    return kept


def language_tag(value: Any) -> str | None:
    """The tag of what a model calls a language ("english", "en", "en-US"), None for none or an unknown name."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    return bcp47(LANGUAGE_NAMES.get(value.strip().lower(), value))


def thousandths(value: float) -> int:
    """A share as an integer, whatever a service's rounding made of it."""
    return min(1000, max(0, round(value * 1000)))


def folded(text: str) -> str:
    """A word as it compares: without case and what is no letter or digit."""
    return "".join(each for each in unicodedata.normalize("NFKC", text).casefold() if each.isalnum())


def as_written(words: Sequence[Span], text: str) -> list[Span]:
    """Words as the running text writes them, with its punctuation, where both agree on what is said.

    Some services time bare words and write commas in the text only. A word the text does not have stays as it is.
    """
    tokens = text.split()
    at = 0
    found: list[Span] = []
    for bare, start, end, confidence in words:
        wanted = folded(bare)
        near = next((n for n in range(at, min(at + 4, len(tokens))) if wanted and folded(tokens[n]) == wanted), None)
        if near is None:
            found.append((bare, start, end, confidence))
            continue
        found.append((tokens[near], start, end, confidence))
        at = near + 1
    return found


def _apart(words: Sequence[SpokenWord]) -> tuple[SpokenWord, ...]:
    """No word reaches into the next where that one begins later."""
    found = []
    for number, each in enumerate(words):
        following = words[number + 1].start if number + 1 < len(words) else each.end
        end = following if each.start < following < each.end else each.end
        found.append(SpokenWord(each.text, each.start, end, each.confidence))
    return tuple(found)


def _samples(seconds: float) -> int:
    return round(seconds * RATE_HZ)
