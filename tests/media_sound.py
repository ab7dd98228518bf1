"""Sound for tests: the signals of EBU Tech 3341 and 3342, files with one trait each, and the pass run over them.

Belongs here: generators and the way from a file to its products. Does not belong here: assertions.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from processing.contracts import soundtrack as soundtrack_contract
from processing.manifest import Verdict, list_files
from processing.probe import media_info
from processing.sound import loudness, plan, sound_pass, waveform
from processing.sound.layouts import Samples
from processing.sound.loudness_blocks import LoudnessTap, read_energies
from processing.sound.r128 import Energies
from processing.sound.taps import SoundUnit
from processing.work import Input, Result, SourceFile, Task

RATE_HZ = 48_000
TAPS = (plan.FLAC_TAP, plan.AAC_TAP, plan.LOUDNESS_BLOCKS_TAP, plan.PEAKS_TAP)

Piece = tuple[float, float]  # seconds, level in dBFS (-inf is silence)


def tone(pieces: Iterable[Piece], *, hz: float = 1000.0, rate_hz: int = RATE_HZ, channels: int = 2) -> Samples:
    """A sine whose level follows `pieces`, the same in every channel; its phase runs through."""
    levels = np.concatenate([np.full(round(s * rate_hz), 10.0 ** (level / 20.0)) for s, level in pieces])
    wave = levels * np.sin(2 * np.pi * hz * np.arange(levels.size) / rate_hz)
    return np.tile(wave, (channels, 1))


def noise(seconds: float, *, level: float = 0.1, rate_hz: int = RATE_HZ, channels: int = 2, seed: int = 1) -> Samples:
    """White noise, another in every channel."""
    return np.random.default_rng(seed).standard_normal((channels, round(seconds * rate_hz))) * level


def true_peak_tone(divisor: int, amplitude: float, degrees: float, *, rate_hz: int = RATE_HZ) -> Samples:
    """A sine at `rate_hz / divisor` of a given phase, faded in and out as Tech 3341's are; one channel."""
    count = rate_hz
    wave = amplitude * np.sin(2 * np.pi * np.arange(count) / divisor + np.deg2rad(degrees))
    fade = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.1 * rate_hz))
    return (wave * fade).reshape(1, -1)


def inter_sample_burst(offset: int) -> Samples:
    """Cases 20 to 23 of Tech 3341: one period of full amplitude in a tone of half, made at four times the rate,

    low-passed and taken every fourth sample from `offset` on, so that the peak falls between samples.
    """
    rate_hz, hz = 4 * RATE_HZ, RATE_HZ / 6
    times = np.arange(rate_hz)
    wave = 0.5 * np.sin(2 * np.pi * hz * times / rate_hz)
    period = round(rate_hz / hz)
    start = (rate_hz // 2) // period * period
    wave[start : start + period] *= 2.0
    wave *= np.minimum(1.0, np.minimum(times, times[::-1]) / (0.1 * rate_hz))
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(wave.size, 1 / rate_hz) > 20_000.0] = 0.0
    return np.fft.irfft(spectrum, wave.size)[offset::4].reshape(1, -1)


