"""The tap for waveforms: minimum and maximum of every 256 samples, all channels averaged.

Belongs here: the measuring and the file, which is audiowaveform's own binary format, version 2. Does not belong here:
the JSON and the pictures made of it (waveform).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from processing.sound.layouts import Samples
from processing.sound.taps import SoundTap, SoundUnit

FILE = "peaks.dat"
# version, flags (0: 16 bit), sample rate, samples per pixel, length, channels; little endian, then min and max by turns
HEADER = struct.Struct("<iIiiIi")
VERSION = 2

Points = np.ndarray[Any, np.dtype[np.int16]]  # shape (length, 2): minimum and maximum


class PeaksTap(SoundTap):
    """Writes `peaks.dat`. Facts: rate, samples, points, the loudest of them.

    Channels are summed as 16-bit integers and divided by their number towards zero, as audiowaveform does, so that a
    16-bit source gives the same numbers.
    """

    def __init__(self, unit: SoundUnit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        self._step = int(parameters["samples_per_pixel"])
        self._samples = 0
        self._points = 0
        self._peak = 0
        self._rest = np.zeros(0, dtype=np.int16)
        self._file = (folder / FILE).open("wb")
        self._file.write(bytes(HEADER.size))

    def samples(self, block: Samples) -> None:
        self._samples += block.shape[1]
        merged = np.concatenate([self._rest, merge_channels(block)])
        whole = merged.size - merged.size % self._step
        self._rest = merged[whole:]
        if whole:
            self._write(merged[:whole].reshape(-1, self._step))

    def close(self) -> Mapping[str, Any]:
        if self._rest.size:
            self._write(self._rest.reshape(1, -1))
        self._file.seek(0)
        self._file.write(HEADER.pack(VERSION, 0, self.unit.rate_hz, self._step, self._points, 1))
        self._file.close()
        return {
            "file": FILE,
            "rate_hz": self.unit.rate_hz,
            "samples_per_pixel": self._step,
            "samples": self._samples,
            "points": self._points,
            "peak": self._peak,
        }

    def abandon(self) -> None:
        self._file.close()

    def _write(self, rows: Points) -> None:
        points = np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)
        self._points += len(points)
        self._peak = max(self._peak, int(points.max()), -int(points.min()))
        self._file.write(points.astype("<i2").tobytes())


def merge_channels(block: Samples) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The channels' mean as 16-bit integers, rounded towards zero and limited to the range."""
    total = np.zeros(block.shape[1])
    for channel in block:
        total += channel
    return np.clip(np.trunc(total * 32768.0 / len(block)), -32768, 32767).astype(np.int16)


def read_peaks(path: Path) -> tuple[int, int, Points]:
    """Rate in Hz, samples per pixel and points, shape (length, 2), of a `peaks.dat`. Raises ValueError."""
    data = path.read_bytes()
    if len(data) < HEADER.size:
        raise ValueError("the file is shorter than its header")
    version, flags, rate_hz, samples_per_pixel, length, channels = HEADER.unpack_from(data)
    if (version, flags, channels) != (VERSION, 0, 1) or rate_hz <= 0 or samples_per_pixel < 2:
        raise ValueError("the header is not that of 16-bit waveform data with one channel")
    if len(data) != HEADER.size + 4 * length:
        raise ValueError(f"the header announces {length} points, the file holds {(len(data) - HEADER.size) / 4:g}")
    return rate_hz, samples_per_pixel, np.frombuffer(data, "<i2", offset=HEADER.size).reshape(-1, 2)
