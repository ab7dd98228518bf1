"""One rung of one chunk: H.264 in a plain MP4, key frames at the same instants in every rung.

Belongs here: the encoder, its flags, time stamps of packets. Does not belong here: which rungs there are and at what
rate (ladder_plan), scaling (scaling) or putting chunks together (fmp4, hls, proxy).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

from processing.chunks.taps import Picture, PictureTap, Unit
from processing.picture.planes import luma, thumbprint
from processing.picture.scaling import output_primaries
from processing.timeline import from_rational

CHUNK_FILE = "chunk.mp4"
REORDER_DEPTH = 2  # frames: 3 B-frames with a pyramid, what every preset up to medium uses
B_FRAMES = 3
MAX_REFERENCES = 3  # medium's value; the slower presets ask for up to 16, which the declared levels do not allow
PRESETS_WITH_MANY_REFERENCES = frozenset({"slow", "slower", "veryslow", "placebo"})
KEY_FRAMES_NEVER = 1 << 20  # x264's own key-frame interval, out of the way of the ones set here
PRIMARIES = {"bt709": 1, "bt470bg": 5, "smpte170m": 6}  # Rec. ITU-T H.273 table 2
BT709 = 1  # H.273: transfer characteristics and matrix coefficients
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG


class RungTap(PictureTap):
    """Encodes every frame at the rung's size into `chunk.mp4`. Parameters: ladder_plan.rung_parameters.

    Times in the file are ticks of the output timeline, so that chunks of one rung follow each other as they are.
    """

    looks_at: tuple[int, int]

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        self.looks_at = int(parameters["width"]), int(parameters["height"])
        scale = str(unit.span.timescale)  # of edit lists too: in the default 1/1000 a late start would be rounded
        options = {"video_track_timescale": scale, "movie_timescale": scale, "fflags": "+bitexact"}
        self._container = av.open(str(folder / CHUNK_FILE), "w", format="mp4", options=options)
        self._stream = add_encoder(self._container, parameters, unit)
        self.encoder_calls = 1
        self._pts: list[int] = []
        self._durations: dict[int, int] = {}
        self._key_frames: list[int] = []
        self._thumbprints: list[list[int]] = []
        self._next_key = unit.span.start
        self._packets = 0
        self._longest = int(parameters.get("longest_frame_ticks", 0))
        self._encoded_at = 0  # of the newest frame, on the clock that the encoder is told
        self._shown_at: dict[int, int] = {}

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        image = picture.at(*self.looks_at)
        image.pts = self._told(ticks)
        image.time_base = Fraction(1, self.unit.span.timescale)
        image.pict_type = PictureType.NONE  # the source's would be obeyed
        if ticks >= self._next_key or not self._pts:
            image.pict_type = PictureType.I
            self._key_frames.append(ticks)
            self._thumbprints.append(thumbprint(luma(image)))
            interval = int(self.parameters["key_interval_ticks"])
            self._next_key += interval * ((ticks - self._next_key) // interval + 1)
        self._pts.append(ticks)
        self._durations[ticks] = duration
        for packet in self._stream.encode(image):
            self._mux(packet)

    def close(self) -> Mapping[str, Any]:
        end = self._pts[-1] + self._durations[self._pts[-1]]
        with self._container:
            for packet in self._stream.encode(None):
                self._mux(packet)
            codecs = codec_string(self._stream.codec_context.extradata or b"")
        return {
            "rung": self.parameters["rung"],
            "width": self.parameters["width"],
            "height": self.parameters["height"],
            "frame_rate": self.parameters["frame_rate"],
            "cap_bps": self.parameters["cap_bps"],
            "codecs": codecs,
            "span": self.unit.span.to_json(),
            "first": self._pts[0],
            "end": end,
            "frames": self._packets,
            "bytes": (self.folder / CHUNK_FILE).stat().st_size,
            "key_frames": self._key_frames,
            "thumbprints": self._thumbprints,
            "file": CHUNK_FILE,
        }

    def _told(self, ticks: int) -> int:
        """What the encoder is told of a frame's time: pauses no longer than `longest_frame_ticks`, if that is given."""
        passed = ticks - self._pts[-1] if self._pts else ticks
        self._encoded_at += min(passed, self._longest) if self._longest and self._pts else passed
        self._shown_at[self._encoded_at] = ticks
        return self._encoded_at

    def _mux(self, packet: av.Packet[VideoStream]) -> None:
        """Decoding times are written anew: x264's overlap at variable frame rate, and its durations are 0."""
        pts = packet.pts = self._shown_at.pop(packet.pts or 0)
        packet.dts = decoding_time(self._pts, self._packets, self._durations[self._pts[0]])
        packet.duration = self._durations[pts]
        packet.stream = self._stream
        self._packets += 1
        self._container.mux(packet)