def ideal_peak_db(samples: Samples, factor: int = 32) -> float:
    """The peak of the band-limited curve through one channel's samples, by a Fourier transform, in dBTP."""
    spectrum = np.fft.rfft(samples[0])
    padded = np.zeros(samples.shape[1] * factor // 2 + 1, dtype=complex)
    padded[: spectrum.size] = spectrum
    return 20.0 * float(np.log10(np.abs(np.fft.irfft(padded, samples.shape[1] * factor)).max() * factor))


def measured(folder: Path, samples: Samples, channels: Sequence[str], rate_hz: int = RATE_HZ) -> dict[str, Any]:
    """What the loudness tap and the report say of samples, fed in blocks of a second."""
    return loudness.measure(*energies_of(folder, samples, channels, rate_hz))


def energies_of(
    folder: Path, samples: Samples, channels: Sequence[str], rate_hz: int = RATE_HZ
) -> tuple[Energies, Mapping[str, Any]]:
    """The energies the loudness tap writes, and its facts."""
    folder.mkdir(parents=True, exist_ok=True)
    tap = LoudnessTap(SoundUnit(0, rate_hz, tuple(channels)), {}, folder)
    for start in range(0, samples.shape[1], rate_hz):
        tap.samples(samples[:, start : start + rate_hz])
    facts = tap.close()
    return read_energies(folder / facts["file"]), facts


@dataclass(frozen=True)
class Stretch:
    """Samples that start at `at_s` in a file; `None` follows the stretch before."""

    samples: Samples
    at_s: Fraction | None = None


def write_sound(
    path: Path,
    stretches: Samples | Sequence[Stretch],
    *,
    rate_hz: int = RATE_HZ,
    layout: str = "stereo",
    codec: str = "pcm_s16le",
    container: str = "wav",
    frame: int = 0,
    sample_format: str | None = None,
) -> Path:
    """A file of one track. `frame` samples a packet where the codec leaves it open (a second by default)."""
    parts = [Stretch(stretches)] if isinstance(stretches, np.ndarray) else list(stretches)
    with av.open(str(path), "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout=layout)
        if sample_format:
            stream.codec_context.format = av.AudioFormat(sample_format)
        stream.codec_context.open()
        size = stream.codec_context.frame_size or frame or rate_hz
        at = 0
        for part in parts:
            at = at if part.at_s is None else round(part.at_s * rate_hz)
            for start in range(0, part.samples.shape[1], size):
                piece = part.samples[:, start : start + size]
                output.mux(stream.encode(_frame(piece, rate_hz, layout, stream.format.name, at + start)))
            at += part.samples.shape[1]
        output.mux(stream.encode(None))
    return path


def _frame(samples: Samples, rate_hz: int, layout: str, sample_format: str, pts: int) -> av.AudioFrame:
    planar = sample_format.endswith("p")
    data = _as_format(samples, sample_format.removesuffix("p"))
    shaped = data if planar else data.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(shaped), format=sample_format, layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, pts, Fraction(1, rate_hz)
    return frame


def _as_format(samples: Samples, name: str) -> npt.NDArray[Any]:
    if name in {"flt", "dbl"}:
        return samples.astype(np.float32 if name == "flt" else np.float64)
    if name == "u8":
        return np.clip(np.rint(samples * 128 + 128), 0, 255).astype(np.uint8)
    kind, scale = {"s16": (np.int16, 2.0**15), "s32": (np.int32, 2.0**31)}[name]
    return np.clip(np.rint(samples * scale), -scale, scale - 1).astype(kind)


def info_of(path: Path, folder: Path) -> dict[str, Any]:
    """media_info's facts of a file."""
    task = Task("processing.probe.media_info:make", {}, folder / "media_info", source_of(path))
    return dict(media_info.make(task).facts)


def source_of(path: Path) -> SourceFile:
    return SourceFile(path, "0" * 64, path.stat().st_size)


@dataclass(frozen=True)
class Made:
    """All products of a source, by name, as the tasks of derivatives get them, and the results of its units."""

    info: dict[str, Any]
    inputs: dict[str, Input]
    results: tuple[Result, ...]

    def folder(self, name: str) -> Path:
        return self.inputs[name].folder

    def facts(self, name: str) -> Mapping[str, Any]:
        return self.inputs[name].facts


def run_pass(path: Path, folder: Path, *, info: dict[str, Any] | None = None, taps: Sequence[Any] = TAPS) -> Made:
    """The sound pass over every track of a file."""
    info = info if info is not None else info_of(path, folder)
    inputs: dict[str, Input] = {}
    results = []
    for track in range(len(info["audio"])):
        products = [p for tap in taps for p in tap.plan(info, {}) if p.unit == str(track)]
        task = Task(
            "processing.sound.sound_pass:make_unit",
            plan.unit_parameters(info, {}, str(track)),
            folder / f"unit-{track}",
            source_of(path),
            products=tuple(p.ordered() for p in products),
        )
        result = sound_pass.make_unit(task)
        results.append(result)
        for product in products:
            inputs[product.name] = as_input(product.name, task.product_folder(product.name), result.product_facts)
    return Made(info, inputs, tuple(results))


def as_input(name: str, folder: Path, facts: Mapping[str, Any]) -> Input:
    return Input(name, folder, list_files(folder), facts.get(name, facts), "")


def report_task(made: Made, folder: Path) -> Task:
    """The task of `loudness` or `waveform` over the products of a pass."""
    return Task("", {"tracks": len(made.info["audio"])}, folder, inputs=made.inputs)


def make_report(module: Any, made: Made, folder: Path) -> tuple[Task, Result]:
    """Run `loudness` or `waveform`; the task is the one its contract gets."""
    task = report_task(made, folder)
    result = module.make(task)
    return judged(task, result), result


def judged(task: Task, result: Result) -> Task:
    return replace(task, made=Input("made", task.out, list_files(task.out), result.facts, ""))


def unit_verdicts(made: Made, track: int = 0) -> list[Verdict]:
    """What the pass's contract says of one track's products as they lie on disk now."""
    inputs = {
        name: Input(name, item.folder, list_files(item.folder), item.facts, "")
        for name, item in made.inputs.items()
        if name.endswith(f"/{track}")
    }
    return soundtrack_contract.contract_unit(Task("", {"unit": {}, "products": {}}, Path(), inputs=inputs))


def index_verdicts(made: Made, **changes: Mapping[str, Any]) -> list[Verdict]:
    """What the contract says of the index; `changes` replace products' facts (named with `_` for `/`)."""
    products = {name: dict(item.facts) for name, item in made.inputs.items()}
    products |= {name.replace("_0", "/0"): dict(facts) for name, facts in changes.items()}
    return soundtrack_contract.contract(Task("", {"products": products, "info": made.info}, Path()))


def decoded(path: Path) -> Samples:
    """A file's first track as doubles, shape (channels, samples), placed by its timestamps (nothing before 0)."""
    pieces = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            data = frame.to_ndarray()
            if not frame.format.is_planar:
                data = data.reshape(-1, frame.layout.nb_channels).T
            scale = 1.0 if data.dtype.kind == "f" else 2.0 ** (8 * data.dtype.itemsize - 1)
            pieces.append(data.astype(np.float64) / scale)
    return np.concatenate(pieces, axis=1)


def ffmpeg(*arguments: str) -> str:
    """The system's ffmpeg as an outside judge; what it writes to stderr."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr


MAKERS = {"loudness": loudness, "waveform": waveform}
