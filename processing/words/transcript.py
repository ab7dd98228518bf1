"""What is said in a source: words with times and confidence, asked of a recogniser piece by piece.

Belongs here: asking, putting answers together, the document. Does not belong here: where pieces lie (pieces), formats
of answers (answers), or what a transcript is worth (contracts/transcript).

    transcript.json  {"rate_hz": 16000, "tracks": [{"track": 0, "language": "en", "samples": n, "timing": "word",
                      "words": [{"text", "start", "end", "confidence", "piece"}],
                      "segments": [{"start", "end", "first", "words"}],
                      "pieces": [{"start", "end", "first", "last", "answer", "kept", "language", "passages"}]}]}

Times are samples at 16 kHz from time 0 of the source's timeline, confidences thousandths or null.
"""

from __future__ import annotations

import functools
import json
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.sound.flac import RATE_HZ
from processing.sound.plan import product_name
from processing.sound.speech import read_map
from processing.timeline import rational
from processing.words import piece_files, pieces
from processing.words.answers.speech import Passage, Speech, Timing, read_speech
from processing.words.answers.strict import MOST_BYTES, blaming, broken
from processing.words.corrections_plan import UNREVIEWED
from processing.words.embedded.listening_plan import ENOUGH_FRAMES, unlike
from processing.words.pieces import Piece, PlacedWord
from processing.words.transcript_plan import ask_name, primary
from processing.work import NOT_APPLICABLE, Input, Result, Task

TRANSCRIPT_FILE = "transcript.json"
AUDIO_FILE = "audio.flac"
NOBODY = "nobody speaks in it"
SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！", "।", "؟")
CLOSING = "\"'”’»)]」』"  # what may follow the end of a sentence within its last word
# A passage like this is silence by the rule of Whisper's authors: no_speech_threshold 0.6 and logprob_threshold -1.0.
SILENT_FROM = 600
UNSURE_BELOW = -1000
NEAR_MS = 500  # times of words are rough: speech so close to a word is covered by it


@dataclass(frozen=True, slots=True)
class Track:
    """One wanted track: its number, its stated language, its length in samples, its spans of speech, its pieces."""

    number: int
    language: str | None
    samples: int
    speech: tuple[tuple[int, int], ...]
    pieces: tuple[Piece, ...]


def make(task: Task) -> Result:
    """Ask about every piece of the wanted tracks, then write `transcript.json`. Parameters: transcript_plan.parameters.

    Inputs: `flac/*`, `speech_map`, and the answers by the names of the questions. Where nobody speaks, or what is heard
    is no language of the model's, the result has no file and says so in its fact `not_applicable`. Raises
    ContractBroken for an answer that cannot be read.
    """
    tracks = tracks_of(task)
    if _is_without_speech(task, tracks):
        return Result(facts={NOT_APPLICABLE: NOBODY})
    asks = _asks(task, tracks)
    if asks:
        return Result(asks=tuple(asks))
    return _assembled(task, tracks)


def nothing_to_write(task: Task) -> str | None:
    """Why there is no transcript, by the speech map and the answers; None where there is to be one."""
    tracks = tracks_of(task)
    if _is_without_speech(task, tracks):
        return NOBODY
    reasons = [_heard(task, track)[2] for track in tracks]
    return _in_one(reason for reason in reasons if reason is not None) if None not in reasons else None


def _is_without_speech(task: Task, tracks: Sequence[Track]) -> bool:
    """Whether too little is said in all tracks together."""
    spoken = sum(end - start for track in tracks for start, end in track.speech)
    return spoken * 1000 < int(task.parameters["least_speech_ms"]) * RATE_HZ


def _in_one(reasons: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))


def tracks_of(task: Task) -> list[Track]:
    """The wanted tracks as the speech map has them, cut into pieces."""
    told = task.parameters
    spoken = task.inputs["speech_map"]
    listed = {int(track["track"]): track for track in read_map(spoken.folder)["tracks"]}
    files = {int(track["track"]): track["probabilities"] for track in spoken.facts["tracks"]}
    found = []
    for each in told["tracks"]:
        number = int(each["track"])
        samples = int(listed[number]["samples"])
        segments = [(int(start), int(end)) for start, end in listed[number]["segments"]]
        probabilities = np.frombuffer(spoken.path(files[number]).read_bytes(), dtype=np.uint8)
        cut = pieces.cut(segments, samples, told["pieces"], probabilities)
        found.append(Track(number, each["language"], samples, tuple(segments), tuple(cut)))
    return found


