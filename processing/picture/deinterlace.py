"""Progressive frames from interlaced ones, equal over chunk borders to what the whole file would give.

Belongs here: bwdif with one frame of look-ahead, and keeping times and places of frames through it. Does not belong
here: finding out whether a source is interlaced (probe), how many pictures a frame becomes (picture/fields_plan) or
which neighbours a chunk needs (chunks/chunk_pass).
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
Made = tuple[av.VideoFrame, Timed]  # a picture and the frame it was made of


def deinterlaced(frames: Iterator[Timed], video: Mapping[str, Any], pictures_a_frame: int = 1) -> Iterator[Timed]:
    """The same frames without combing, in the same places: one picture out of two fields, or one out of each.

    With one picture a frame, times stay as they are. With two, times and durations count ticks of twice the timescale:
    the first picture is shown when the frame was, the second half-way to the next one.

    `frames` should carry one lead-in and one lead-out frame, which is what the filter looks at; where the file ends it
    repeats the edge. Frames marked progressive pass through untouched in a mixed source, twice where every frame
    becomes two pictures: the rate stays the one that is declared.
    """
    if pictures_a_frame == 2:
        yield from _halves(_filtered(frames, str(video["interlaced"]), "send_field"))
        return
    for picture, timed in _filtered(frames, str(video["interlaced"]), "send_frame"):
        yield Timed(picture, timed.ticks, timed.duration, timed.place)


def _halves(made: Iterator[Made]) -> Iterator[Timed]:
    """Two pictures a frame, each half as long as the frame; of one picture alone the same one again."""
    alone: Made | None = None
    for picture, timed in made:
        if alone is not None and alone[1] is timed:
            yield _second(picture, timed)
            alone = None
            continue
        if alone is not None:
            yield _second(*alone)
        yield Timed(picture, 2 * timed.ticks, timed.duration, timed.place)
        alone = picture, timed
    if alone is not None:
        yield _second(*alone)


def _second(picture: av.VideoFrame, timed: Timed) -> Timed:
    return Timed(picture, 2 * timed.ticks + timed.duration, timed.duration, timed.place)


def _filtered(frames: Iterator[Timed], kind: str, mode: str) -> Iterator[Made]:
    """What bwdif makes of the frames, each picture with the frame it was made of."""
    waiting: deque[tuple[int, Timed]] = deque()
    graph: av.filter.Graph | None = None
    shape: tuple[int, int, str] | None = None
    for number, timed in enumerate(frames):
        frame = timed.frame
        key = (frame.width, frame.height, frame.format.name)
        if graph is None or key != shape:
            if graph is not None:
                yield from _drained(graph, waiting)
            graph, shape = _graph(frame, kind, mode), key
        frame.pts = number  # any rising number: the times are kept beside
        waiting.append((number, timed))
        graph.push(frame)
        yield from _pulled(graph, waiting)
    if graph is not None:
        yield from _drained(graph, waiting)


def _graph(frame: av.VideoFrame, kind: str, mode: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25:pixel_aspect=1/1"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
    )
    which = "interlaced" if kind == "mixed" else "all"
    filtered = graph.add("bwdif", f"mode={mode}:parity={PARITY[kind]}:deint={which}")
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph


def _drained(graph: av.filter.Graph, waiting: deque[tuple[int, Timed]]) -> Iterator[Made]:
    graph.push(None)
    yield from _pulled(graph, waiting)
    waiting.clear()


def _pulled(graph: av.filter.Graph, waiting: deque[tuple[int, Timed]]) -> Iterator[Made]:
    """What is done by now. The filter counts in half frames, so that a picture's time says which frame it is of."""
    while True:
        try:
            made = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if isinstance(made, av.VideoFrame) and made.pts is not None:
            while len(waiting) > 1 and waiting[0][0] < made.pts // 2:
                waiting.popleft()
            yield made, waiting[0][1]
