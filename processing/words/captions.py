"""Captions of a transcript: cues that can be read, in two lines, timed to speech and to shots, as WebVTT and SRT.

Belongs here: choosing where a cue ends, its lines, its times, the files. Does not belong here: the rules
(captions_plan) or what is said (transcript).
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processing import srt, webvtt
from processing.picture.scenes import read_shots
from processing.sound.flac import RATE_HZ
from processing.timeline import to_seconds
from processing.webvtt import MS, Cue
from processing.words import captions_plan as rules
from processing.words.answers.whisper import UNSPACED
from processing.words.corrections_plan import ACCEPTED, CORRECTED, UNREVIEWED
from processing.words.subtitles import length_s, playlist_of, with_map
from processing.words.transcript import CLOSING, ends_sentence, read_transcript
from processing.words.transcript_plan import primary
from processing.work import NOT_APPLICABLE, Result, Task

CLAUSE_ENDS = (",", ";", ":", "–", "—", "、", "，", "；", "：")
# Words that begin a phrase, so that a line or cue better ends before than after them.
_OPENING = (
    "and but or because that which who when where while if as than then with without for from to of in on at by about "
    "und aber oder weil dass der die das wenn als mit ohne für von zu in auf an bei über "
    "et mais ou parce que qui quand si avec sans pour de à dans sur "
    "y pero o porque que quien cuando si con sin para de a en"
)
OPENERS = frozenset(_OPENING.split())
MOST_WORDS = 48  # in one cue: two lines of 42 letters hold no more

# Costs of a cue, in arbitrary units: only their order and rough ratios matter. Chosen by reading what came out.
A_CUE = 10
AFTER_CLAUSE, BEFORE_OPENER, ANYWHERE = 4, 9, 16  # where it ends, if not at the end of a sentence or in a pause
TOO_FAST = 3  # for each character a second too many
TOO_SHORT = 25
OVER_A_SHOT = 20
OVER_A_PAUSE_MS = 100  # of silence within it, each
IMPOSSIBLE = 10_000  # text that does not fit, or too long: only where a single word does it


@dataclass(frozen=True, slots=True)
class Said:
    """A word with its span in milliseconds of the media."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What cues of one track are set by: lengths in characters and ms; ends of shots in ms, in order."""

    line: int
    speed: int
    is_spaced: bool
    gap: int
    snap: int
    half: int
    end: int
    shots: tuple[int, ...]


REVIEWED = {
    UNREVIEWED: "nobody has reviewed them",
    ACCEPTED: "a person read the transcript and accepted it",
    CORRECTED: "a person corrected the transcript",
}


def make(task: Task) -> Result:
    """Write `captions-<n>.vtt`, `.srt` and a playlist for every track of the transcript.

    Inputs: `transcript`, and `scenes` where there are moving pictures. Parameters: captions_plan.parameters.
    """
    if "transcript" not in task.inputs:
        return Result(facts={NOT_APPLICABLE: "there is no transcript of it"})
    transcript = task.inputs["transcript"]
    document = read_transcript(transcript.folder)
    shots = shot_changes(task)
    tracks: list[dict[str, Any]] = []
    task.out.mkdir(parents=True, exist_ok=True)
    for track in document["tracks"]:
        number, language = int(track["track"]), track["language"]
        setting = setting_of(task.parameters, language, shots)
        cues = set_cues(said(track["words"]), setting)
        names = (rules.file_name(number), rules.srt_name(number), rules.playlist_name(number))
        vtt = with_map(noted(webvtt.written(escaped(cues)), note(transcript.facts)))
        (task.out / names[0]).write_text(vtt, encoding="utf-8", newline="\n")
        (task.out / names[1]).write_text(srt.written(cues), encoding="utf-8", newline="\n")
        (task.out / names[2]).write_text(
            playlist_of(names[0], length_s(task.parameters)), encoding="ascii", newline="\n"
        )
        tracks.append(
            {
                "track": number,
                "language": language,
                "file": names[0],
                "srt": names[1],
                "playlist": names[2],
                "cues": len(cues),
            }
        )
    return Result(
        facts={
            "tracks": tracks,
            "ai_generated": True,
            "review": transcript.facts["review"],
            "model": dict(transcript.facts["model"]),
        }
    )


