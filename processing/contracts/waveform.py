"""The contract of waveforms: the JSON covers the track, shows what is heard, and its pictures can be seen.

Belongs here: judging the files of `waveform`. Does not belong here: the peaks they are made of (contracts/soundtrack).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from processing.contracts.clauses import expect, failed
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.probe.opening import open_media
from processing.sound.plan import product_name
from processing.sound.waveform_picture import LARGE_SIZE, SMALL_BYTES, SMALL_SIZE, WAVE
from processing.work import Input, Task

_FULL_SCALE = 32_768
_OVERSHOOT = 1.3  # resampling to 16 kHz lets a step ring by up to 18 %, and a second is not cut on the same sample
_QUIET = 0.01 * _FULL_SCALE
_AGREEING = 0.98  # of the seconds: their borders differ between the two rates
_VISIBLE = 0.02  # a peak of 2 % of full scale is more than one row of the picture

Levels = np.ndarray[Any, np.dtype[np.float64]]


def contract(task: Task) -> list[Verdict]:
    """Judge the files in `task.made`, track by track, against the FLAC of the same pass where it is given."""
    made = task.made
    if made is None:
        return [failed("there are waveforms")]
    tracks = list(made.facts.get("tracks", []))
    count = int(task.parameters["tracks"])
    verdicts = [expect("every track has a waveform", len(tracks) == count, len(tracks), count)]
    for track in tracks:
        try:
            found = list(_judge_track(made, track, task.inputs))
        except (OSError, KeyError, TypeError, ValueError, SyntaxError, WorkFailure) as error:
            found = [failed("can be read", f"{type(error).__name__}: {error}")]
        verdicts += [Verdict(f"track {track.get('track')} {v.clause}", v.outcome, v.found, v.expected) for v in found]
    return verdicts


def _judge_track(made: Input, track: Mapping[str, Any], inputs: Mapping[str, Input]) -> Iterator[Verdict]:
    document = json.loads(made.path(track["files"]["json"]).read_text(encoding="utf-8"))
    data = np.array(document["data"], dtype=np.int64)
    known = (document["version"], document["channels"], document["bits"]) == (2, 1, 16)
    yield expect("is audiowaveform's format, version 2", known and document["sample_rate"] > 0)
    points = int(document["length"])
    yield expect("has a pair for every point", data.size == 2 * points, data.size, 2 * points)
    samples = int(inputs[product_name("peaks", int(track["track"]))].facts["samples"])
    step = int(document["samples_per_pixel"])
    yield expect("covers the track", (points - 1) * step < samples <= points * step, points * step, samples)
    pairs = data[: data.size - data.size % 2].reshape(-1, 2)
    within = bool(np.all(pairs[:, 0] <= pairs[:, 1]) and np.all(np.abs(pairs) <= _FULL_SCALE))
    yield expect("its minima and maxima are in order", within)
    sound = inputs.get(product_name("flac", int(track["track"])))
    if sound is not None:
        yield _shows_the_sound(pairs, int(document["sample_rate"]), step, sound)
    peak = float(np.abs(pairs).max()) / _FULL_SCALE if pairs.size else 0.0
    yield from _judge_picture(made, track["files"]["picture"], LARGE_SIZE, peak)
    yield from _judge_picture(made, track["files"]["small"], SMALL_SIZE, peak)
    small = made.path(track["files"]["small"]).stat().st_size
    yield expect("its small picture fits into a page", small <= SMALL_BYTES, small, SMALL_BYTES)


def _shows_the_sound(pairs: np.ndarray[Any, Any], rate_hz: int, step: int, sound: Input) -> Verdict:
    """Where the FLAC is loud the waveform must be; the reverse need not hold, for the FLAC ends at 8 kHz.

    Only for one or two channels in plain fold: other folds weigh channels differently.
    """
    clause = "shows the sound that is heard"
    heard = levels_by_second(sound)
    shown = _shown_by_second(np.abs(pairs).max(axis=1).astype(np.float64), len(heard), rate_hz, step)
    if sound.facts["source"]["channels"] > 2 or sound.facts["mix"] != "fold":
        vacuous = bool(heard.max(initial=0.0) > _QUIET and np.all(shown == 0.0) and sound.facts["mix"] == "fold")
        return expect(clause, not vacuous, "other fold")
    agreeing = heard <= shown * _OVERSHOOT + _QUIET
    share = float(agreeing.mean()) if len(agreeing) else 1.0
    return expect(clause, share >= _AGREEING, f"{share:.3f} of the seconds", f"{_AGREEING}")


def levels_by_second(sound: Input) -> Levels:
    """The loudest sample (of 32,768) of every second of a FLAC product."""
    levels: list[float] = []
    rest = np.zeros(0, dtype=np.int64)
    with open_media(sound.path(str(sound.facts["file"]))) as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            rest = np.concatenate([rest, np.abs(frame.to_ndarray().reshape(-1).astype(np.int64))])
            while rest.size >= stream.rate:
                levels.append(float(rest[: stream.rate].max()))
                rest = rest[stream.rate :]
    if rest.size:
        levels.append(float(rest.max()))
    return np.array(levels)


def _shown_by_second(levels: Levels, seconds: int, rate_hz: int, step: int) -> Levels:
    """The loudest point that touches each second."""
    shown = []
    for second in range(seconds):
        first = second * rate_hz // step
        last = max(-(-(second + 1) * rate_hz // step), first + 1)
        shown.append(float(levels[first:last].max(initial=0.0)))
    return np.array(shown)


def _judge_picture(made: Input, name: str, size: tuple[int, int], peak: float) -> Iterator[Verdict]:
    with Image.open(made.path(name)) as image:
        image.load()
        pixels = np.asarray(image.convert("RGBA"))
        yield expect(f"{name} decodes at its size", image.size == size, str(image.size), str(size))
    drawn = np.all(np.abs(pixels.astype(int) - WAVE) <= 8, axis=2)
    yield expect(f"{name} has a column for every instant", bool(drawn.any(axis=0).all()), int(drawn.any(axis=0).sum()))
    rows = int(drawn.any(axis=1).sum())
    yield expect(f"{name} is not blank", rows > 2 or peak < _VISIBLE, f"{rows} rows", f"peak {peak:.3f}")
