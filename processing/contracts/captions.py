"""What must hold of captions: every word of the transcript, when it is said, set so that it can be read.

Belongs here: reading the files back and judging each rule. Does not belong here: setting captions (words/captions), the
rules themselves (words/captions_plan), whether the words are right (contracts/transcript).

Failed is what players or readers stumble over: a broken file, a missing word, a third line. Warned is what speech can
force: somebody talks faster than people read, or over a shot change.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from processing import srt, webvtt
from processing.contracts.clauses import expect, failed, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.webvtt import MS, Cue
from processing.words import captions_plan as rules
from processing.words.captions import Said, Setting, note, said, setting_of, shot_changes
from processing.words.subtitles import TIMESTAMP_MAP, length_s, playlist_of
from processing.words.transcript import read_transcript
from processing.work import NOT_APPLICABLE, Input, Task

IN_TIME_MS = 1000  # between a cue's begin and its first word: snapping and leading stay far below
SOME = 0.1  # of cues: what one difficult passage may take


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made` track by track."""
    made = task.made
    if made is None:
        raise ValueError("the contract of captions needs what was made")
    if NOT_APPLICABLE in made.facts:
        nothing = "transcript" not in task.inputs and not made.files
        return [expect("does not apply for its reason", nothing, "a transcript" if not nothing else "no transcript")]
    transcript = task.inputs["transcript"]
    try:
        due = {int(track["track"]): track for track in read_transcript(transcript.folder)["tracks"]}
        listed = {int(track["track"]): track for track in made.facts["tracks"]}
        is_said = made.facts["ai_generated"] is True and made.facts["review"] == transcript.facts["review"]
        shots = shot_changes(task)
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("facts readable", f"{type(error).__name__}: {error}")]
    verdicts = [
        expect("every track has captions", sorted(listed) == sorted(due) and bool(due), str(sorted(listed))),
        expect("is said to be made by a model", is_said),
    ]
    named = {track[name] for track in listed.values() for name in ("file", "srt", "playlist")}
    strangers = sorted(entry.path for entry in made.files if entry.path not in named)
    verdicts.append(expect("has no file of no track", not strangers, ", ".join(strangers)))
    for number in sorted(set(listed) & set(due)):
        try:
            setting = setting_of(task.parameters, due[number]["language"], shots)
            found = list(_judge(made, listed[number], due[number], setting, task))
        except (KeyError, OSError, TypeError, ValueError, WorkFailure) as error:
            found = [failed("can be read", f"{type(error).__name__}: {error}", "WebVTT, SRT, playlist")]
        verdicts += [Verdict(f"track {number} {v.clause}", v.outcome, v.found, v.expected) for v in found]
    return verdicts


def _judge(
    made: Input, track: Mapping[str, Any], due: Mapping[str, Any], setting: Setting, task: Task
) -> Iterator[Verdict]:
    text = made.path(track["file"]).read_text(encoding="utf-8")
    cues = [Cue(c.start_ms, c.end_ms, c.text.replace("&amp;", "&"), c.settings) for c in webvtt.parsed(text)]
    lines = text.split("\n")
    yield expect("maps its clock for HLS", lines[1] == TIMESTAMP_MAP, lines[1])
    yield expect("notes that a machine made it", note(task.inputs["transcript"].facts) in lines)
    same = srt.parsed(made.path(track["srt"]).read_text(encoding="utf-8"))
    yield expect("is the same as SRT", same == cues, len(same), len(cues))
    playlist = made.path(track["playlist"]).read_text(encoding="ascii")
    yield expect("has a playlist over it", playlist == playlist_of(track["file"], length_s(task.parameters)))
    yield expect("is in the language that is said", track["language"] == due["language"], str(track["language"]))
    yield expect("has its cues", len(cues) == track["cues"] > 0, len(cues), track["cues"])
    yield from _placed(cues, setting)
    yield from _readable(cues, setting)
    yield from _over_shots(cues, setting)
    yield from _said(cues, said(due["words"]), setting)


def _placed(cues: Sequence[Cue], setting: Setting) -> Iterator[Verdict]:
    outside = _first(cue for cue in cues if not 0 <= cue.start_ms < cue.end_ms <= setting.end)
    yield expect("has its cues inside the media", outside is None, outside or "", f"0 to {setting.end} ms")
    close = _first(after for before, after in itertools.pairwise(cues) if after.start_ms - before.end_ms < setting.gap)
    yield expect("has its cues in order and apart", close is None, close or "", f"{setting.gap} ms")


