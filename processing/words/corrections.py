"""What a person may correct of words that a machine wrote, and what becomes of the document then. Pure.

Belongs here: the places with their texts, the form of a correction, placing corrected words in time. Does not belong
here: files and facts (corrected), judging them (contracts/corrected), or who corrected what when (resources).

A place is named as the uncorrected document has it, whatever was corrected of it since: a segment of a transcript by
track and first sample ("0/15360"), a part of a summary by its number ("abstract/0", "chapters/2", "keywords/1").
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from processing.words.answers.speech import MOST_WORD, folded, most_words
from processing.words.answers.whisper import UNSPACED
from processing.words.transcript_plan import primary

MOST_LETTERS = 5_000  # of one place: a segment of twenty seconds has 400
_UNSPACED_WORD = re.compile(r"[\w'’-]*[A-Za-z0-9][\w'’-]*|\S", re.ASCII)
TITLED = "chapters"
PARTS = ("abstract", TITLED, "keywords")
Word = Mapping[str, Any]
Document = Mapping[str, Any]


class NotCorrect(ValueError):
    """A correction that cannot be carried out; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Place:
    """One text that can be corrected, and from when to when it speaks: samples at 16 kHz."""

    id: str
    text: str
    start: int
    end: int
    may_go: bool = True


@dataclass(frozen=True, slots=True)
class Correction:
    """The text of one place as a person wants it (empty: it goes), who, and when (ISO 8601, UTC)."""

    place: str
    text: str
    author: str
    at: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Correction:
        return cls(str(value["place"]), str(value["text"]), str(value["author"]), str(value["at"]))


def clean(text: str) -> str:
    """A text as it is kept: composed, one space between words, nothing that does not show. Raises `NotCorrect`."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    kept = " ".join("".join(each for each in composed if each.isprintable() and each not in "<>").split())
    if len(kept) > MOST_LETTERS:
        raise NotCorrect(f"a text of {len(kept)} letters is too long for one place; {MOST_LETTERS} are allowed")
    return kept


# Transcripts


def places_of_transcript(document: Document) -> list[Place]:
    """The segments of every track, in order."""
    return [
        Place(
            _named(track, segment),
            joined((str(word["text"]) for word in _own(track, segment)), track),
            int(segment["start"]),
            int(segment["end"]),
        )
        for track in document["tracks"]
        for segment in track["segments"]
    ]


def written_in_transcript(document: Document, place: str, text: str) -> str:
    """A text as the words of its track come to it: without spaces where its language has none. Raises `NotCorrect`."""
    track = next((each for each in document["tracks"] if place.startswith(f"{each['track']}/")), None)
    if track is None:
        raise _unknown(place)
    words = in_words(clean(text), track)
    if any(len(word) > MOST_WORD for word in words):
        raise NotCorrect(f"a word of more than {MOST_WORD} letters is none; put spaces between words")
    return joined(words, track)


def correct_transcript(document: Document, corrections: Sequence[Correction]) -> dict[str, Any]:
    """The document with the texts of its corrections, words placed in time. Raises `NotCorrect`."""
    wanted = {each.place: each.text for each in corrections}
    _require_known(wanted, [place.id for place in places_of_transcript(document)])
    return {**document, "tracks": [_corrected_track(track, wanted) for track in document["tracks"]]}


def _corrected_track(track: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, Any]:
    words: list[Word] = []
    segments: list[dict[str, int]] = []
    starts = [int(each["start"]) for each in track["segments"]]
    for number, segment in enumerate(track["segments"]):
        own = _own(track, segment)
        text = wanted.get(_named(track, segment))
        if text is not None:
            until = min([int(segment["end"]), *starts[number + 1 : number + 2]])
            own = retimed(own, in_words(text, track), max(until, int(segment["start"]) + 1))
        if own:
            end = max(int(word["end"]) for word in own)
            segments.append({"start": int(own[0]["start"]), "end": end, "first": len(words), "words": len(own)})
        words += own
    if not words:
        raise NotCorrect("a transcript must say something; leave a word in it")
    return {**track, "words": words, "segments": segments}


def _named(track: Mapping[str, Any], segment: Mapping[str, Any]) -> str:
    return f"{track['track']}/{segment['start']}"


def _own(track: Mapping[str, Any], segment: Mapping[str, Any]) -> list[Word]:
    first = int(segment["first"])
    return list(track["words"][first : first + int(segment["words"])])


def _is_spaced(track: Mapping[str, Any]) -> bool:
    return primary(str(track["language"] or "")) not in UNSPACED


def joined(words: Iterable[str], track: Mapping[str, Any]) -> str:
    """Words as a running text of the track's language."""
    return (" " if _is_spaced(track) else "").join(words)


def in_words(text: str, track: Mapping[str, Any]) -> list[str]:
    """A running text as the words of a transcript."""
    return text.split() if _is_spaced(track) else _UNSPACED_WORD.findall(text)


