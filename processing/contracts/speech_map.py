"""What must hold of a speech map: it covers the track, follows from what was heard, and is heard again when asked.

Belongs here: judging segments and probabilities against the FLAC. Does not belong here: listening (sound/speech).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from processing.contracts.clauses import expect, failed
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.sound.flac import RATE_HZ
from processing.sound.plan import product_name
from processing.sound.speech import WINDOW, Probabilities, heard, read_map, segments_in, windows_of
from processing.work import Input, Task

EXCERPTS = 3  # in a track, heard again: at most half a second of work, however long the track
EXCERPT = 160  # windows, 5 s
WARMING_UP = 32  # windows, 1 s, after which the model has forgotten what it began with
# Mean difference of probabilities, of 255. An excerpt heard alone was within 6 of the same seconds in their track over
# the corpus; speech against silence is 200 apart.
AGREEING = 40.0


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made` track by track. Where the map cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a speech map needs what was made")
    count = int(task.parameters["tracks"])
    try:
        listed = {int(track["track"]): track for track in read_map(made.folder)["tracks"]}
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("map readable", f"{type(error).__name__}: {error}", "JSON with tracks")]
    verdicts = [expect("every track has its map", sorted(listed) == list(range(count)), str(sorted(listed)), count)]
    facts = {int(track["track"]): track for track in made.facts.get("tracks", ())}
    for number in range(count):
        try:
            found = list(_judge(made, listed[number], facts[number], task))
        except (KeyError, OSError, TypeError, ValueError, WorkFailure) as error:
            found = [failed("can be read", f"{type(error).__name__}: {error}")]
        verdicts += [Verdict(f"track {number} {v.clause}", v.outcome, v.found, v.expected) for v in found]
    return verdicts


def _judge(made: Input, track: Mapping[str, Any], facts: Mapping[str, Any], task: Task) -> Iterator[Verdict]:
    sound = task.inputs[product_name("flac", int(track["track"]))]
    samples = int(sound.facts["samples"])
    probabilities = np.frombuffer(made.path(facts["probabilities"]).read_bytes(), dtype=np.uint8)
    segments = [(int(start), int(end)) for start, end in track["segments"]]
    yield expect("is as long as the track", track["samples"] == facts["samples"] == samples, track["samples"], samples)
    windows = -(-samples // WINDOW)
    yield expect("has a probability for each window", len(probabilities) == windows, len(probabilities), windows)
    in_order = all(start < end for start, end in segments) and all(
        before[1] <= after[0] for before, after in itertools.pairwise(segments)
    )
    inside = not segments or (segments[0][0] >= 0 and segments[-1][1] <= samples)
    yield expect("has segments in order inside the track", in_order and inside, _short(segments), f"0 to {samples}")
    due = [(each.start, each.end) for each in segments_in(probabilities, samples, task.parameters["rules"])]
    yield expect("has the segments its probabilities give", segments == due, _short(segments), _short(due))
    spoken = sum(end - start for start, end in segments)
    share = facts["speech_share"]
    agreeing = facts["segments"] == len(segments) and share["num"] * max(samples, 1) == spoken * share["den"]
    yield expect("is summed up rightly", agreeing, f"{facts['segments']} segments", len(segments))
    yield _heard_again(sound, probabilities, segments)


def _heard_again(sound: Input, probabilities: Probabilities, segments: Sequence[tuple[int, int]]) -> Verdict:
    """A few excerpts, spread over the track and around the beginnings of segments, say the same when heard again."""
    clause = "is what is heard"
    last = max(0, len(probabilities) - EXCERPT)
    wanted = {last * number // max(1, EXCERPTS - 1) for number in range(EXCERPTS)}
    if segments:
        wanted.add(min(last, max(0, segments[len(segments) // 2][0] // WINDOW - EXCERPT // 2)))
    farthest = 0.0
    for first in sorted(wanted):
        warm = max(0, first - WARMING_UP)
        again = heard(windows_of(sound.path(str(sound.facts["file"])), warm, first - warm + EXCERPT))[first - warm :]
        written = probabilities[first : first + EXCERPT]
        if len(again) != len(written):
            return failed(clause, f"{len(written)} windows from {first * WINDOW / RATE_HZ:.1f} s", len(again))
        if len(again):
            farthest = max(farthest, float(np.abs(again.astype(int) - written.astype(int)).mean()))
    return expect(clause, farthest <= AGREEING, f"{farthest:.1f} of 255 apart", AGREEING)


def _short(spans: Sequence[tuple[int, int]]) -> str:
    shown = ", ".join(f"{start}-{end}" for start, end in spans[:4])
    return f"{shown}, ... ({len(spans)})" if len(spans) > 4 else shown or "none"
