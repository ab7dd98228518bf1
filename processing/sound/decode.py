"""One audio track decoded once, as blocks of samples on the output timeline.

Belongs here: reading packets, turning any sample format into doubles, and the placing of every frame: sample 0 is
output time 0, late starts and gaps become silence, overlaps and what lies before 0 are cut, damage is skipped and
noted. Does not belong here: what is made of the samples (taps).

The placing is own arithmetic on rationals instead of `aresample=async=1`: that filter rounds to its own clock, says
nothing of what it filled, and starts anew when rate or layout change in mid-stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Discard

from processing.failures import BadInput
from processing.probe import adts
from processing.probe.opening import demuxed, open_media
from processing.probe.splices import Mender, Splice
from processing.sound.graphs import Resampler
from processing.sound.layouts import Samples, channel_names, is_identity, mix, mix_matrix
from processing.timeline import to_ticks

# A frame this far from where the last one ended is taken to follow it. Containers with a clock of 1 ms jitter by 1 ms,
# recordings of a browser by several; correcting each would put a click at every packet, and 10 ms is a quarter of the
# +40 ms of EBU R 37 at which sound that leads the picture is noticed.
JITTER = Fraction(1, 100)
# Timestamps that jump further past the declared end than this are not believed: hours of silence out of one bad field.
BEYOND_END = Fraction(1)
LOUDEST = 2.0**15  # +90 dBFS: a float sample above it is damage, and would poison every filter after it
LONGEST_FRAME = 2048  # samples of one packet of HE-AAC, the longest of any common codec
_SILENCE_BLOCK_S = 1  # gaps are filled in pieces of this length, so that memory does not depend on the gap
_BLOCK_S = 1  # frames are gathered into blocks of this length before taps see them: fewer, longer numpy calls


@dataclass(slots=True)
class Damage:
    """What was wrong with a track. Spans are samples of the working rate on the output timeline.

    `gaps` are spans that are missing because the source is damaged, `holes` spans its timestamps leave empty; both
    are silent in every output.
    """

    packets_corrupt: int = 0
    packets_undecodable: int = 0
    samples_not_finite: int = 0
    samples_overlapping: int = 0
    samples_padding: int = 0
    timestamps_ignored: int = 0
    truncated: bool = False
    gaps: list[tuple[int, int]] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Samples that are missing because of damage."""
        return sum(end - start for start, end in self.gaps)