def _asks(task: Task, tracks: Sequence[Track]) -> list[Ask]:
    """The questions that have no answer yet, their files written."""
    asks = []
    for track in tracks:
        files: list[tuple[Piece, Path]] = []
        for number, piece in enumerate(track.pieces):
            name = ask_name(track.number, number)
            if name in task.inputs:
                continue
            files.append((piece, task.asks / name / AUDIO_FILE))
            asks.append(
                Ask(
                    name,
                    AskTask.SPEECH,
                    parameters={"language": track.language and primary(track.language)},
                    payload={AUDIO_FILE: f"{name}/{AUDIO_FILE}"},
                    media_s=piece.samples / RATE_HZ,
                )
            )
        if files:
            sound = task.inputs[product_name("flac", track.number)]
            piece_files.write_pieces(sound.path(str(sound.facts["file"])), files)
    return asks


def _assembled(task: Task, tracks: Sequence[Track]) -> Result:
    documents: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    makers: list[dict[str, Any]] = []
    for track in tracks:
        speeches, believed, reason = _heard(task, track)
        if reason is not None:
            refused.append({"track": track.number, "reason": reason})
            continue
        indices = [_index(makers, answer) for answer in _answers(task, track)]
        document = _document(track, speeches, believed, task.parameters["segments"], indices)
        documents.append(document)
        facts.append(track_facts(track, document))
    if not documents:
        return Result(facts={NOT_APPLICABLE: _in_one(each["reason"] for each in refused)})
    task.out.mkdir(parents=True, exist_ok=True)
    whole = {"rate_hz": RATE_HZ, "tracks": documents}
    text = json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"
    (task.out / TRANSCRIPT_FILE).write_text(text, encoding="utf-8", newline="\n")
    return Result(
        facts={
            "file": TRANSCRIPT_FILE,
            "rate_hz": RATE_HZ,
            "words": sum(each["words"] for each in facts),
            "language": facts[0]["language"],
            "ai_generated": True,
            "review": UNREVIEWED,
            "model": dict(task.parameters["model"]),
            "answers": makers,
            "tracks": facts,
            "refused": refused,
        }
    )


def _answers(task: Task, track: Track) -> list[Input]:
    return [task.inputs[ask_name(track.number, number)] for number in range(len(track.pieces))]


def _heard(task: Task, track: Track) -> tuple[list[Speech], list[bool], str | None]:
    """What is heard in a track's pieces, which of them are believed, and why none is."""
    answers = _answers(task, track)
    speeches = [_read(answer, piece) for answer, piece in zip(answers, track.pieces, strict=True)]
    return speeches, *_believed(track, speeches)


def _read(answer: Input, piece: Piece) -> Speech:
    entry = next((entry for entry in answer.files if entry.path == ANSWER_FILE), None)
    if entry is None or entry.bytes > MOST_BYTES:
        raise broken("it has no bytes" if entry is None else f"it is longer than {MOST_BYTES} bytes")
    with blaming(answer):
        return read_speech(str(answer.facts.get("format")), answer.path(ANSWER_FILE).read_bytes(), piece.samples)


def _index(makers: list[dict[str, Any]], answer: Input) -> int:
    """Which of `makers` gave an answer: its format and model, each such pair once; a new one is added."""
    maker = {"format": answer.facts["format"], "release": dict(answer.facts.get("release") or {})}
    if maker not in makers:
        makers.append(maker)
    return makers.index(maker)


def _believed(track: Track, speeches: Sequence[Speech]) -> tuple[list[bool], str | None]:
    """Which pieces' words are kept, and why none is. Models that say nothing of how well they fit are believed."""
    if not speeches:
        return [], NOBODY
    passages = [passage for speech in speeches for passage in speech.passages]
    if passages and all(_is_silent(passage) for passage in passages):
        return [], "the model hears nobody speak in it"
    fits = [speech.fit for speech in speeches if speech.fit is not None]
    if not fits:
        return [True] * len(speeches), None
    is_stated = track.language is not None
    whole = functools.reduce(operator.add, fits)
    reason = unlike(whole, is_stated=is_stated)
    if reason is not None:
        return [], reason
    kept = [
        speech.fit is None or speech.fit.spoken < ENOUGH_FRAMES or unlike(speech.fit, is_stated=is_stated) is None
        for speech in speeches
    ]
    understood = sum(speech.fit.spoken for speech, use in zip(speeches, kept, strict=True) if speech.fit and use)
    if 2 * understood < whole.spoken:
        return [], "the model understands less than half of what is spoken in it"
    return kept, None


def _is_silent(passage: Passage) -> bool:
    unsure = passage.log_probability is not None and passage.log_probability <= UNSURE_BELOW
    return (passage.no_speech or 0) >= SILENT_FROM and (unsure or not passage.text.strip())


