"""The interface between the one decode of a source and everything that is taken from it.

Belongs here: the base class every tap on the picture pass implements and what it is handed. Does not belong here:
taps themselves, each of which lives beside the derivative that wants it (picture/ladder, picture/samples), nor the
conversions behind `Picture.at` (picture/scaling).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import av

from processing.timeline import Span


@dataclass(frozen=True, slots=True)
class Unit:
    """What a tap is told before the first frame.

    `span` is the chunk on the output timeline, `video` the facts of the moving picture as media_info gives them.
    """

    span: Span
    index: int
    video: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A finished product of the same unit: its folder and facts."""

    folder: Path
    facts: Mapping[str, Any]


class Picture(Protocol):
    """One frame of the source, as decoded and in any size somebody asks for."""

    @property
    def decoded(self) -> av.VideoFrame:
        """The frame as decoded (deinterlaced where the source is interlaced): coded size, not rotated. Not to be
        changed.
        """

    def at(self, width: int, height: int) -> av.VideoFrame:
        """The frame upright, in square pixels, yuv420p, BT.709, limited range, `width` x `height` pixels.

        Made once per size, however many taps ask. Pixels are shared and must not be changed; `pts`, `time_base` and
        `pict_type` of the returned frame may be set by whoever encodes it and mean nothing to anyone else.
        """


class PictureTap(ABC):
    """Receives each frame of a chunk once, in presentation order, and writes files below `folder`.

    `close` flushes, returns the facts for the product's manifest and leaves no file open. A tap whose product reads
    others of the unit finds them in `made`, by name, when it is closed. `scratch` is a folder of its own for what is
    needed on the way only. A tap that looks at nothing but one size says so in `looks_at`: it may be fed in a thread of
    its own.
    """

    looks_at: tuple[int, int] | None = None
    made: Mapping[str, Made] = MappingProxyType({})

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        self.unit = unit
        self.parameters = parameters
        self.folder = folder
        self.scratch = folder
        self.encoder_calls = 0

    @abstractmethod
    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        """A frame inside the span: presentation time and duration in ticks of `unit.span.timescale`."""

    @abstractmethod
    def close(self) -> Mapping[str, Any]:
        """Flush and return the product's facts (JSON, times as ticks)."""
