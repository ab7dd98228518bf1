"""Makes ladders in a process whose libraries are held to an older CPU; prints their digests. Run by test_cpu_levels.

Arguments: the level as x264 names it, a source, a folder, the widths. Every width is made twice, for in a warm process
memory is dirty.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av

from processing.chunks.chunk_pass import make_unit
from processing.picture import ladder, ladder_plan, samples_plan
from tests.media_picture import clip_info, unit_task

# libavutil/cpu.h: what each of x264's levels has, in libavutil's flags; each holds those before it.
MMX, MMXEXT, SSE, SSE2, SSE3, SSSE3, SSE4, SSE42 = 0x1, 0x2, 0x8, 0x10, 0x40, 0x80, 0x100, 0x200
AVX, CMOV, AVX2, FMA3, BMI1, BMI2 = 0x4000, 0x1000000, 0x8000, 0x10000, 0x20000, 0x40000
_STEPS = {
    "0": 0,
    "MMX2": MMX | MMXEXT | CMOV,
    "SSE2Fast": SSE | SSE2,
    "SSSE3": SSE3 | SSSE3,
    "SSE4.2": SSE4 | SSE42,
    "AVX": AVX,
    "AVX2": AVX2 | FMA3 | BMI1 | BMI2,
}
LEVELS = tuple(_STEPS)


def flags_of(level: str) -> int:
    """What libavutil calls the level."""
    flags = 0
    for name, step in _STEPS.items():
        flags |= step
        if name == level:
            return flags
    raise ValueError(level)


def hold_to(level: str) -> None:
    """Hold libav* and x264 of this process to a level."""
    folder = Path(av.__file__).parent.parent / "av.libs"
    (library,) = folder.glob("libavutil*.so*")
    loaded = ctypes.CDLL(str(library))
    loaded.av_force_cpu_flags(flags_of(level))
    if loaded.av_get_cpu_flags() != flags_of(level):
        raise SystemExit("libavutil does not keep to the level")
    add_encoder = ladder.add_encoder

    def added(*arguments: Any) -> Any:
        stream = add_encoder(*arguments)
        options = stream.codec_context.options
        stream.codec_context.options = {**options, "x264-params": f"{options['x264-params']}:asm={level}"}
        return stream

    ladder.add_encoder = added


def digest(path: Path, folder: Path, width: int) -> str:
    """Of all products of the first chunk, with one rung of a width and the samples."""
    info = clip_info(path)
    (rung, *_) = ladder_plan.plan(info, {})
    rung = replace(rung, parameters={**rung.parameters, "width": width, "height": 2 * (width // 4)})
    task = unit_task(path, folder, info, "00000", [rung, *samples_plan.plan(info, {})])
    make_unit(task)
    found = hashlib.sha256()
    for file in sorted((task.scratch / "products").rglob("*.*")):
        found.update(file.read_bytes())
    return found.hexdigest()


def main() -> None:
    """Print {width: [digest, digest]}."""
    level, path, folder, *widths = sys.argv[1:]
    hold_to(level)
    found: dict[str, list[str]] = {width: [] for width in widths}
    for turn in range(2):
        for width in widths:
            found[width].append(digest(Path(path), Path(folder) / f"{width}-{turn}", int(width)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