def decoding_time(presentation: Sequence[int], index: int, step: int) -> int:
    """When packet `index` (in decoding order) is decoded: when the frame two earlier is shown.

    `presentation` holds the times shown so far, rising; before its first, times go back by `step`. Exact at any frame
    rate and over holes, because it uses frame times only.
    """
    earlier = REORDER_DEPTH - index
    return presentation[0] - earlier * step if earlier > 0 else presentation[index - REORDER_DEPTH]


def add_encoder(container: OutputContainer, parameters: Mapping[str, Any], unit: Unit) -> VideoStream:
    """A libx264 stream that gives the same bytes for the same pictures on every x86 machine.

    One thread, because rate control over several is not reproducible; `cpu-independent`, because otherwise the bytes
    differ between CPU generations and, at widths that are no multiple of 128, between two encodes in one process.
    """
    rate = from_rational(parameters["frame_rate"])
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height = int(parameters["width"]), int(parameters["height"])
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1
    stream.time_base = Fraction(1, unit.span.timescale)
    context = stream.codec_context
    context.time_base = Fraction(1, unit.span.timescale)
    context.framerate = rate
    context.flags |= Flags.bitexact
    context.gop_size = KEY_FRAMES_NEVER
    context.sample_aspect_ratio = Fraction(1)
    context.color_primaries = PRIMARIES[output_primaries(unit.video)]
    context.color_trc = context.colorspace = BT709
    context.color_range = LIMITED_RANGE
    preset = str(parameters["preset"])
    x264 = {
        "cpu-independent": 1,
        "threads": 1,
        "lookahead-threads": 1,
        "scenecut": 0,
        "open-gop": 0,
        "keyint": KEY_FRAMES_NEVER,
        "bframes": B_FRAMES,
        "b-pyramid": "normal",
        "rc-lookahead": int(parameters["lookahead_frames"]),
    }
    if preset in PRESETS_WITH_MANY_REFERENCES:
        x264["ref"] = MAX_REFERENCES
    context.options = {
        "preset": preset,
        "profile": str(parameters["profile"]),
        "level": f"{int(parameters['level_idc']) / 10:.1f}",
        "crf": str(parameters["crf"]),
        "maxrate": str(parameters["cap_bps"]),
        "bufsize": str(parameters["buffer_bits"]),
        "forced-idr": "1",
        "sc_threshold": "0",
        "x264-params": ":".join(f"{name}={value}" for name, value in x264.items()),
    }
    return stream


def codec_string(avcc: bytes) -> str:
    """RFC 6381 codec string from an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) or an SPS in Annex B.

    Raises ValueError when there is neither.
    """
    if avcc[:1] == b"\x01" and len(avcc) >= 4:
        return f"avc1.{avcc[1:4].hex()}"
    start = avcc.find(b"\x00\x00\x01\x67")
    if start < 0 or len(avcc) < start + 7:
        raise ValueError("the encoder gave no sequence parameter set")
    return f"avc1.{avcc[start + 4 : start + 7].hex()}"