def _document(
    track: Track, speeches: Sequence[Speech], believed: Sequence[bool], rules: Mapping[str, int], makers: Sequence[int]
) -> dict[str, Any]:
    kept = [
        (piece, speech.words if use else ())
        for piece, speech, use in zip(track.pieces, speeches, believed, strict=True)
    ]
    words = pieces.together(kept)
    timings = [speech.timing for speech, use in zip(speeches, believed, strict=True) if use and speech.words]
    return {
        "track": track.number,
        "language": _language(track, speeches),
        "samples": track.samples,
        "timing": max(timings, key=list(Timing).index, default=Timing.WORD).value,
        "words": [_word(word) for word in words],
        "segments": segments_of(words, rules),
        "pieces": [
            {
                "start": piece.start,
                "end": piece.end,
                "first": piece.first,
                "last": piece.last,
                "answer": maker,
                "kept": use,
                "language": speech.language,
                "passages": [_passage(each, piece.start) for each in speech.passages],
            }
            for piece, speech, use, maker in zip(track.pieces, speeches, believed, makers, strict=True)
        ],
    }


def _word(word: PlacedWord) -> dict[str, Any]:
    return {
        "text": word.text,
        "start": word.start,
        "end": word.end,
        "confidence": word.confidence,
        "piece": word.piece,
    }


def _passage(passage: Passage, at: int) -> dict[str, Any]:
    """What the model says of a stretch; its text is that of the words."""
    return {
        "start": at + passage.start,
        "end": at + passage.end,
        "log_probability": passage.log_probability,
        "compression": passage.compression,
        "no_speech": passage.no_speech,
    }


def _language(track: Track, speeches: Sequence[Speech]) -> str | None:
    """What the source says, else what the answers with the most words say."""
    if track.language is not None:
        return track.language
    counted: Counter[str] = Counter()
    for speech in speeches:
        if speech.language is not None:
            counted[speech.language] += len(speech.words)
    return max(sorted(counted), key=lambda tag: counted[tag], default=None)


def segments_of(words: Sequence[PlacedWord], rules: Mapping[str, int]) -> list[dict[str, int]]:
    """Sentences, or what pauses make of words without punctuation: start, end, the first word's number, how many."""
    pause = rules["pause_ms"] * RATE_HZ // 1000
    longest = rules["longest_s"] * RATE_HZ
    found: list[dict[str, int]] = []
    first = 0
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else None
        gap = following.start - word.end if following else pause
        too_long = word.end - words[first].start >= longest and gap > 0
        if following is None or ends_sentence(word.text) or gap >= pause or too_long:
            end = max(each.end for each in words[first : number + 1])
            found.append({"start": words[first].start, "end": end, "first": first, "words": number + 1 - first})
            first = number + 1
    return found


def ends_sentence(text: str) -> bool:
    """Whether a word is written as the last of a sentence."""
    return text.rstrip(CLOSING).endswith(SENTENCE_ENDS)


def track_facts(track: Track, document: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of one track's part of the document."""
    spoken = sum(end - start for start, end in track.speech)
    covered = spoken - sum(end - start for start, end in uncovered(track.speech, document["words"]))
    return {
        "track": track.number,
        "language": document["language"],
        "words": len(document["words"]),
        "segments": len(document["segments"]),
        "pieces": len(document["pieces"]),
        "timing": document["timing"],
        "covered": rational(Fraction(covered, spoken) if spoken else Fraction(0)),
    }


def uncovered(speech: Sequence[tuple[int, int]], words: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """The spans of speech that no word is near, in order. Words are in the order of their starts."""
    near = RATE_HZ * NEAR_MS // 1000
    reached: list[list[int]] = []
    for word in words:
        start, end = int(word["start"]) - near, int(word["end"]) + near
        if reached and start <= reached[-1][1]:
            reached[-1][1] = max(reached[-1][1], end)
        else:
            reached.append([start, end])
    left: list[tuple[int, int]] = []
    at = 0
    for start, end in speech:
        while at < len(reached) and reached[at][1] <= start:
            at += 1
        here, number = start, at
        while here < end and number < len(reached) and reached[number][0] < end:
            if reached[number][0] > here:
                left.append((here, reached[number][0]))
            here = max(here, reached[number][1])
            number += 1
        if here < end:
            left.append((here, end))
    return left


def read_transcript(folder: Path) -> dict[str, Any]:
    """The document of `transcript.json`."""
    document: dict[str, Any] = json.loads((folder / TRANSCRIPT_FILE).read_bytes())
    return document
