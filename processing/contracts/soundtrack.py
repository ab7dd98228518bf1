"""The contract of the sound pass: every product of a track decodes and holds what its facts say of it.

Belongs here: the judging of one unit's products (`contract_unit`) and of the whole index (`contract`). Does not belong
here: loudness and waveform, which are made of these products and have contracts of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from processing.contracts.clauses import expect, failed, passed, warned
from processing.contracts.likeness import Ear, alike
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.probe.opening import open_media
from processing.sound import flac
from processing.sound.aac import FRAME, PRIMING
from processing.sound.graphs import resampled_length
from processing.sound.layouts import channel_names, listening_layout
from processing.sound.likeness import likeness_of
from processing.sound.loudness_blocks import read_energies
from processing.sound.peaks import read_peaks
from processing.sound.r128 import unmeasurable
from processing.timeline import from_rational
from processing.work import Input, Task

COVERAGE_S = Fraction(25, 1000)  # how far a track may end from its declared end without a gap that says why
UNHEARD = 0.001  # -60 dBFS: quieter sound may vanish in a lossy codec
_SILENT_16 = 33  # the same of 32,768

Decoded = np.ndarray[Any, np.dtype[Any]]  # of a frame, as its format has it


def contract_unit(task: Task) -> list[Verdict]:
    """Judge the products of one track by themselves: `task.inputs` by product name, their facts beside them."""
    flac_peak = max((int(item.facts["peak"]) for name, item in task.inputs.items() if _tap(name) == "flac"), default=0)
    verdicts: list[Verdict] = []
    for name, item in sorted(task.inputs.items()):
        try:
            found = _judge(name, item, flac_peak)
        except (WorkFailure, OSError, KeyError, ValueError) as error:
            found = [failed("can be read", f"{type(error).__name__}: {error}")]
        verdicts += [_named(name, verdict) for verdict in found]
    return verdicts


def contract(task: Task) -> list[Verdict]:
    """Judge the index: `products` (name to facts) against `info`, the facts of media_info."""
    info: Mapping[str, Any] = task.parameters["info"]
    by_track: dict[int, dict[str, Mapping[str, Any]]] = {}
    for name, facts in task.parameters["products"].items():
        by_track.setdefault(int(name.rpartition("/")[2]), {})[_tap(name)] = facts
    taps = {tap for products in by_track.values() for tap in products}
    lacking = sorted(f"{tap}/{track}" for track, products in by_track.items() for tap in taps - set(products))
    verdicts = [
        expect("every declared track is there", len(by_track) == len(info["audio"]), len(by_track), len(info["audio"])),
        expect("every track has the same products", not lacking, ", ".join(lacking)),
    ]
    for track, products in sorted(by_track.items()):
        if track < len(info["audio"]):
            verdicts += [_named(f"track {track}", v) for v in _judge_track(products, info["audio"][track])]
    return verdicts


def _judge_track(products: Mapping[str, Mapping[str, Any]], audio: Mapping[str, Any]) -> Iterator[Verdict]:
    sources = [facts["source"] for facts in products.values()]
    yield expect(
        "its products are of one decode",
        all(source == sources[0] for source in sources),
        len({str(source) for source in sources}),
        1,
    )
    source, damage = sources[0], next(iter(products.values()))["damage"]
    yield expect("no channel is lost", source["channels"] >= audio["channels"], source["channels"], audio["channels"])
    rate_hz = int(source["rate_hz"])
    end_s = Fraction(int(source["samples"]), rate_hz)
    missing_s = Fraction(sum(end - start for start, end in damage["gaps"] if start >= source["samples"]), rate_hz)
    declared_s = from_rational(audio["start"]) + from_rational(audio["duration"])
    off_s = end_s + missing_s - declared_s
    clause = "it covers its declared length"
    if abs(off_s) <= COVERAGE_S:
        yield passed(clause, f"{float(end_s):.3f} s", f"{float(declared_s):.3f} s")
    else:
        yield warned(clause, f"{float(end_s):.3f} s and {float(missing_s):.3f} s of gap", f"{float(declared_s):.3f} s")


def _judge(name: str, item: Input, flac_peak: int) -> list[Verdict]:
    judges = {"flac": _judge_flac, "loudness_blocks": _judge_blocks, "peaks": _judge_peaks}
    tap = _tap(name)
    path = item.path(str(item.facts["file"]))
    if tap == "aac":
        return list(_judge_aac(path, item.path(str(item.facts["likeness"])), item.facts, flac_peak))
    if tap in judges:
        return list(judges[tap](path, item.facts))
    return [passed("has files", len(item.files))]


@dataclass(frozen=True, slots=True)
class _Heard:
    """What decoding a file gave: samples, loudest sample (full scale 1.0, or of 32,768 where they are 16 bit)."""

    samples: int
    peak: float


def _listen(
    path: Path, codec: str, take: Callable[[Decoded], None]
) -> tuple[_Heard, av.AudioCodecContext, int | None, int]:
    """Decode a whole file; `take` gets every block of samples.

    Returns what was heard, its codec, its declared length in samples, and the first pts.
    """
    samples, peak = 0, 0.0
    first_pts: int | None = None
    with open_media(path) as container:
        stream = container.streams.audio[0]
        context = stream.codec_context
        if context.name != codec:
            raise ValueError(f"it is {context.name}, not {codec}")
        for packet in container.demux(stream):
            if first_pts is None:
                first_pts = packet.pts
            for frame in packet.decode():
                data = frame.to_ndarray()
                samples += frame.samples
                peak = max(peak, float(data.max()), -float(data.min()))
                take(data)
        return _Heard(samples, peak), context, stream.duration, first_pts or 0


def _judge_flac(path: Path, facts: Mapping[str, Any]) -> Iterator[Verdict]:
    digest = hashlib.sha256()
    heard, context, declared, _ = _listen(path, "flac", lambda samples: digest.update(flac.pcm_bytes(samples)))
    source = facts["source"]
    due = resampled_length(int(source["samples"]), Fraction(flac.RATE_HZ, int(source["rate_hz"])))
    yield expect("has 16 kHz and one channel", (context.sample_rate, context.channels) == (flac.RATE_HZ, 1))
    yield expect("has the exact number of samples", heard.samples == due == facts["samples"], heard.samples, due)
    yield expect("its header says so too", declared == heard.samples, str(declared), heard.samples)
    same = (round(heard.peak), digest.hexdigest()) == (facts["peak"], facts["digest"])
    yield expect("holds the samples that were written", same, digest.hexdigest(), facts["digest"])


def _judge_aac(path: Path, likeness: Path, facts: Mapping[str, Any], flac_peak: int) -> Iterator[Verdict]:
    layout = listening_layout(channel_names([str(name) for name in facts["source_channels"]]))
    ear = Ear(int(facts["rate_hz"]), int(facts["samples"]))
    heard, context, declared, first_pts = _listen(path, "aac", ear.take)
    shape = (context.sample_rate, context.channels)
    yield expect("has its rate and channels", shape == (facts["rate_hz"], facts["channels"]), str(shape))
    has_them = facts["channels"] == len(layout)
    yield expect("has the source's channels, up to 5.1", has_them, facts["channels"], len(layout))
    source = facts["source"]
    due = resampled_length(int(source["samples"]), Fraction(int(facts["rate_hz"]), int(source["rate_hz"])))
    yield expect("starts with the encoder's priming", first_pts == -PRIMING, first_pts, -PRIMING)
    yield expect("is declared to end on the sample", declared == due == facts["samples"], str(declared), due)
    overhang = heard.samples - due
    yield expect("decodes to its end", 0 <= overhang < 2 * FRAME, heard.samples, due)
    yield from alike(likeness_of(likeness, len(layout)), ear.heard(), layout)
    audible = float(facts["peak"]) > UNHEARD
    if not audible or heard.peak > UNHEARD / 10:
        yield passed("is silent only where the source is", f"{heard.peak:.5f}", facts["peak"])
    elif flac_peak > _SILENT_16:
        yield failed("is silent only where the source is", f"{heard.peak:.5f}", facts["peak"])
    else:  # sound that is all above 8 kHz: the codec may leave it out
        yield warned("is silent only where the source is", f"{heard.peak:.5f}", facts["peak"])


def _judge_blocks(path: Path, facts: Mapping[str, Any]) -> Iterator[Verdict]:
    energies = read_energies(path)
    rate_hz = int(facts["rate_hz"])
    due = 0 if unmeasurable(rate_hz) else int(facts["samples"]) * int(facts["hops_per_s"]) // rate_hz
    yield expect("has a value for every 10 ms", len(energies) == due == facts["hops"], len(energies), due)
    sane = bool(np.all(np.isfinite(energies)) and np.all(energies >= 0.0))
    yield expect("its values are energies", sane)
    yield expect("has a weight for every channel", len(facts["weights"]) == len(facts["channels"]))
    peak = float(facts["sample_peak"])
    yield expect("its true peak is not below its sample peak", facts["true_peak"] >= peak, facts["true_peak"], peak)
    # K-weighting amplifies by at most 4 dB above 2 kHz; twice the amplitude leaves room for its transients
    bound = sum(facts["weights"]) * (2.0 * peak) ** 2 + 1e-12
    loudest = float(energies.max()) if sane and len(energies) else 0.0
    yield expect("no block is louder than its peaks allow", loudest <= bound, f"{loudest:.3g}", f"{bound:.3g}")


def _judge_peaks(path: Path, facts: Mapping[str, Any]) -> Iterator[Verdict]:
    rate_hz, step, points = read_peaks(path)
    due = -(-int(facts["samples"]) // step)
    shape = (rate_hz, step, len(points))
    yield expect("covers the track", shape == (facts["rate_hz"], facts["samples_per_pixel"], due), str(shape), due)
    yield expect("no minimum is above its maximum", bool(np.all(points[:, 0] <= points[:, 1])))
    peak = max(int(points.max()), -int(points.min())) if len(points) else 0
    yield expect("its loudest point is the one measured", peak == facts["peak"], peak, facts["peak"])


def _tap(name: str) -> str:
    return name.partition("/")[0]


def _named(name: str, verdict: Verdict) -> Verdict:
    return Verdict(f"{name} {verdict.clause}", verdict.outcome, verdict.found, verdict.expected)
