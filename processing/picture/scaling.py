"""From a decoded frame to upright, square-pixel, 8-bit BT.709 pictures, the same bytes on every machine.

Belongs here: filter chains for colour, rotation, sample aspect, alpha and size, and the cache that lets all taps of a
pass share them. Does not belong here: which sizes are wanted (ladder_plan, samples_plan), deinterlacing
(picture/deinterlace) or the tone curve of high dynamic range (picture/tone).

Sizes are scaled from the upright base halved as often as it stays large enough, not from each other, so that a rung's
bytes do not depend on which others are made. Of 1080p the 360 rung then comes from 540: 0.6 instead of 1.7 ms a frame,
66 dB from what one step gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import numpy.typing as npt

from processing.picture.geometry import Orientation, filter_steps
from processing.picture.tone import write_table

SCALE_FLAGS = "flags=bicubic+accurate_rnd+bitexact"  # without the last two, bytes differ between CPU generations
# Where limited-range samples change their matrix or become RGB: the short cut scale takes otherwise loses up to two
# codes of every bright picture (white 235 comes out as 233). Costs 3 ms a 640x360 frame, and only where it is needed.
EXACT_FLAGS = f"{SCALE_FLAGS}+full_chroma_int"
HD_HEIGHT = 720  # untagged pictures at least this high are taken for BT.709, lower ones for BT.601, as decoders do
MATRICES = {  # names of libavutil to names the scale filter takes
    "bt709": "bt709",
    "fcc": "fcc",
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
Step = tuple[str, str]
Bytes = npt.NDArray[np.uint8]


class FramePictures:
    """One frame at a time, in the sizes that are asked for; implements `taps.Picture`.

    `video` are the facts of the moving picture, `base` the size every frame is converted to once. `scratch` holds the
    colour table of a source in high dynamic range. Filter graphs are made when first needed and again when the source
    changes its size or pixel format on the way.
    """

    def __init__(self, video: Mapping[str, Any], base: tuple[int, int], scratch: Path) -> None:
        self._video = video
        self._base = base
        self._scratch = scratch
        self._frame: av.VideoFrame | None = None
        self._made: dict[tuple[int, int], av.VideoFrame] = {}
        self._upright: tuple[tuple[int, int, str], Chain] | None = None
        self._scalers: dict[tuple[int, int], Chain] = {}

    def show(self, frame: av.VideoFrame) -> None:
        """Turn to the next frame."""
        self._frame = frame
        self._made = {}

    @property
    def decoded(self) -> av.VideoFrame:
        """The frame as decoded. Raises ValueError before the first `show`."""
        if self._frame is None:
            raise ValueError("no frame is shown yet")
        return self._frame

    def at(self, width: int, height: int) -> av.VideoFrame:
        """The frame upright at `width` x `height`, yuv420p, BT.709, limited range. Raises ValueError above the base."""
        size = (width, height)
        if size not in self._made:
            if size == self._base:
                self._made[size] = self._converted()
            else:
                if width > self._base[0] or height > self._base[1]:
                    raise ValueError(f"{width}x{height} is larger than the base {self._base[0]}x{self._base[1]}")
                larger = self.at(*scaled_from(size, self._base))
                if size not in self._scalers:
                    self._scalers[size] = Chain(larger, [("scale", f"{width}:{height}:{SCALE_FLAGS}")], "bt709", "tv")
                self._made[size] = self._scalers[size](larger)
        return self._made[size]

    def _converted(self) -> av.VideoFrame:
        frame = self.decoded
        key = (frame.width, frame.height, frame.format.name)
        if self._upright is None or self._upright[0] != key:
            matrix, full = source_matrix(self._video, frame), is_full_range(self._video, frame)
            steps = upright_steps(self._video, frame, self._base, self._scratch)
            self._upright = (key, Chain(frame, steps, matrix, "pc" if full else "tv"))
        return self._upright[1](frame)


def scaled_from(size: tuple[int, int], base: tuple[int, int]) -> tuple[int, int]:
    """What a smaller size is scaled from: `base`, halved while that is exact and stays larger.

    Halves have even sides, so that chroma is halved exactly too.
    """
    width, height = base
    while width % 4 == height % 4 == 0 and width // 2 >= size[0] and height // 2 >= size[1]:
        if (width // 2, height // 2) == size:
            break
        width, height = width // 2, height // 2
    return width, height


class Chain:
    """A linear filter graph, one frame in, one frame out, on one thread."""

    def __init__(self, like: av.VideoFrame, steps: list[Step], matrix: str, color_range: str) -> None:
        """`like` gives size and pixel format; `matrix` and `color_range` ("tv", "pc") what its samples mean."""
        rgb = like.format.is_rgb
        colour = "colorspace=gbr:range=pc" if rgb else f"colorspace={_BUFFER_MATRICES[matrix]}:range={color_range}"
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        last = self._graph.add(
            "buffer",
            f"video_size={like.width}x{like.height}:pix_fmt={like.format.name}:time_base=1/90000:pixel_aspect=1/1:"
            + colour,
        )
        for name, arguments in steps:
            step = self._graph.add(name, arguments) if arguments else self._graph.add(name)
            last.link_to(step)
            last = step
        last.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._graph.push(frame)
        made = self._graph.pull()
        if not isinstance(made, av.VideoFrame):
            raise TypeError("a picture chain yields pictures")
        return made


_BUFFER_MATRICES = {
    "bt709": "bt709",
    "fcc": "fcc",
    "bt601": "smpte170m",
    "smpte240m": "smpte240m",
    "bt2020": "bt2020nc",
}


def source_matrix(video: Mapping[str, Any], frame: av.VideoFrame) -> str:
    """The YCbCr matrix of the source as the scale filter names it; guessed from the height where untagged."""
    tagged = MATRICES.get(str((video.get("color") or {}).get("matrix")))
    if tagged:
        return tagged
    if video.get("hdr"):
        return "bt2020"
    return "bt709" if frame.height >= HD_HEIGHT else "bt601"


def is_full_range(video: Mapping[str, Any], frame: av.VideoFrame) -> bool:
    """Whether luma 0 to 255 (of 8 bits) means black to white."""
    return frame.format.name.startswith("yuvj") or (video.get("color") or {}).get("range") in {"full", "pc", "jpeg"}


def upright_steps(video: Mapping[str, Any], frame: av.VideoFrame, base: tuple[int, int], scratch: Path) -> list[Step]:
    """The filters from a decoded frame to the upright base: alpha onto black, size, colour, 8 bits, turning.

    Size is set before turning, so that the sample aspect applies to the axis it belongs to; transposing 8-bit 4:2:0
    is the cheapest place for it.
    """
    turned = int(video["rotation_degrees"]) in {90, 270}
    width, height = (base[1], base[0]) if turned else base
    steps: list[Step] = []
    matrix, full = source_matrix(video, frame), is_full_range(video, frame)
    if _has_alpha(frame):
        steps += [("scale", f"iw:ih:{SCALE_FLAGS}"), ("format", "gbrap"), ("premultiply", "inplace=1")]
        steps.append(("scale", f"{width}:{height}:out_color_matrix=bt709:out_range=tv:{SCALE_FLAGS}"))
    elif table_kind(video):
        steps += table_steps(table_kind(video), matrix, full, (width, height), scratch)
    elif frame.format.is_rgb:
        steps.append(("scale", f"{width}:{height}:out_color_matrix=bt709:out_range=tv:{SCALE_FLAGS}"))
    elif not _is_plain(frame, matrix, full, (width, height)):
        meaning = f"in_color_matrix={matrix}:in_range={'pc' if full else 'tv'}"
        flags = SCALE_FLAGS if full else EXACT_FLAGS
        steps.append(("scale", f"{width}:{height}:{meaning}:out_color_matrix=bt709:out_range=tv:{flags}"))
    steps.append(("format", "yuv420p"))
    steps += filter_steps(Orientation(int(video["rotation_degrees"]), bool(video["mirrored"])))
    primaries = output_primaries(video)
    steps.append(
        ("setparams", f"range=tv:color_primaries={primaries}:color_trc=bt709:colorspace=bt709:field_mode=prog")
    )
    steps.append(("setsar", "1"))
    return steps


def table_kind(video: Mapping[str, Any]) -> str:
    """Which colour table the source needs: "pq", "hlg", "wide" (BT.2020 without high dynamic range) or "" for none."""
    if video.get("hdr"):
        return str(video["hdr"])
    return "wide" if (video.get("color") or {}).get("primaries") == "bt2020" else ""


def table_steps(kind: str, matrix: str, full: bool, size: tuple[int, int], scratch: Path) -> list[Step]:
    """To BT.709 through a three-dimensional table, at the target size because the table is the dear part."""
    table = write_table(kind, scratch)
    in_range = "pc" if full else "tv"
    return [
        ("scale", f"{size[0]}:{size[1]}:in_color_matrix={matrix}:in_range={in_range}:out_range=pc:{SCALE_FLAGS}"),
        ("format", "gbrpf32le"),
        ("lut3d", f"file={_quoted(table)}:interp=tetrahedral"),
        ("setparams", "color_primaries=bt709:color_trc=bt709"),
        ("scale", f"out_color_matrix=bt709:out_range=tv:{SCALE_FLAGS}"),
    ]


def output_primaries(video: Mapping[str, Any]) -> str:
    """The primaries of what `FramePictures.at` gives.

    Standard-definition primaries are kept and said so (they differ from BT.709 by a shade, and converting costs a
    table look-up a pixel); everything else is or becomes BT.709.
    """
    primaries = str((video.get("color") or {}).get("primaries"))
    return primaries if primaries in {"smpte170m", "bt470bg"} and not table_kind(video) else "bt709"


def rgb(frame: av.VideoFrame) -> Bytes:
    """Height x width x 3 bytes, sRGB-like full range, of a frame that `FramePictures.at` made."""
    steps: list[Step] = [
        ("scale", f"in_color_matrix=bt709:in_range=tv:out_range=pc:{EXACT_FLAGS}"),
        ("format", "rgb24"),
    ]
    made: Bytes = Chain(frame, steps, "bt709", "tv")(frame).to_ndarray().astype(np.uint8)
    return made


def _is_plain(frame: av.VideoFrame, matrix: str, full: bool, size: tuple[int, int]) -> bool:
    return frame.format.name == "yuv420p" and matrix == "bt709" and not full and (frame.width, frame.height) == size


def _has_alpha(frame: av.VideoFrame) -> bool:
    name = frame.format.name
    return name.startswith(("yuva", "gbrap", "ya")) or name in {"argb", "rgba", "abgr", "bgra", "rgba64le", "rgba64be"}


def _quoted(path: Path) -> str:
    """A path as one filter argument: backslashes and colons escaped twice, once for each parser."""
    escaped = str(path).replace("\\", "\\\\").replace(":", "\\:").replace("'", "\\'")
    return "".join("\\" + letter if letter in "\\'[],;" else letter for letter in escaped)