class TrackDecoder:
    """Decodes one track. `open` first, then `blocks` once, then `damage` and `samples` are final.

    `rate_hz` and `channels` are fixed when the first frame is decoded: the greater of what media_info declares and
    what the frame has. Later frames of another rate or layout are resampled and folded into them.
    """

    def __init__(
        self,
        path: Path,
        audio: Mapping[str, Any],
        origin_s: Fraction,
        start_s: Fraction,
        end_s: Fraction,
        splices: Sequence[Splice] = (),
    ) -> None:
        """`origin_s` is in source time; `start_s` to `end_s` is the track's declared span on the output timeline."""
        self._path = path
        self._audio = audio
        self._origin_s = origin_s
        self._start_s = start_s
        self._end_s = end_s
        self._splices = splices
        self.damage = Damage()
        self.samples = 0
        self.rate_hz = 0
        self.channels: tuple[str, ...] = ()
        self._next_in = Fraction(0)  # where the next sample of the running stretch belongs, in working samples
        self._stretch: _Stretch | None = None
        self._stretch_start = Fraction(0)
        self._damaged = False  # a packet was lost since the last frame: the hole that follows is a gap

    def blocks(self) -> Iterator[Samples]:
        """Yield the track's samples, shape (channels, samples), about a second a block.

        Raises `BadInput` when nothing can be decoded. `rate_hz` and `channels` are set before the first block.
        """
        pending: list[Samples] = []
        length = 0
        for piece in self._without_padding(self._pieces()):
            self.samples += piece.shape[1]
            pending.append(piece)
            length += piece.shape[1]
            if length >= self.rate_hz * _BLOCK_S:
                yield _joined(pending)
                pending, length = [], 0
        if pending:
            yield _joined(pending)
        if self.samples == 0:
            raise BadInput("the audio track holds no sound that can be decoded", cure="send it again from the original")
        self._note_missing_end()

    def _without_padding(self, pieces: Iterator[Samples]) -> Iterator[Samples]:
        """Cut what the last frame has past the declared end: the encoder filled it up, and libavcodec keeps it.

        More than a frame past the end is sound: then the declaration is wrong and nothing is cut.
        """
        position = 0
        held: list[Samples] = []  # what lies past the declared end so far
        for piece in pieces:
            inside = max(to_ticks(self._end_s, self.rate_hz) - position, 0)
            position += piece.shape[1]
            if inside:
                yield piece[:, :inside]
            if piece.shape[1] > inside:
                held.append(piece[:, inside:])
            if sum(past.shape[1] for past in held) >= LONGEST_FRAME:
                yield from held
                held = []
                yield from pieces
        self.damage.samples_padding = sum(past.shape[1] for past in held)

    def _pieces(self) -> Iterator[Samples]:
        with open_media(self._path) as container:
            for frame, fallback in self._frames(container):
                yield from self._place(frame, fallback)
            yield from self._end_stretch()

    def _frames(self, container: InputContainer) -> Iterator[tuple[av.AudioFrame, Fraction | None]]:
        """Decoded frames, each with its packet's time in seconds for frames that carry none."""
        index = int(self._audio["stream_index"])
        stream = container.streams[index]
        if not isinstance(stream, av.AudioStream):
            raise BadInput(f"stream {index} is not sound", cure="send it again from the original")
        for other in container.streams:
            if other.index != index:
                other.discard = Discard.all
        keeps_corrupt = stream.codec_context.name.startswith(
            "pcm_"
        )  # half a packet of PCM is half as many good samples
        for packet in Mender(self._splices).packets(self._packets(container, stream)):
            if packet.is_corrupt:
                self.damage.packets_corrupt += 1
                if not keeps_corrupt:
                    self._damaged = True
                    continue
            try:
                frames = stream.decode(packet)
            except EOFError:
                return
            except av.error.FFmpegError:
                self.damage.packets_undecodable += 1
                self._damaged = True
                continue
            fallback = packet.pts * packet.time_base if packet.pts is not None and packet.time_base else None
            for frame in frames:
                yield frame, fallback
                fallback = None

    def _packets(self, container: InputContainer, stream: av.AudioStream) -> Iterator[av.Packet[av.AudioStream]]:
        try:
            yield from adts.timed(demuxed(container, stream), container.format.name)
        except (av.error.InvalidDataError, av.error.EOFError):
            self.damage.truncated = True
            self._damaged = True

    def _place(self, frame: av.AudioFrame, fallback: Fraction | None) -> Iterator[Samples]:
        rate_hz = frame.sample_rate
        if frame.samples == 0 or rate_hz <= 0:
            return
        names = channel_names([channel.name for channel in frame.layout.channels])
        if self.rate_hz == 0:
            self._settle_format(rate_hz, names)
        samples, broken = to_doubles(frame)
        self.damage.samples_not_finite += broken
        started = self._stretch is not None or self._next_in > 0
        due = self._due(frame, fallback, started)
        off = due - self._next_in
        if not started or abs(off) > JITTER * self.rate_hz:
            yield from self._end_stretch()
            yield from self._fill(round(due))
            off = due - self._next_in
            if off < 0:
                samples = self._without_overlap(samples, -off, rate_hz)
                if samples.shape[1] == 0:
                    return
        self._damaged = False
        if self._stretch is None or not self._stretch.takes(rate_hz, names):
            yield from self._end_stretch()
            self._stretch = _Stretch(rate_hz, names, self.rate_hz, self.channels)
            self._stretch_start = self._next_in
        self._next_in += Fraction(samples.shape[1] * self.rate_hz, rate_hz)
        yield self._stretch.push(samples)

    def _settle_format(self, rate_hz: int, names: tuple[str, ...]) -> None:
        """Fix the working format by the first frame and the declaration, whichever holds more."""
        self.rate_hz = max(rate_hz, int(self._audio["rate_hz"]))
        declared = declared_channels(self._audio)
        self.channels = declared if len(declared) > len(names) else names

    def _due(self, frame: av.AudioFrame, fallback: Fraction | None, started: bool) -> Fraction:
        """Where the frame belongs, in working samples: where the last one ended if its timestamp says nothing."""
        time_s = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else fallback
        if time_s is None:
            return self._next_in if started else self._start_s * self.rate_hz
        output_s = time_s - self._origin_s
        if output_s > self._end_s + BEYOND_END:
            self.damage.timestamps_ignored += 1
            return self._next_in if started else self._start_s * self.rate_hz
        return output_s * self.rate_hz

    def _fill(self, due: int) -> Iterator[Samples]:
        """Silence up to sample `due`, noted as a gap after damage and as a hole otherwise; nothing when it is past."""
        position = round(self._next_in)
        if due <= position:
            return
        declared_start = to_ticks(self._start_s, self.rate_hz)
        start = max(position, min(declared_start, due)) if position == 0 else position
        if due - start > JITTER * self.rate_hz:
            (self.damage.gaps if self._damaged else self.damage.holes).append((start, due))
        self._next_in = Fraction(due)
        step = self.rate_hz * _SILENCE_BLOCK_S
        for at in range(position, due, step):
            yield np.zeros((len(self.channels), min(step, due - at)))

    def _without_overlap(self, samples: Samples, overlap: Fraction, rate_hz: int) -> Samples:
        """The frame without the samples for which its place is taken already (or lies before output time 0)."""
        cut = min(round(overlap * rate_hz / self.rate_hz), samples.shape[1])
        self.damage.samples_overlapping += cut
        return samples[:, cut:]

    def _end_stretch(self) -> Iterator[Samples]:
        """Flush the running stretch; what follows starts on a whole working sample."""
        if self._stretch is None:
            return
        yield self._stretch.finish()
        self._next_in = self._stretch_start + self._stretch.given
        self._stretch = None

    def _note_missing_end(self) -> None:
        end = to_ticks(self._end_s, self.rate_hz)
        if (self._damaged or self.damage.truncated or end - self.samples > self.rate_hz) and end > self.samples:
            self.damage.gaps.append((self.samples, end))