def shot_changes(task: Task) -> tuple[int, ...]:
    """When another shot begins, in whole milliseconds, rounded up; empty without moving pictures."""
    if "scenes" not in task.inputs:
        return ()
    document = read_shots(task.inputs["scenes"].folder)
    timescale = int(document["timescale"])
    starts = (to_seconds(int(shot["start"]), timescale) * MS for shot in document["shots"][1:])
    return tuple(-(-start.numerator // start.denominator) for start in starts)


def setting_of(told: Mapping[str, Any], language: str | None, shots: Sequence[int]) -> Setting:
    """What the cues of a track in `language` are set by."""
    duration = length_s(told) * MS
    return Setting(
        line=rules.line_length(language),
        speed=rules.speed(language),
        is_spaced=primary(language or "") not in UNSPACED,
        gap=rules.frames_ms(told, rules.GAP_FRAMES),
        snap=rules.frames_ms(told, rules.SNAP_FRAMES),
        half=rules.frames_ms(told, rules.HALF_SECOND_FRAMES),
        end=-(-duration.numerator // duration.denominator),
        shots=tuple(shots),
    )


def said(words: Iterable[Mapping[str, Any]]) -> list[Said]:
    """Words of a transcript in milliseconds."""
    return [
        Said(str(word["text"]), int(word["start"]) * MS // RATE_HZ, -(-int(word["end"]) * MS // RATE_HZ))
        for word in words
    ]


def set_cues(words: Sequence[Said], setting: Setting) -> list[Cue]:
    """Cues in order, apart, that show every word once."""
    groups = _grouped(words, setting)
    spans = _timed(groups, setting)
    return [
        Cue(start, end, _lines([word.text for word in group], setting))
        for group, (start, end) in zip(groups, spans, strict=True)
    ]


def _grouped(words: Sequence[Said], setting: Setting) -> list[list[Said]]:
    """The words of each cue: the cheapest way through all ways to part them (dynamic programming)."""
    best = [0] + [-1] * len(words)
    came_from = [0] * (len(words) + 1)
    for last in range(1, len(words) + 1):
        ending = _cost_of_end(words, last)
        for first in range(last - 1, max(-1, last - 1 - MOST_WORDS), -1):
            cost = best[first] + A_CUE + ending + _cost_within(words, first, last, setting)
            if best[last] < 0 or cost < best[last]:
                best[last], came_from[last] = cost, first
            if _letters(words[first:last], setting) > rules.LINES * setting.line:
                break  # more words fit even less
    groups: list[list[Said]] = []
    last = len(words)
    while last:
        groups.append(list(words[came_from[last] : last]))
        last = came_from[last]
    return groups[::-1]


def _cost_of_end(words: Sequence[Said], last: int) -> int:
    """What it costs to end a cue before word `last`."""
    if last == len(words) or ends_sentence(words[last - 1].text):
        return 0
    if words[last].start - words[last - 1].end >= rules.LINGER_MS:
        return 0
    if words[last - 1].text.rstrip(CLOSING).endswith(CLAUSE_ENDS):
        return AFTER_CLAUSE
    return BEFORE_OPENER if words[last].text.lower() in OPENERS else ANYWHERE


def _cost_within(words: Sequence[Said], first: int, last: int, setting: Setting) -> int:
    """What it costs to show words `first` to before `last` in one cue."""
    group = words[first:last]
    letters = _letters(group, setting)
    start, end = group[0].start, group[-1].end
    cost = 0
    if len(group) > 1 and (not _fits(group, setting) or end - start > rules.MAX_MS):
        cost += IMPOSSIBLE
    until = words[last].start - setting.gap if last < len(words) else setting.end
    there_is = min(until, end + rules.LINGER_MS, start + rules.MAX_MS) - start
    if there_is < rules.MIN_MS:
        cost += TOO_SHORT
    cost += TOO_FAST * max(0, letters * MS // max(1, there_is) - setting.speed)
    # Near either end it is no crossing: there the cue is put on the change.
    crossed = bisect_left(setting.shots, end - setting.snap) - bisect_right(setting.shots, start + setting.snap)
    cost += OVER_A_SHOT * max(0, crossed)
    for before, after in itertools.pairwise(group):
        silence = after.start - before.end
        cost += max(0, silence) // OVER_A_PAUSE_MS + (IMPOSSIBLE if silence >= rules.PAUSE_MS else 0)
    return cost


def _timed(groups: Sequence[Sequence[Said]], setting: Setting) -> list[tuple[int, int]]:
    """Start and end of each cue in ms: in order, `gap` apart, inside the media."""
    found: list[tuple[int, int]] = []
    free = 0  # when the cue before has been gone for long enough
    for number, group in enumerate(groups):
        following = groups[number + 1][0].start if number + 1 < len(groups) else setting.end + setting.gap
        until = max(free + 1, min(setting.end, following - setting.gap))
        start = min(max(free, group[0].start), until - 1)
        wanted = max(rules.MIN_MS, -(-_letters(group, setting) * MS // setting.speed))
        if until - start < wanted:
            start = max(free, min(start, max(until - wanted, start - rules.LEAD_MS)))
        end = max(group[-1].end, start + wanted)
        end = min(end, until, start + rules.MAX_MS)
        start, end = _on_shots(start, end, group, free, until, setting)
        found.append((start, end))
        free = end + setting.gap
    return found


def _on_shots(start: int, end: int, group: Sequence[Said], free: int, until: int, setting: Setting) -> tuple[int, int]:
    """A cue's times put on shot changes that are near, where it stays long enough."""
    near = _nearest(setting.shots, start)
    if near is not None and near != start and abs(near - start) < setting.snap:
        is_room = near >= free and min(end, near + rules.MAX_MS) - near >= rules.MIN_MS
        if is_room:
            start, end = near, min(end, near + rules.MAX_MS)
    near = _nearest(setting.shots, end)
    if near is not None and near > start:
        before = near - setting.gap
        hangs_over = 0 < end - near < setting.half
        comes_near = 0 <= near - end < setting.snap
        if (hangs_over or comes_near) and before - start >= rules.MIN_MS and group[-1].start < before:
            end = min(before, start + rules.MAX_MS, until)
        elif hangs_over:  # words go on after the change: then the cue is seen there for long enough
            end = max(end, min(near + setting.half, until, start + rules.MAX_MS))
    return start, end


def _nearest(shots: Sequence[int], at: int) -> int | None:
    place = bisect_left(shots, at)
    return min(shots[max(0, place - 1) : place + 1], key=lambda shot: abs(shot - at), default=None)


def _letters(group: Sequence[Said], setting: Setting) -> int:
    """How many characters a cue shows, with the spaces between words."""
    return sum(len(word.text) for word in group) + (len(group) - 1 if setting.is_spaced else 0)


def _fits(group: Sequence[Said], setting: Setting) -> bool:
    return _parted([word.text for word in group], setting) is not None


def _lines(texts: Sequence[str], setting: Setting) -> str:
    """A cue's text in one line, or two parted where it reads best. A word longer than a line stays as it is."""
    between = " " if setting.is_spaced else ""
    at = _parted(texts, setting)
    if at is None:
        at = len(texts) // 2 if len(texts) > 1 else len(texts)
    return "\n".join(between.join(part) for part in (texts[:at], texts[at:]) if part)


def _parted(texts: Sequence[str], setting: Setting) -> int | None:
    """Before which word the second line begins (their number for none); None where the text does not fit."""
    between = 1 if setting.is_spaced else 0
    lengths = [len(text) for text in texts]
    whole = sum(lengths) + between * (len(texts) - 1)
    if whole <= setting.line:
        return len(texts)
    best: tuple[int, int] | None = None
    upper = -between
    for at in range(1, len(texts)):
        upper += lengths[at - 1] + between
        lower = whole - upper - between
        if upper > setting.line or lower > setting.line:
            continue
        cost = abs(upper - lower) + (4 if upper > lower else 0)  # the longer line below covers less of the picture
        if texts[at - 1].rstrip(CLOSING).endswith((*CLAUSE_ENDS, ".", "?", "!", "…", "。")):
            cost -= setting.line // 2
        elif texts[at].lower() in OPENERS:
            cost -= setting.line // 4
        if best is None or cost < best[0]:
            best = (cost, at)
    return best[1] if best else None


def escaped(cues: Iterable[Cue]) -> list[Cue]:
    """Cues as WebVTT writes their text (section 4.2.2); words hold no angle brackets."""
    return [Cue(cue.start_ms, cue.end_ms, cue.text.replace("&", "&amp;"), cue.settings) for cue in cues]


def note(transcript: Mapping[str, Any]) -> str:
    """What a file says of itself, by the facts of its transcript."""
    model = transcript["model"]
    named = f"{model['id']} {model['version']}".replace("-->", "").strip()
    return f"NOTE These captions were written by a machine ({named}); {REVIEWED[transcript['review']]}."


def noted(text: str, comment: str) -> str:
    """A WebVTT file with a comment block before its cues."""
    head, _, rest = text.partition("\n\n")
    return f"{head}\n\n{comment}\n\n{rest}"
