"""Waveforms of a source: BBC audiowaveform JSON, version 2, and the pictures made of it.

Belongs here: the zoom of the JSON, its writing, the order of files. Does not belong here: measuring (peaks) or drawing
(waveform_picture).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from processing.sound import waveform_picture
from processing.sound.peaks import Points, read_peaks
from processing.sound.plan import product_name
from processing.work import Result, Task

BITS = 16  # 8 would leave nothing of a quiet track
MAX_POINTS = 16_384  # a JSON of at most 250 kB, and more points than a screen has pixels


def make(task: Task) -> Result:
    """Write `waveform.json`, `waveform.png` and `waveform-small.png` of the first track; `waveform-<n>.*` of others.

    Facts list per track the files, the zoom, the number of points and the loudest of them (of 32,768).
    """
    task.out.mkdir(parents=True, exist_ok=True)
    tracks = []
    for track in range(int(task.parameters["tracks"])):
        peaks = task.inputs[product_name("peaks", track)]
        rate_hz, step, points = read_peaks(peaks.path(peaks.facts["file"]))
        tracks.append({"track": track, **_write(task.out, track, points, rate_hz, step, int(peaks.facts["samples"]))})
    return Result(facts={"tracks": tracks})


def file_names(track: int) -> dict[str, str]:
    """The files of one track: `json`, `picture` and `small`."""
    stem = "waveform" if track == 0 else f"waveform-{track}"
    return {"json": f"{stem}.json", "picture": f"{stem}.png", "small": f"{stem}-small.png"}


def zoom(points: int) -> int:
    """How many points of the pass become one of the JSON: the smallest power of two that leaves at most `MAX_POINTS`.

    The zoom of the JSON is that times the pass's 256 samples: 256 up to 87 s at 48 kHz, 16,384 for an hour.
    """
    factor = 1
    while -(-points // factor) > MAX_POINTS:
        factor *= 2
    return factor


def merge(points: Points, factor: int) -> Points:
    """Every `factor` points as one: the least minimum and the greatest maximum; the last may cover fewer."""
    if factor == 1:
        return points
    starts = np.arange(0, len(points), factor)
    return np.stack([np.minimum.reduceat(points[:, 0], starts), np.maximum.reduceat(points[:, 1], starts)], axis=1)


def document(points: Points, rate_hz: int, samples_per_pixel: int) -> dict[str, Any]:
    """The JSON of audiowaveform's data format, version 2, one channel."""
    return {
        "version": 2,
        "channels": 1,
        "sample_rate": rate_hz,
        "samples_per_pixel": samples_per_pixel,
        "bits": BITS,
        "length": len(points),
        "data": points.reshape(-1).tolist(),
    }


def _write(folder: Path, track: int, points: Points, rate_hz: int, step: int, samples: int) -> dict[str, Any]:
    names = file_names(track)
    factor = zoom(len(points))
    merged = merge(points, factor)
    text = json.dumps(document(merged, rate_hz, step * factor), separators=(",", ":"))
    (folder / names["json"]).write_text(text + "\n", encoding="utf-8")
    (folder / names["picture"]).write_bytes(waveform_picture.large(merged, samples / rate_hz))
    (folder / names["small"]).write_bytes(waveform_picture.small(merged))
    return {
        "files": names,
        "sample_rate": rate_hz,
        "samples_per_pixel": step * factor,
        "length": len(merged),
        "samples": samples,
        "peak": max(int(merged.max()), -int(merged.min())),
    }
