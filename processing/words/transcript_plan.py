"""What a transcript is told: which tracks, which model, how tracks are cut into pieces. Pure, no media library.

Belongs here: asset, versions, whether there is anything to transcribe, parameters. Does not belong here: asking and
putting words together (transcript), or what the pieces are (pieces).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CODE_VERSION = "1"  # raised when the same answers would give another transcript
ASSET = "transcript"
TASK = "speech"
MOST_TRACKS = 4  # of one source: an original and three dubs; further ones say the same again

# Milliseconds and seconds, whole, so that a recipe holds no float.
PIECE_RULES = {
    "longest_s": 300,  # what language servers take in one request; Whisper's own windows are 30 s
    "silence_s": 5,  # nobody speaks for so long: it is not sent, models hear things in silence
    "pad_ms": 300,  # air on either side: voice activity begins late on soft consonants
    "overlap_ms": 1000,  # where a cut goes through speech, both pieces have the word it may go through
    "most": 500,  # of one track: six hours in pieces of five minutes are 72, the rest is for long silences
}
SEGMENT_RULES = {
    "pause_ms": 700,  # a silence between words that ends a segment
    "longest_s": 20,  # a segment ends at the next pause after it
}
LEAST_SPEECH_MS = 300  # in a source: less is a cough or a click, and no model can tell


def applies(info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where somebody may be heard in a language the model knows, else why there is nothing to transcribe."""
    if info["kind"] == "image":
        return "stills have no speech"
    if not info.get("audio"):
        return "the source has no sound"
    known = _languages(_model(options))
    stated = [_language(track, options) for track in info["audio"]]
    if known and all(tag is not None and not is_spoken(tag, known) for tag in stated):
        tongues = ", ".join(sorted({str(tag) for tag in stated}))
        return f"its language is {tongues}, and the model listens to {', '.join(known)} only"
    return None


def parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines a transcript besides sound, speech map and answers.

    `tracks` are the wanted ones, each with its language where the source says one.
    """
    model = _model(options)
    return {
        "tracks": wanted(info["audio"], options, _languages(model)),
        "model": dict(model),
        "pieces": dict(PIECE_RULES),
        "segments": dict(SEGMENT_RULES),
        "least_speech_ms": LEAST_SPEECH_MS,
        "duration": info["duration"],
    }


def wanted(
    tracks: Sequence[Mapping[str, Any]], options: Mapping[str, Any], known: Sequence[str]
) -> list[dict[str, Any]]:
    """The tracks to transcribe: of each language the first, preferring what a player would choose by itself.

    Tracks that state no language count as one; those the model does not know are left out; `MOST_TRACKS` at most.
    """
    in_order = sorted(range(len(tracks)), key=lambda number: (not tracks[number].get("default"), number))
    chosen: dict[str | None, int] = {}
    for number in in_order:
        language = _language(tracks[number], options)
        if language is None or not known or is_spoken(language, known):
            chosen.setdefault(language and primary(language), number)
    kept = sorted(list(chosen.values())[:MOST_TRACKS])
    return [{"track": number, "language": _language(tracks[number], options)} for number in kept]


def primary(tag: str) -> str:
    """The language of a tag without region or script."""
    return tag.partition("-")[0].lower()


def is_spoken(tag: str, known: Sequence[str]) -> bool:
    """Whether a language is one of those a model knows."""
    return primary(tag) in {primary(each) for each in known}


def ask_name(track: int, piece: int) -> str:
    """The name of the question about one piece."""
    return f"speech/{track}/{piece:04d}"


def _language(track: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """What is said of the language of a track: by the file, else by who sent the source."""
    tag = track.get("language") or options.get("language")
    return str(tag) if tag else None


def _model(options: Mapping[str, Any]) -> Mapping[str, Any]:
    model: Mapping[str, Any] = (options.get("models") or {}).get(TASK) or {}
    return model


def _languages(model: Mapping[str, Any]) -> list[str]:
    """What a model listens to; none said is any."""
    return [str(tag) for tag in model.get("languages") or ()]
