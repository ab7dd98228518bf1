"""Where a source is cut into chunks. Pure: key frames and frame times in, boundaries and seek points out.

Belongs here: the choice of boundaries and, for each chunk, the key frame from which it can be decoded. Does not
belong here: finding key frames (probe/packets) or decoding a chunk (chunks/decode). The grid depends on the source
and these parameters only, never on the machine, for every product's recipe rests on it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TARGET_S = 6  # the segment length of HLS authoring; a unit of work of 5 to 30 CPU-seconds at 1080p
NEAREST_S = 3  # a key frame sooner than this would double the number of processes and joins
FARTHEST_S = 9  # a key frame later than this would make the unit of work half as long again
SHORTEST_TAIL_S = 1  # a last chunk below this costs a process for a handful of frames

NO_TIME = -(2**63)  # in a column of times: the container gave none (AV_NOPTS_VALUE)


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Key frames in presentation order, as columns, for an hour of all-intra video has 200,000 of them.

    `ticks` are on the output timeline; `pts` and `dts` in the source stream's time base, `NO_TIME` where absent.
    `positions`, the byte of the file from which to read for each, are there only where times do not say where to seek
    (probe/splices).
    """

    ticks: Sequence[int]
    pts: Sequence[int]
    dts: Sequence[int]
    positions: Sequence[int] = ()

    @classmethod
    def none(cls) -> KeyFrames:
        """No key frame known: everything is decoded from the start of the file."""
        return cls(array("q"), array("q"), array("q"))


def grid(
    start: int,
    end: int,
    timescale: int,
    key_frames: KeyFrames,
    frame_times: Sequence[int],
    target_s: int = TARGET_S,
) -> list[dict[str, Any]]:
    """Chunks that cover [start, end) exactly, in order, each starting on a frame.

    All times are ticks of `timescale` on the output timeline; `frame_times` are the sorted presentation times of
    all frames. A boundary is the key frame nearest to `target_s` within half to one and a half times that; where
    there is none, the first frame at or after the target. Only a source whose frames are further apart than that
    gets a longer chunk. Raises ValueError for an empty span.
    """
    if end <= start:
        raise ValueError(f"there is nothing to cut between {start} and {end}")
    boundaries = [start]
    while (cut := _next_boundary(boundaries[-1], end, timescale, key_frames.ticks, frame_times, target_s)) is not None:
        boundaries.append(cut)
    return [
        {
            "start": begin,
            "end": finish,
            "seek": _seek_point(begin, key_frames),
            "on_key_frame": _contains(key_frames.ticks, begin),
        }
        for begin, finish in zip(boundaries, [*boundaries[1:], end], strict=True)
    ]


def _next_boundary(
    cursor: int, end: int, timescale: int, key_ticks: Sequence[int], frame_times: Sequence[int], target_s: int
) -> int | None:
    """The boundary after `cursor`, or None when the rest is one chunk."""
    target = target_s * timescale
    nearest, farthest = target * NEAREST_S // TARGET_S, target * FARTHEST_S // TARGET_S
    last = end - min(target, SHORTEST_TAIL_S * timescale)
    if end - cursor <= farthest:
        return None
    low = bisect_left(key_ticks, cursor + nearest)
    high = bisect_right(key_ticks, min(cursor + farthest, last))
    candidates = range(low, high)
    if candidates:
        wanted = bisect_left(key_ticks, cursor + target, low, high)
        around = [index for index in (wanted - 1, wanted) if low <= index < high]
        return key_ticks[min(around, key=lambda index: (abs(key_ticks[index] - cursor - target), index))]
    at = bisect_left(frame_times, cursor + target)
    if at < len(frame_times) and frame_times[at] <= last:
        return frame_times[at]
    return None


def _seek_point(begin: int, key_frames: KeyFrames) -> dict[str, int | None]:
    """The last key frame at or before `begin`; none of both means the start of the file.

    That one suffices with open GOPs too: pictures that lead it are earlier than `begin`, and pictures that lead the
    next key frame refer back to it.
    """
    index = bisect_right(key_frames.ticks, begin) - 1
    if index < 0:
        return {"pts": None, "dts": None}
    times = {"pts": _known(key_frames.pts[index]), "dts": _known(key_frames.dts[index])}
    return {**times, "position": key_frames.positions[index]} if key_frames.positions else times


def _known(time: int) -> int | None:
    return None if time == NO_TIME else time


def _contains(ordered: Sequence[int], value: int) -> bool:
    index = bisect_left(ordered, value)
    return index < len(ordered) and ordered[index] == value