def retimed(own: Sequence[Word], texts: Sequence[str], until: int) -> list[Word]:
    """The words `texts` where `own` were said: what stayed keeps its time and confidence, the rest shares the time of
    what it stands for, by letters. All begin before `until`. Raises `NotCorrect` where there is no room for so many.
    """
    start = int(own[0]["start"])
    found = _in_place(own, texts) if texts else []
    if found is None or not _is_in_order(found, until):
        found = _shared(texts, start, until, own[0])
    if len(texts) > max(len(own), most_words(until - start)) or not _is_in_order(found, until):
        raise NotCorrect(f"{len(texts)} words are more than can be said in that time; correct the texts beside it too")
    return found


def _in_place(own: Sequence[Word], texts: Sequence[str]) -> list[Word] | None:
    """Each word where it stood before; None where one came before the first, which leaves it no time."""
    before, after = [folded(str(word["text"])) for word in own], [folded(text) for text in texts]
    found: list[Word] = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found += [{**word, "text": text} for word, text in zip(own[i:i_end], texts[j:j_end], strict=True)]
        elif tag == "replace":
            end = max(int(word["end"]) for word in own[i:i_end])
            if i_end < len(own):
                end = min(end, int(own[i_end]["start"]))
            found += _shared(texts[j:j_end], int(own[i]["start"]), end, own[i])
        elif tag == "insert" and found:  # said within the time of the word before
            last = found.pop()
            end = min([int(last["end"]), *(int(word["start"]) for word in own[i : i + 1])])
            found += _shared([str(last["text"]), *texts[j:j_end]], int(last["start"]), end, last)
        elif tag == "insert":
            return None
    return found


def _shared(texts: Sequence[str], start: int, end: int, like: Word) -> list[Word]:
    """Words one after another over a span, each as long as it is written; what nobody measured is sure of nothing."""
    ends = itertools.accumulate(len(text) for text in texts)
    letters = sum(len(text) for text in texts)
    borders = [start, *(start + int(Fraction((end - start) * each, letters)) for each in ends)]
    return [
        {"text": text, "start": first, "end": last, "confidence": None, "piece": like["piece"]}
        for text, (first, last) in zip(texts, itertools.pairwise(borders), strict=True)
    ]


def _is_in_order(words: Sequence[Word], until: int) -> bool:
    starts = [int(word["start"]) for word in words]
    is_rising = all(before <= after for before, after in itertools.pairwise(starts))
    return is_rising and all(int(word["start"]) < min(int(word["end"]), until) for word in words)


# Summaries


def places_of_summary(document: Document) -> list[Place]:
    """Abstract, chapters and keywords, in that order. A chapter keeps a title: chapters cover the whole."""
    return [
        Place(f"{part}/{number}", str(each[_key(part)]), *_span(each), may_go=part != TITLED)
        for part in PARTS
        for number, each in enumerate(document[part])
    ]


def correct_summary(document: Document, corrections: Sequence[Correction]) -> dict[str, Any]:
    """The document with the texts of its corrections; what they cite stays. Raises `NotCorrect`."""
    wanted = {each.place: each.text for each in corrections}
    places = places_of_summary(document)
    _require_known(wanted, [place.id for place in places])
    if any(not wanted.get(place.id, place.text) and not place.may_go for place in places):
        raise NotCorrect("a chapter must have a title")
    changed = {part: list(_corrected_part(part, document[part], wanted)) for part in PARTS}
    if not changed["abstract"]:
        raise NotCorrect("a summary must say something; leave a sentence of the abstract")
    return {**document, **changed}


def _corrected_part(
    part: str, items: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    for number, each in enumerate(items):
        text = wanted.get(f"{part}/{number}")
        if text is None:
            yield each
        elif text:
            yield {**each, _key(part): text}


def _key(part: str) -> str:
    return "title" if part == TITLED else "text"


def _span(item: Mapping[str, Any]) -> tuple[int, int]:
    if "start" in item:
        return int(item["start"]), int(item["end"])
    return int(item["cites"][0]["start"]), int(item["cites"][-1]["end"])


def _require_known(wanted: Mapping[str, str], known: Sequence[str]) -> None:
    strange = sorted(set(wanted) - set(known))
    if strange:
        raise _unknown(strange[0])


def _unknown(place: str) -> NotCorrect:
    return NotCorrect(f"there is no place {place[:40]}; look at the words again")


@dataclass(frozen=True, slots=True)
class Form:
    """How the words of one asset are read and corrected.

    `file` is that of its document; `written(document, place, text)` is a text as the document will have it.
    """

    file: str
    written: Callable[[Document, str, str], str]
    places: Callable[[Document], list[Place]]
    correct: Callable[[Document, Sequence[Correction]], dict[str, Any]]


FORMS: Mapping[str, Form] = {
    "transcript": Form("transcript.json", written_in_transcript, places_of_transcript, correct_transcript),
    "summary": Form("summary.json", lambda _document, _place, text: clean(text), places_of_summary, correct_summary),
}
