"""The interface between the one decode of a track and everything that is taken from it.

Belongs here: the base class every tap on the sound pass implements, and what it is told. Does not belong here: taps
themselves; each has a module of its own (flac, aac, loudness_blocks, peaks).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.sound.layouts import Samples


@dataclass(frozen=True, slots=True)
class SoundUnit:
    """What a tap is told before the first block.

    `track` is the position in the audio facts of media_info, `rate_hz` and `channels` (libavutil's names, in order)
    what every block has, whatever the source changes to on its way.
    """

    track: int
    rate_hz: int
    channels: tuple[str, ...]


class SoundTap(ABC):
    """Receives the samples of one track once, in order and without holes, and writes files below `folder`.

    Sample 0 is time 0 of the output timeline: a late start, a gap and damage are silence, an overlap is cut. Blocks are
    shared between taps: a tap must not change one. `close` flushes, returns the facts for the product's manifest
    and leaves no file open; `abandon` lets go of files when the decode fails.
    """

    def __init__(self, unit: SoundUnit, parameters: Mapping[str, Any], folder: Path) -> None:
        self.unit = unit
        self.parameters = parameters
        self.folder = folder
        self.encoder_calls = 0

    @abstractmethod
    def samples(self, block: Samples) -> None:
        """The next samples, shape (channels, samples), full scale 1.0, at `unit.rate_hz`."""

    @abstractmethod
    def close(self) -> Mapping[str, Any]:
        """Flush and return the product's facts (JSON, times as samples of a named rate)."""

    def abandon(self) -> None:
        """Close what is open without finishing it. Does nothing unless overridden."""
        return