def _readable(cues: Sequence[Cue], setting: Setting) -> Iterator[Verdict]:
    empty = _first(cue for cue in cues if not all(line.strip() for line in cue.text.split("\n")))
    yield expect("says something in every line", empty is None, empty or "")
    tall = _first(cue for cue in cues if cue.text.count("\n") >= rules.LINES)
    yield expect("has two lines at most", tall is None, tall or "")
    wide = [line for cue in cues for line in cue.text.split("\n") if len(line) > setting.line]
    is_one_word = all(" " not in line for line in wide) and setting.is_spaced
    if wide and is_one_word:
        yield warned("has lines that fit", wide[0], f"{setting.line} characters")
    else:
        yield expect("has lines that fit", not wide, wide[0] if wide else "", f"{setting.line} characters")
    long = _first(cue for cue in cues if cue.end_ms - cue.start_ms > rules.MAX_MS)
    yield expect("shows no cue too long", long is None, long or "", f"{rules.MAX_MS} ms")
    short = [cue for cue in cues if cue.end_ms - cue.start_ms < rules.MIN_MS]
    yield _seldom("shows cues long enough", short, cues, f"{rules.MIN_MS} ms")
    fast = [cue for cue in cues if _speed(cue) > setting.speed]
    yield _seldom("can be read in time", fast, cues, f"{setting.speed} characters a second")


def _over_shots(cues: Sequence[Cue], setting: Setting) -> Iterator[Verdict]:
    if not setting.shots:
        return
    hanging = []
    for cue in cues:
        at = bisect_left(setting.shots, cue.start_ms + 1)
        while at < len(setting.shots) and setting.shots[at] < cue.end_ms:
            shot = setting.shots[at]
            if min(shot - cue.start_ms, cue.end_ms - shot) < setting.half:
                hanging.append(cue)
                break
            at += 1
    yield _seldom("hangs over no shot change", hanging, cues, f"{setting.half} ms on either side")


def _said(cues: Sequence[Cue], words: Sequence[Said], setting: Setting) -> Iterator[Verdict]:
    """Every word once, in order, in a cue that is shown when it is said."""
    between = " " if setting.is_spaced else ""
    shown = between.join(cue.text.replace("\n", between) for cue in cues)
    whole = between.join(word.text for word in words)
    yield expect("has every word once, in order", shown == whole, f"{len(shown)} characters", len(whole))
    if shown != whole:
        return
    late = silent = ""
    at = 0
    for cue in cues:
        group = [words[at]]
        length = len(cue.text.replace("\n", between))
        while len(between.join(word.text for word in group)) < length:
            at += 1
            group.append(words[at])
        at += 1
        if abs(cue.start_ms - group[0].start) > IN_TIME_MS and not late:
            late = _shown(cue)
        if not silent and any(b.start - a.end >= rules.PAUSE_MS for a, b in itertools.pairwise(group)):
            silent = _shown(cue)
    yield expect("begins each cue with its words", not late, late, f"within {IN_TIME_MS} ms")
    yield expect("spans no long silence", not silent, silent, f"{rules.PAUSE_MS} ms")


def _seldom(clause: str, found: Sequence[Cue], cues: Sequence[Cue], expected: str) -> Verdict:
    """Passed where no cue breaks a rule, warned where some do."""
    if not found:
        return passed(clause, "", expected)
    often = "" if len(found) <= SOME * len(cues) else "often: "
    return warned(clause, f"{often}{len(found)} of {len(cues)}, {_shown(found[0])}", expected)


def _speed(cue: Cue) -> float:
    """Characters a second, a line feed counted as the space it stands for; whole ones, as the rule counts."""
    return len(cue.text) * MS // max(1, cue.end_ms - cue.start_ms)


def _first(cues: Iterator[Cue]) -> str | None:
    cue = next(cues, None)
    return None if cue is None else _shown(cue)


def _shown(cue: Cue) -> str:
    return f"{webvtt.timestamp(cue.start_ms)} {cue.text[:40]!r}"
