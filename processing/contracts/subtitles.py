"""What must hold of subtitles: every file is WebVTT whose cues lie inside the media, and no text is lost.

Belongs here: judging files and playlists. Does not belong here: reading the texts (words/subtitles).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from processing import webvtt
from processing.contracts.clauses import expect, failed, warned
from processing.manifest import Verdict
from processing.webvtt import MS, Cue
from processing.words.subtitles import TIMESTAMP_MAP, length_s, playlist
from processing.work import Input, Task

LEFT_OUT = Fraction(1, 5)  # more cues than this outside the media: the text is of another film


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`, track by track."""
    made = task.made
    if made is None:
        raise ValueError("the contract of subtitles needs what was made")
    tracks = list(made.facts.get("tracks", ()))
    due = len(task.parameters["embedded"]) + len(task.parameters["beside"])
    lost = list(made.facts.get("unreadable", ()))
    verdicts = [
        expect("has a track", bool(tracks), len(tracks), "at least one"),
        expect("every text is there or said to be unusable", len(tracks) + len(lost) == due, len(tracks), due),
    ]
    if lost:
        verdicts.append(warned("every text can be used", "; ".join(lost)))
    named = {name for track in tracks for name in (track["file"], track["playlist"])}
    strangers = sorted(entry.path for entry in made.files if entry.path not in named)
    verdicts.append(expect("has no file of no track", not strangers, ", ".join(strangers)))
    presented = [_presentation(track) for track in tracks]
    if not lost:
        told = [_presentation(track) for track in [*task.parameters["embedded"], *task.parameters["beside"]]]
        verdicts.append(expect("tracks are presented as they came", presented == told))
    for number, track in enumerate(tracks):
        verdicts += [
            Verdict(f"{track['file']} {v.clause}", v.outcome, v.found, v.expected)
            for v in _judge(made, number, track, length_s(task.parameters))
        ]
    return verdicts


def _presentation(track: Mapping[str, Any]) -> dict[str, Any]:
    return {name: track[name] for name in ("language", "title", "forced", "default", "hearing_impaired")}


def _judge(made: Input, number: int, track: Mapping[str, Any], duration_s: Fraction) -> Iterator[Verdict]:
    try:
        text = made.path(track["file"]).read_text(encoding="utf-8")
        cues = webvtt.parsed(text)
    except (KeyError, OSError, ValueError) as error:
        yield failed("is WebVTT", str(error))
        return
    yield expect("is WebVTT", text.split("\n", 2)[1] == TIMESTAMP_MAP, "", "with the mapping of its clock")
    yield expect("has its cues", len(cues) == track["cues"] > 0, len(cues), track["cues"])
    yield from _cues(cues, duration_s)
    shown = [cue for cue in cues if cue.text.strip()]
    yield expect("says something in every cue", len(shown) == len(cues), len(shown), len(cues))
    outside = Fraction(int(track["left_out"]), len(cues) + int(track["left_out"])) if cues else Fraction(1)
    if outside > LEFT_OUT:
        yield warned("is of this film", f"{track['left_out']} cues lay outside the media")
    try:
        found = made.path(track["playlist"]).read_text(encoding="ascii")
    except (KeyError, OSError, UnicodeDecodeError) as error:
        found = str(error)
    yield expect("has a playlist over the whole of it", found == playlist(number, duration_s), found[:80])


def _cues(cues: list[Cue], duration_s: Fraction) -> Iterator[Verdict]:
    end_ms = -(-duration_s.numerator * MS // duration_s.denominator)
    outside = [cue for cue in cues if not 0 <= cue.start_ms < cue.end_ms <= end_ms]
    found = f"{outside[0].start_ms} to {outside[0].end_ms} ms" if outside else ""
    yield expect("has its cues inside the media", not outside, found, f"0 to {end_ms} ms")
    ordered = all(before.start_ms <= after.start_ms for before, after in itertools.pairwise(cues))
    yield expect("has its cues in order", ordered)
