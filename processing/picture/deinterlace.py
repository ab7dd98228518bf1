"""Progressive frames from interlaced ones, equal over chunk borders to what the whole file would give.

Belongs here: bwdif with one frame of look-ahead, and keeping times and places of frames through it. Does not belong
here: finding out whether a source is interlaced (probe) or which neighbours a chunk needs (chunks/chunk_pass).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import av
import av.error
import av.filter

from processing.chunks.decode import Timed

PARITY = {"tff": "tff", "bff": "bff", "mixed": "auto"}


def is_interlaced(video: Mapping[str, Any]) -> bool:
    """Whether frames of this source hold two fields."""
    return str(video.get("interlaced")) in PARITY


def deinterlaced(frames: Iterator[Timed], video: Mapping[str, Any]) -> Iterator[Timed]:
    """The same frames without combing: one out for one in (one frame from two fields), same times and places.

    `frames` should carry one lead-in and one lead-out frame, which is what the filter looks at; where the file ends it
    repeats the edge. Frames marked progressive pass through untouched in a mixed source.
    """
    kind = str(video["interlaced"])
    waiting: deque[Timed] = deque()
    graph: av.filter.Graph | None = None
    shape: tuple[int, int, str] | None = None
    for number, timed in enumerate(frames):
        frame = timed.frame
        key = (frame.width, frame.height, frame.format.name)
        if graph is None or key != shape:
            if graph is not None:
                yield from _drained(graph, waiting)
            graph, shape = _graph(frame, kind), key
        frame.pts = number  # any rising number: the times are kept beside
        waiting.append(timed)
        graph.push(frame)
        yield from _pulled(graph, waiting)
    if graph is not None:
        yield from _drained(graph, waiting)


def _graph(frame: av.VideoFrame, kind: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25:pixel_aspect=1/1"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
    )
    which = "interlaced" if kind == "mixed" else "all"
    filtered = graph.add("bwdif", f"mode=send_frame:parity={PARITY[kind]}:deint={which}")
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph


def _drained(graph: av.filter.Graph, waiting: deque[Timed]) -> Iterator[Timed]:
    graph.push(None)
    yield from _pulled(graph, waiting)


def _pulled(graph: av.filter.Graph, waiting: deque[Timed]) -> Iterator[Timed]:
    while waiting:
        try:
            made = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if isinstance(made, av.VideoFrame):
            timed = waiting.popleft()
            yield Timed(made, timed.ticks, timed.duration, timed.place)
