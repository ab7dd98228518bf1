"""The one pass over moving pictures: a chunk is decoded once and every tap that was ordered is fed.

Belongs here: the operation of one chunk. Does not belong here: decoding (decode), scaling (picture/scaling), taps, what
a chunk is told (chunk_plan), or the index of a pass (resources/passes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from processing.chunks.beside import Beside
from processing.chunks.decode import ChunkReader, Place, Timed
from processing.chunks.taps import Made, PictureTap, Unit
from processing.picture.deinterlace import deinterlaced
from processing.picture.fields_plan import is_interlaced, shown_span, told_pictures_a_frame
from processing.picture.scaling import FramePictures
from processing.probe.opening import open_media
from processing.probe.splices import splices_in
from processing.timeline import from_rational
from processing.work import ProductOrder, Result, Task, resolve

DEINTERLACE_NEIGHBOURS = 1  # frames either side that make a chunk's edge equal to the whole file's


def make_unit(task: Task) -> Result:
    """Make every ordered product of one chunk. Parameters: chunk_plan.unit_parameters.

    Raises BadInput when the chunk has no picture at all. `gaps` are spans without a picture of their own.
    """
    chunk, video = task.parameters["chunk"], task.parameters["video"]
    span = shown_span(task.parameters)
    unit = Unit(span, int(task.parameters["index"]), video)
    taps = {order.name: _tap(task, order, unit) for order in task.products}
    interlaced = is_interlaced(video)
    neighbours = DEINTERLACE_NEIGHBOURS if interlaced else 0
    base_width, base_height = task.parameters["base"]
    pictures = FramePictures(video, (int(base_width), int(base_height)), task.scratch)
    with open_media(task.original.path) as container:
        reader = ChunkReader(
            container,
            video,
            from_rational(task.parameters["origin"]),
            chunk,
            lead_in=neighbours,
            lead_out=neighbours,
            splices=splices_in(task.parameters),
        )
        frames: Iterator[Timed] = reader.frames()
        if interlaced:
            frames = deinterlaced(frames, video, told_pictures_a_frame(task.parameters))
        shown, spread = _feed(frames, taps.values(), pictures, task)
    damage = {
        "decode_errors": reader.damage.decode_errors,
        "corrupt_frames": reader.damage.corrupt_frames,
        "gaps": reader.damage.gaps,
    }
    product_facts = _closed(task, taps, damage, threads=2 if spread else 1)
    lost = sum(gap["end"] - gap["start"] for gap in reader.damage.gaps)
    return Result(
        facts={"frames": shown, "span": span.to_json(), "damage": damage, "cores": 2 if spread else 1},
        product_facts=product_facts,
        encoder_calls=sum(tap.encoder_calls for tap in taps.values()),
        completeness={"num": reader.span.duration - lost, "den": reader.span.duration},
        gaps=tuple(reader.damage.gaps),
    )


def _closed(
    task: Task, taps: Mapping[str, PictureTap], damage: Mapping[str, Any], threads: int
) -> dict[str, dict[str, Any]]:
    """Close every tap, those that read what others made last; the facts of each product."""
    facts: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for readers in (False, True):
            orders = [order for order in task.products if bool(order.reads) == readers]
            for order in orders:
                taps[order.name].made = {
                    name: Made(task.product_folder(name), facts[name])
                    if name in facts
                    else Made(task.inputs[name].folder, task.inputs[name].facts)
                    for name in order.reads
                }
            closed = pool.map(lambda order: taps[order.name].close(), orders)
            facts |= {order.name: {**found, "damage": damage} for order, found in zip(orders, closed, strict=True)}
    return facts


def _tap(task: Task, order: ProductOrder, unit: Unit) -> PictureTap:
    folder = task.product_folder(order.name)
    folder.mkdir(parents=True, exist_ok=True)
    tap: PictureTap = resolve(order.tap)(unit, order.parameters, folder)
    tap.scratch = task.scratch
    return tap


def _feed(frames: Iterable[Timed], taps: Iterable[PictureTap], pictures: FramePictures, task: Task) -> tuple[int, bool]:
    """Show every frame to every tap; how many lay inside the span, and whether a second core was used.

    Where one is lent on the way, the tap that looks at the largest pictures, and at nothing else, goes on in a thread.
    """
    here = list(taps)
    largest = max((tap for tap in here if tap.looks_at), key=lambda tap: _area(tap.looks_at), default=None)
    beside: Beside | None = None
    inside = 0
    for timed in frames:
        if timed.place is not Place.INSIDE:
            continue
        if largest is not None and beside is None and task.may_spread:
            here.remove(largest)
            beside = Beside(largest)
        inside += 1
        pictures.show(timed.frame)
        if beside is not None:
            beside.frame(pictures, timed.ticks, timed.duration)
        for tap in here:
            tap.frame(pictures, timed.ticks, timed.duration)
    if beside is not None:
        beside.end()
    return inside, beside is not None


def _area(size: tuple[int, int] | None) -> int:
    return size[0] * size[1] if size else 0
