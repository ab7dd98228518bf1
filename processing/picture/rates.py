"""Bit rates as a playlist has to state them: the highest and the average, from bytes and exact times.

Belongs here: arithmetic over (time, bytes). Does not belong here: reading segments or writing playlists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

STEP_BPS = 1_000  # stated peaks are rounded up to it, so that they also hold over times rounded to six decimals
WINDOW_S = 2  # a player's buffer is filled in shorter steps than a segment: the stated peak must hold over this too


def average_bps(total_bytes: int, duration_s: Fraction) -> int:
    """Bits a second over all of a track, rounded up."""
    return math.ceil(total_bytes * 8 / duration_s)


def stated_bps(peak_bps: int) -> int:
    """What a manifest says of a peak: the next multiple of `STEP_BPS` above it."""
    return (peak_bps // STEP_BPS + 1) * STEP_BPS


def peak_segment_bps(segments: Sequence[tuple[Fraction, int]], target_s: int) -> int:
    """The peak segment bit rate of RFC 8216bis section 4.4.6.2, bits a second rounded up.

    `segments` are (duration in seconds, bytes) in order. It is the largest rate of any run of neighbours that lasts
    between half and one and a half target durations, so that a last segment of one frame does not count alone; where
    no run is that long, the rate of them all.
    """
    best = Fraction(0)
    for first in range(len(segments)):
        length, size = Fraction(0), 0
        for duration_s, size_bytes in segments[first:]:
            length += duration_s
            size += size_bytes
            if length * 2 > 3 * target_s:
                break
            if length * 2 >= target_s:
                best = max(best, size * 8 / length)
    if not best:
        best = sum(size for _, size in segments) * 8 / sum((length for length, _ in segments), Fraction(0))
    return math.ceil(best)


def peak_window_bps(pieces: Sequence[tuple[int, int]], timescale: int, window_s: int = WINDOW_S) -> int:
    """The largest rate over any `window_s` seconds, bits a second rounded up.

    `pieces` are (decode time in ticks, bytes) in order of time; a piece counts where it begins.
    """
    window = window_s * timescale
    best = held = 0
    last = 0
    for first, (start, size) in enumerate(pieces):
        while last < len(pieces) and pieces[last][0] < start + window:
            held += pieces[last][1]
            last += 1
        best = max(best, held)
        held -= size
        last = max(last, first + 1)
    return math.ceil(Fraction(best * 8, window_s))
