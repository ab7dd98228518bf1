"""The loudness report of a source: EBU R 128 figures of every track, and its short-term loudness second by second.

Belongs here: from the energies of the sound pass to `loudness.json`. Does not belong here: the measuring
(loudness_blocks) or the rules of gating (r128).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from processing.sound.loudness_blocks import read_energies
from processing.sound.plan import product_name
from processing.sound.r128 import (
    HOPS_PER_S,
    MOMENTARY_HOPS,
    SHORT_TERM_HOPS,
    Energies,
    Measured,
    decibels,
    integrated,
    loudest,
    loudness_range,
    lufs,
    unmeasurable,
    windows,
)
from processing.work import Result, Task

FILE = "loudness.json"
STANDARDS = ("EBU R 128", "ITU-R BS.1770-5", "EBU Tech 3341", "EBU Tech 3342")
WEIGHTED = ("integrated_lufs", "range_lu", "short_term_max_lufs", "momentary_max_lufs")
DECIMALS = 2  # of LU and dB: the standards ask for 0.1
CURVE_DECIMALS = 1


def make(task: Task) -> Result:
    """Write `loudness.json`: `tracks`, each with its figures, the reasons for those it lacks, and the curve.

    `short_term_lufs[i]` of the curve is the loudness of the 3 s that end at second i + 1, null before the third second
    and for digital silence. Facts hold the figures without the curves.
    """
    tracks = []
    for track in range(int(task.parameters["tracks"])):
        blocks = task.inputs[product_name("loudness_blocks", track)]
        energies = read_energies(blocks.path(blocks.facts["file"]))
        figures = {"track": track, **measure(energies, blocks.facts)}
        tracks.append({**figures, "curve": {"step": {"num": 1, "den": 1}, "short_term_lufs": curve(energies)}})
    report = {"standards": list(STANDARDS), "tracks": tracks}
    task.out.mkdir(parents=True, exist_ok=True)
    (task.out / FILE).write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    facts = [{name: value for name, value in track.items() if name != "curve"} for track in tracks]
    return Result(facts={"file": FILE, "tracks": facts})


def measure(energies: Energies, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one track, rounded; one that does not exist is null, and `reasons` says why."""
    reason = unmeasurable(int(facts["rate_hz"]))
    figures = {
        **({name: Measured(None, reason) for name in WEIGHTED} if reason else weighted(energies)),
        "true_peak_dbtp": decibels(float(facts["true_peak"])),
        "sample_peak_dbfs": decibels(float(facts["sample_peak"])),
    }
    return {
        **{name: _rounded(figure) for name, figure in figures.items()},
        "reasons": {name: figure.reason for name, figure in figures.items() if figure.reason},
        "channels": list(facts["channels"]),
        "duration": {"ticks": int(facts["samples"]), "timescale": int(facts["rate_hz"])},
    }


def weighted(energies: Energies) -> dict[str, Measured]:
    """The figures that K-weighted energies give."""
    return {
        "integrated_lufs": integrated(energies),
        "range_lu": loudness_range(energies),
        "short_term_max_lufs": loudest(energies, SHORT_TERM_HOPS),
        "momentary_max_lufs": loudest(energies, MOMENTARY_HOPS),
    }


def curve(energies: Energies) -> list[float | None]:
    """Short-term loudness at the end of every whole second, in LUFS; null where there is none."""
    short_term = windows(energies, SHORT_TERM_HOPS)
    values: list[float | None] = []
    for end in range(HOPS_PER_S, len(energies) + 1, HOPS_PER_S):
        first = end - SHORT_TERM_HOPS
        loudness = lufs(float(short_term[first])) if first >= 0 else -math.inf
        values.append(round(loudness, CURVE_DECIMALS) + 0.0 if math.isfinite(loudness) else None)
    return values


def _rounded(figure: Measured) -> float | None:
    return None if figure.value is None else round(figure.value, DECIMALS) + 0.0  # + 0.0: never a negative zero