class _Stretch:
    """Frames of one rate and layout that follow each other, on their way into the working format."""

    def __init__(
        self, rate_hz: int, names: tuple[str, ...], working_rate_hz: int, working_names: tuple[str, ...]
    ) -> None:
        self._format = (rate_hz, names)
        self._matrix = mix_matrix(names, working_names)
        self._as_is = is_identity(self._matrix) and len(names) == len(working_names)
        self._resampler = Resampler(rate_hz, working_rate_hz, len(working_names))

    def takes(self, rate_hz: int, names: tuple[str, ...]) -> bool:
        return self._format == (rate_hz, names)

    @property
    def given(self) -> int:
        """Working samples given so far."""
        return self._resampler.given

    def push(self, samples: Samples) -> Samples:
        return self._resampler.push(samples if self._as_is else mix(samples, self._matrix))

    def finish(self) -> Samples:
        return self._resampler.finish()


def declared_channels(audio: Mapping[str, Any]) -> tuple[str, ...]:
    """The channels media_info declares for a track, by libavutil's names."""
    try:
        names = [channel.name for channel in av.AudioLayout(str(audio["layout"])).channels]
    except ValueError:
        names = []
    return channel_names(names or ["NONE"] * max(int(audio["channels"]), 1))


def to_doubles(frame: av.AudioFrame) -> tuple[Samples, int]:
    """A frame's samples as doubles, shape (channels, samples), full scale 1.0, and how many were not numbers.

    Integers are divided by their full scale, which is exact; libavcodec keeps 24-bit samples in the upper bits of
    32. What is not finite, or louder than any signal can be, becomes silence.
    """
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    if data.dtype == np.uint8:
        return (data.astype(np.float64) - 128.0) / 128.0, 0
    if np.issubdtype(data.dtype, np.integer):
        return data.astype(np.float64) / 2.0 ** (8 * data.dtype.itemsize - 1), 0
    doubles = data.astype(np.float64)
    broken = ~(np.abs(doubles) <= LOUDEST)
    count = int(np.count_nonzero(broken))
    if count:
        doubles[broken] = 0.0
    return doubles, count


def _joined(pieces: list[Samples]) -> Samples:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
