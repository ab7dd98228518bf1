"""The contract of the loudness report: complete, consistent in itself, and confirmed by another meter.

Belongs here: judging `loudness.json`. Does not belong here: the energies it is made of (contracts/soundtrack).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from processing.contracts.clauses import expect, failed, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.probe.opening import open_media
from processing.sound.loudness import WEIGHTED
from processing.sound.loudness_blocks import read_energies
from processing.sound.plan import product_name
from processing.sound.r128 import HOPS_PER_S, Energies, integrated, unmeasurable
from processing.work import Input, Task

FIGURES = (*WEIGHTED, "true_peak_dbtp", "sample_peak_dbfs")
LOUDEST_LUFS = 25.0  # eight channels of clipped float at +12 dBFS
WIDEST_LU = 90.0  # 16 bits of range above the gate
# A second meter (libavfilter's ebur128) listens to the AAC: another filter, another decoder. A lossy codec moves
# programme by less than 0.1 LU, noise by 1.5 LU as it drops what is above 17 kHz.
REMEASURED_S = 300
# ebur128 counts windows that are not full yet and so reads low: by 0.7 LU after 1 s, by 0.15 after 5 s.
REMEASURED_FROM_HOPS = 5 * HOPS_PER_S
AGREES_LU = 0.5
CONTRADICTS_LU = 3.0
REMEASURED_ABOVE_LUFS = -50.0  # below, the codec's own noise has a say


def contract(task: Task) -> list[Verdict]:
    """Judge `loudness.json` in `task.made` against the energies and the AAC it was measured beside."""
    made = task.made
    if made is None:
        return [failed("there is a report")]
    try:
        report = json.loads(made.path(str(made.facts["file"])).read_text(encoding="utf-8"))
        tracks: list[dict[str, Any]] = list(report["tracks"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        return [failed("the report can be read", f"{type(error).__name__}: {error}")]
    count = int(task.parameters["tracks"])
    verdicts = [expect("every track is measured", [track.get("track") for track in tracks] == list(range(count)))]
    for track in tracks[:count]:
        try:
            found = list(_judge_track(track, task.inputs))
        except (KeyError, TypeError, ValueError, WorkFailure) as error:
            found = [failed("can be judged", f"{type(error).__name__}: {error}")]
        verdicts += [Verdict(f"track {track.get('track')} {v.clause}", v.outcome, v.found, v.expected) for v in found]
    return verdicts


def _judge_track(track: Mapping[str, Any], inputs: Mapping[str, Input]) -> Iterator[Verdict]:
    number = int(track["track"])
    blocks = inputs[product_name("loudness_blocks", number)]
    energies = read_energies(blocks.path(str(blocks.facts["file"])))
    figures = {name: track[name] for name in FIGURES}
    unexplained = [name for name, value in figures.items() if value is None and not track["reasons"].get(name)]
    yield expect("says why a figure is missing", not unexplained, ", ".join(unexplained))
    if unmeasurable(int(blocks.facts["rate_hz"])):
        claimed = [name for name in WEIGHTED if figures[name] is not None]
        yield expect("claims no loudness where none can be measured", not claimed, ", ".join(claimed))
    yield from _judge_figures(figures)
    curve = track["curve"]["short_term_lufs"]
    yield expect("its curve covers the track", len(curve) == len(energies) // HOPS_PER_S, len(curve))
    loudest = max((value for value in curve if value is not None), default=None)
    short_term = figures["short_term_max_lufs"]
    if loudest is not None:
        below = short_term is not None and loudest <= short_term + 0.1
        yield expect("its curve stays below its maximum", below, loudest, str(short_term))
    aac = inputs.get(product_name("aac", number))
    if aac is not None:
        yield _confirmed(energies, aac, figures["integrated_lufs"])


def _judge_figures(figures: Mapping[str, float | None]) -> Iterator[Verdict]:
    known = {name: value for name, value in figures.items() if value is not None}
    range_lu = known.pop("range_lu", 0.0)
    plausible = all(math.isfinite(value) and value <= LOUDEST_LUFS for value in known.values())
    yield expect("its figures are plausible", plausible and 0.0 <= range_lu <= WIDEST_LU, str(dict(figures)))
    ordered = (
        ("sample_peak_dbfs", "true_peak_dbtp", 0.01),  # rounding
        ("integrated_lufs", "momentary_max_lufs", 0.01),  # a mean of blocks is not above the loudest
        ("short_term_max_lufs", "momentary_max_lufs", 0.3),  # 3 s is 7.5 windows of 400 ms: 10 log(8 / 7.5)
    )
    for name, bound, slack in ordered:
        if name in known and bound in known:
            lower, upper = known[name], known[bound]
            yield expect(f"{name} is not above {bound}", lower <= upper + slack, lower, upper)


def _confirmed(energies: Energies, aac: Input, reported: float | None) -> Verdict:
    """Whether another meter on the AAC reads the same over the first minutes."""
    clause = "another meter agrees"
    own = integrated(energies[: REMEASURED_S * HOPS_PER_S]).value
    whole = integrated(energies).value
    if (whole is None) != (reported is None) or (
        whole is not None and reported is not None and abs(whole - reported) > 0.01
    ):
        return failed(clause, str(reported), str(whole))
    comparable = len(energies) >= REMEASURED_FROM_HOPS and aac.facts["downmix"] is None
    if own is None or own < REMEASURED_ABOVE_LUFS or not comparable:
        return passed(clause, "too quiet, too short or folded down: not measured again")
    other = reference_loudness(aac.path(str(aac.facts["file"])), REMEASURED_S)
    found, expected = f"{other:.1f} LUFS", f"{own:.1f} LUFS"
    if abs(other - own) <= AGREES_LU:
        return passed(clause, found, expected)
    return (warned if abs(other - own) <= CONTRADICTS_LU else failed)(clause, found, expected)


def reference_loudness(path: Path, seconds: int) -> float:
    """Integrated loudness (LUFS) of the first `seconds` of a file by libavfilter's ebur128, to its 0.1 LU."""
    reading = -math.inf
    with open_media(path) as container:
        stream = container.streams.audio[0]
        graph = Graph()
        graph.threads = 1
        graph.link_nodes(
            graph.add_abuffer(template=stream),
            graph.add("ebur128", "metadata=1:framelog=quiet"),
            graph.add("abuffersink"),
        ).configure()
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= seconds:
                break
            graph.push(frame)
            reading = _drained(graph, reading)
        graph.push(None)
        return _drained(graph, reading)


def _drained(graph: Graph, reading: float) -> float:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return reading
        if isinstance(frame, av.AudioFrame):
            reading = float(frame.metadata.get("lavfi.r128.I", reading))
