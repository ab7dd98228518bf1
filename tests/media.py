"""Small media files made with PyAV, each named for the trait a test needs. Every picture carries its own number.

Belongs here: generators of sources that several test modules use. Does not belong here: assertions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from processing.work import Input, SourceFile, Task

Pixels = npt.NDArray[np.uint8]

INTRA_CODECS = frozenset({"mjpeg", "prores_ks", "png", "ffv1", "rawvideo", "qtrle", "dnxhd"})
BITS = 12  # of the frame number that every generated picture carries in its top rows


def numbered_picture(index: int, width: int, height: int) -> Pixels:
    """A textured RGB picture, shape (height, width, 3), whose top sixth spells `index` in black and white bars."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = (columns * 2 + index * 5) % 256
    picture[..., 1] = (rows * 3 + index * 3) % 256
    picture[..., 2] = ((columns + rows) // 2 + index * 7) % 256
    band, bar = max(2, height // 6), width // BITS
    for bit in range(BITS):
        picture[:band, bit * bar : (bit + 1) * bar] = 235 if index >> bit & 1 else 16
    return picture


def read_number(pixels: Pixels) -> int:
    """The number a decoded picture (RGB, any size, aspect kept) carries."""
    height, width = pixels.shape[:2]
    line = pixels[max(1, height // 6) // 2, :, 1].astype(int)
    bar = width / BITS
    return sum(1 << bit for bit in range(BITS) if line[int((bit + 0.5) * bar)] > 125)


def tone_samples(count: int, rate_hz: int, channels: int = 1, *, start: int = 0, hz: float = 440.0) -> Any:
    """A sine of `hz` at a quarter of full scale, int16, shape (1, count * channels) as packed PyAV audio wants it."""
    times = (np.arange(count) + start) / rate_hz
    wave = np.round(8192 * np.sin(2 * np.pi * hz * times)).astype(np.int16)
    return np.repeat(wave, channels).reshape(1, -1)


def make_video(
    path: Path,
    *,
    frames: int = 50,
    width: int = 160,
    height: int = 120,
    rate: Fraction | int = 25,
    key_every: int = 12,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    container: str = "mp4",
    b_frames: int = 2,
    open_gop: bool = False,
    rotation_degrees: float = 0.0,
    mirrored: bool = False,
    sample_aspect: Fraction | None = None,
    audio_rate_hz: int = 0,
    audio_channels: int = 1,
    audio_codec: str = "aac",
    audio_start_s: Fraction = Fraction(0),
    audio_duration_s: Fraction | None = None,
    audio_hz: float = 440.0,
    language: str | None = None,
    codec_options: dict[str, str] | None = None,
    color: dict[str, int] | None = None,
    field_order: str | None = None,
) -> Path:
    """A video of numbered pictures, with a tone beside it when `audio_rate_hz` is set.

    `pts` (in `time_base`, default 1/rate) places every frame; without it frames follow each other at `rate`.
    `rotation_degrees` is the counter-clockwise angle of the display matrix, as libavutil counts it; `field_order`
    ("tff", "bff") marks every frame as two fields, which `codec_options` must tell the encoder to keep.
    """
    rate = Fraction(rate)
    base = time_base or 1 / rate
    times = list(pts) if pts is not None else [int(n / rate / base) for n in range(frames)]
    options = {} if codec in INTRA_CODECS else {"g": str(key_every), "bf": str(b_frames)}
    if codec == "libx264":
        x264 = f"scenecut=0:keyint={key_every}:min-keyint={key_every}:open-gop={int(open_gop)}"
        options = {"preset": "ultrafast", "bf": str(b_frames), "x264-params": x264}
    options |= codec_options or {}
    with av.open(str(path), "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = base
        stream.time_base = base
        if sample_aspect:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation_degrees or mirrored:
            stream.set_display_rotation(rotation_degrees, hflip=mirrored)
        sound: Any = None
        if audio_rate_hz:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[audio_channels]
            sound = output.add_stream(audio_codec, rate=audio_rate_hz, layout=layout)
            if language:
                sound.metadata["language"] = language
        for number, ticks in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, width, height), format="rgb24")
            frame = frame.reformat(format=pixel_format)
            if field_order:
                frame = marked_as_fields(frame, field_order)
            frame.pts, frame.time_base = ticks, base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            length_s = audio_duration_s if audio_duration_s is not None else (max(times) + 1) * base - audio_start_s
            _mux_tone(output, sound, audio_rate_hz, audio_channels, audio_start_s, length_s, audio_hz)
    return path


def with_sound(video: Path, sound: Path, to: Path) -> Path:
    """The pictures of one file with the sound of another, as AAC."""
    with av.open(str(video)) as pictures, av.open(str(sound)) as sounds, av.open(str(to), "w") as output:
        shown = pictures.streams.video[0]
        heard: Any = sounds.streams.audio[0]
        copied = output.add_stream_from_template(shown)
        encoded: Any = output.add_stream("aac", rate=heard.rate, layout=heard.layout.name)
        for packet in pictures.demux(shown):
            if packet.dts is not None:
                packet.stream = copied
                output.mux(packet)
        for frame in sounds.decode(heard):
            frame.pts = None
            output.mux(encoded.encode(frame))
        output.mux(encoded.encode(None))
    return to


def marked_as_fields(frame: av.VideoFrame, order: str) -> av.VideoFrame:
    """The frame marked as interlaced, top ("tff") or bottom ("bff") field first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    step, sink = graph.add("setfield", order), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    source.push(frame)
    marked: Any = sink.pull()
    return marked  # type: ignore[no-any-return]


def _mux_tone(
    output: Any, sound: Any, rate_hz: int, channels: int, start_s: Fraction, length_s: Fraction, hz: float = 440.0
) -> None:
    total, at, step = int(length_s * rate_hz), 0, 1024
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    while at < total:
        count = min(step, total - at)
        frame = av.AudioFrame.from_ndarray(
            tone_samples(count, rate_hz, channels, start=at, hz=hz), format="s16", layout=layout
        )
        frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        frame.pts = at + int(start_s * rate_hz)
        output.mux(sound.encode(frame))
        at += count
    output.mux(sound.encode(None))


def make_audio(
    path: Path,
    *,
    duration_s: Fraction | int = 2,
    rate_hz: int = 48_000,
    channels: int = 1,
    codec: str = "pcm_s16le",
    container: str = "wav",
    language: str | None = None,
) -> Path:
    """A tone of 440 Hz."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    with av.open(str(path), "w", format=container) as output:
        sound: Any = output.add_stream(codec, rate=rate_hz, layout=layout)
        if codec.startswith("wma"):
            sound.bit_rate = 128_000  # that encoder has no default it would accept
        if language:
            sound.metadata["language"] = language
        _mux_tone(output, sound, rate_hz, channels, Fraction(0), Fraction(duration_s))
    return path


def make_still(path: Path, *, width: int = 320, height: int = 240, image_format: str = "PNG", **save: Any) -> Path:
    """A numbered picture (number 1) as a still, saved by Pillow in `image_format`; `save` goes to `Image.save`."""
    Image.fromarray(numbered_picture(1, width, height)).save(path, image_format, **save)
    return path


def make_vfr(path: Path, *, frames: int = 60, **more: Any) -> Path:
    """Variable frame rate: intervals of 1/25 s and 3/25 s by turns, and one hole of 2 s in the middle."""
    pts, at = [], 0
    for number in range(frames):
        pts.append(at)
        at += 3600 * (1 + 2 * (number % 2)) + (180_000 if number == frames // 2 else 0)
    return make_video(path, pts=pts, time_base=Fraction(1, 90_000), **more)


def source_task(path: Path, scratch: Path, *, operation: str = "", parameters: dict[str, Any] | None = None) -> Task:
    """A task over an original, as production would hand it to a worker; `scratch/out` exists afterwards."""
    (scratch / "out").mkdir(parents=True, exist_ok=True)
    source = SourceFile(path.absolute(), "0" * 64, path.stat().st_size)
    return Task(operation=operation, parameters=parameters or {}, scratch=scratch, source=source)


def as_input(name: str, folder: Path, facts: Any) -> Input:
    """What was made in `folder`, as a later task or a contract sees it."""
    from processing.manifest import list_files

    return Input(name, folder, list_files(folder), facts, "0" * 64)
