"""Pieces of a track as files that models take: FLAC at 16 kHz, one channel, cut out of the track's FLAC.

Belongs here: reading a track once, writing pieces while it is read. Does not belong here: where pieces lie (pieces).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from processing.probe.opening import open_media
from processing.sound.flac import RATE_HZ
from processing.words.pieces import Piece

FRAME = 4096  # samples; fixed, so that the bytes do not follow how the track was framed

Pcm = npt.NDArray[np.int16]


def write_pieces(track: Path, pieces: Sequence[tuple[Piece, Path]]) -> None:
    """Write each piece of a FLAC of one channel to its path. Pieces are in order; at most neighbours overlap.

    Holds a frame of the track and of each open piece in memory, however long the track.
    """
    waiting = list(reversed(pieces))
    opened: list[_PieceFile] = []
    at = 0
    with open_media(track) as container:
        for frame in container.decode(container.streams.audio[0]):
            if not waiting and not opened:
                break
            samples = frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            while waiting and waiting[-1][0].start < at + samples.size:
                opened.append(_PieceFile(*waiting.pop()))
            for each in opened:
                each.write(samples, at)
            at += samples.size
            for each in [each for each in opened if each.piece.end <= at]:
                each.close()
                opened.remove(each)
    for each in opened:  # the track ended before the piece did
        each.close()


def pcm_of(path: Path) -> Pcm:
    """All samples of a piece."""
    with open_media(path) as container:
        frames = container.decode(container.streams.audio[0])
        blocks = [frame.to_ndarray().reshape(-1).astype(np.int16, copy=False) for frame in frames]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


class _PieceFile:
    """One piece being written."""

    def __init__(self, piece: Piece, path: Path) -> None:
        self.piece = piece
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"})
        stream: Any = self._container.add_stream("flac", rate=RATE_HZ, layout="mono", options={"flags": "+bitexact"})
        stream.codec_context.format = av.AudioFormat("s16")
        stream.codec_context.thread_count = 1
        self._stream = stream
        self._waiting = np.zeros(0, np.int16)
        self._count = 0

    def write(self, samples: Pcm, at: int) -> None:
        """What of `samples`, which begin at sample `at` of the track, is this piece's."""
        own = samples[max(0, self.piece.start - at) : max(0, self.piece.end - at)]
        self._waiting = np.concatenate([self._waiting, own])
        while self._waiting.size >= FRAME:
            self._encode(self._waiting[:FRAME])
            self._waiting = self._waiting[FRAME:]

    def close(self) -> None:
        if self._waiting.size:
            self._encode(self._waiting)
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def _encode(self, samples: Pcm) -> None:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._count, Fraction(1, RATE_HZ)
        self._count += samples.size
        self._container.mux(self._stream.encode(frame))
