"""What tests of the picture pass share: facts of a clip from a plain packet scan, tasks of one chunk, decoded outputs.

Belongs here: helpers for test_chunks, test_ladder, test_poster, test_proxy. Does not belong here: assertions.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition

from processing.chunks.chunk_pass import make_unit
from processing.chunks.chunk_plan import unit_parameters
from processing.chunks.grid import NO_TIME, KeyFrames, grid
from processing.picture.proxy_plan import plan_sound
from processing.probe.opening import open_media
from processing.sound.plan import unit_parameters as sound_unit_parameters
from processing.sound.sound_pass import make_unit as make_sound_unit
from processing.timeline import media_timescale, rational, to_ticks
from processing.work import Input, PlannedProduct, ProductOrder, Result, Task
from tests.media import as_input, source_task


def simple_info(path: Path, *, target_s: int = 6, **changes: Any) -> dict[str, Any]:
    """media_info facts of a moving picture, as far as the pass and its taps read them; `changes` go into `video`."""
    with open_media(path) as container:
        stream = next(s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
        time_base = stream.time_base or Fraction(1, 90_000)
        timescale = media_timescale(time_base)
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        packets = [
            (p.pts, p.dts, p.duration, p.is_keyframe) for p in container.demux(stream) if p.size and not p.is_discard
        ]
        untimed = all(pts is None for pts, *_ in packets)
        if untimed:
            step = 1 / rate / time_base
            packets = [(int(n * step), None, int(step), key) for n, (*_, key) in enumerate(packets)]
        packets = [(pts if pts is not None else dts, dts, duration, key) for pts, dts, duration, key in packets]
        packets = [packet for packet in packets if packet[0] is not None]
        starts = [min(pts for pts, *_ in packets) * time_base]
        starts += [s.start_time * s.time_base for s in container.streams.audio if s.start_time is not None]
        origin = min(starts)
        times = sorted({to_ticks(pts * time_base - origin, timescale) for pts, *_ in packets})
        last = max(packets, key=lambda packet: packet[0])
        end = times[-1] + max(1, to_ticks((last[2] or 0) * time_base or 1 / rate, timescale))
        keys = sorted(packet for packet in packets if packet[3])
        if untimed:
            key_frames = KeyFrames.none()
        else:
            key_frames = KeyFrames(
                array("q", [to_ticks(pts * time_base - origin, timescale) for pts, *_ in keys]),
                array("q", [pts for pts, *_ in keys]),
                array("q", [NO_TIME if dts is None else dts for _, dts, *_ in keys]),
            )
        video = {
            "stream_index": stream.index,
            "codec": stream.codec_context.name,
            "width": stream.width,
            "height": stream.height,
            "display_width": max(2, stream.width // 2 * 2),
            "display_height": max(2, stream.height // 2 * 2),
            "rotation_degrees": 0,
            "mirrored": False,
            "sample_aspect": {"num": 1, "den": 1},
            "pixel_format": stream.codec_context.pix_fmt,
            "bit_depth": 8,
            "alpha": False,
            "time_base": rational(time_base),
            "timescale": timescale,
            "frame_rate": rational(rate),
            "frame_rate_kind": "constant",
            "frame_count": len(packets),
            "start": times[0],
            "end": end,
            "interlaced": "progressive",
            "color": {"primaries": None, "transfer": None, "matrix": None, "range": None},
            "hdr": None,
            "bit_rate": None,
            **changes,
        }
        video["chunks"] = grid(times[0], end, timescale, key_frames, times, target_s)
        return {
            "kind": "video",
            "origin": rational(origin),
            "duration": {"ticks": end, "timescale": timescale},
            "duration_s_bound": float(Fraction(end, timescale)),
            "video": video,
            "audio": _audio_facts(container, origin),
            "damage": {"packets_corrupt": 0, "decode_errors": 0, "truncated": False, "notes": []},
        }


def _audio_facts(container: InputContainer, origin: Fraction) -> list[dict[str, Any]]:
    return [
        {
            "stream_index": stream.index,
            "channels": stream.channels,
            "layout": stream.layout.name,
            "rate_hz": stream.rate,
            "start": rational((stream.start_time or 0) * stream.time_base - origin),
            "duration": rational((stream.duration or 0) * stream.time_base),
            "language": None,
        }
        for stream in container.streams.audio
    ]


def unit_task(path: Path, scratch: Path, info: Mapping[str, Any], unit: str, planned: Sequence[PlannedProduct]) -> Task:
    """The task for one chunk with those of `planned` that belong to it."""
    orders = tuple(ProductOrder(p.name, p.tap, p.parameters) for p in planned if p.unit == unit)
    task = source_task(
        path, scratch, operation="processing.chunks.chunk_pass:make_unit", parameters=unit_parameters(info, unit)
    )
    return replace(task, products=orders)


def make_products(
    path: Path, scratch: Path, info: Mapping[str, Any], planned: Sequence[PlannedProduct]
) -> dict[str, Input]:
    """Every planned product of the picture pass, made chunk by chunk, as inputs of a derivative."""
    made: dict[str, Input] = {}
    for unit in sorted({product.unit for product in planned}):
        task = unit_task(path, scratch / unit, info, unit, planned)
        result: Result = make_unit(task)
        for name, facts in result.product_facts.items():
            made[name] = as_input(name, task.product_folder(name), facts)
    return made


def make_sound(path: Path, scratch: Path, info: Mapping[str, Any]) -> dict[str, Input]:
    """The first track's AAC as an input; empty for a silent source."""
    made: dict[str, Input] = {}
    for product in plan_sound(info, {}):
        task = source_task(path, scratch / "sound", parameters=sound_unit_parameters(info, product.unit))
        order = ProductOrder(product.name, product.tap, product.parameters)
        task = replace(task, products=(order,))
        result = make_sound_unit(task)
        made[product.name] = as_input(
            product.name, task.product_folder(product.name), result.product_facts[product.name]
        )
    return made
