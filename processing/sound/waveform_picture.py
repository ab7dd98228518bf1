"""Drawing a waveform: one column a pixel from its minimum to its maximum, readable on light and on dark pages.

Belongs here: sizes, colours, the axis. Does not belong here: the numbers (peaks, waveform).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from processing.sound.peaks import Points

LARGE_SIZE = (1800, 280)
AXIS_HEIGHT = 24
SMALL_SIZE = (480, 72)
SMALL_BYTES = 6 * 1024  # what fits into a page's metadata as a data URI
FULL_SCALE = 32_768

# On a transparent ground; both have a contrast of at least 3:1 against white and against #1b1b1b (WCAG 2.2, 1.4.11).
WAVE = (31, 135, 190, 255)
AXIS = (125, 125, 125, 255)
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
_MAX_TICKS = 12

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def large(points: Points, duration_s: float) -> bytes:
    """A PNG of 1800 x 280 with a time axis. Levels are absolute: a column of full height is full scale."""
    width, height = LARGE_SIZE
    image = Image.new("RGBA", LARGE_SIZE, (0, 0, 0, 0))
    image.paste(Image.fromarray(columns(points, width, height - AXIS_HEIGHT)), (0, 0))
    _draw_axis(ImageDraw.Draw(image), duration_s)
    return _png(image)


def small(points: Points) -> bytes:
    """A PNG of 480 x 72 and at most 6 kB, without an axis."""
    return _png(Image.fromarray(columns(points, *SMALL_SIZE)))


def columns(points: Points, width: int, height: int) -> Pixels:
    """The waveform as RGBA pixels, shape (height, width, 4); at least the centre line in every column."""
    low, high = _by_column(points, width)
    centre = height / 2
    top = np.floor(centre - high * (centre / FULL_SCALE)).astype(int)
    bottom = np.ceil(centre - low * (centre / FULL_SCALE)).astype(int)
    top = np.clip(np.minimum(top, int(centre) - 1), 0, height - 1)
    bottom = np.clip(np.maximum(bottom, int(centre)), 1, height)
    rows = np.arange(height)[:, None]
    inside = (rows >= top) & (rows < bottom)
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    pixels[inside] = WAVE
    return pixels


def _by_column(points: Points, width: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Minimum and maximum of every column; a point is in each column it touches, so that no peak is lost."""
    starts = np.arange(width) * len(points) // width
    ends = np.maximum(-(-(np.arange(1, width + 1) * len(points)) // width), starts + 1)
    low = np.array([points[start:end, 0].min() for start, end in zip(starts, ends, strict=True)])
    high = np.array([points[start:end, 1].max() for start, end in zip(starts, ends, strict=True)])
    return low, high


def _draw_axis(draw: ImageDraw.ImageDraw, duration_s: float) -> None:
    width, height = LARGE_SIZE
    top = height - AXIS_HEIGHT
    draw.line([(0, top), (width - 1, top)], fill=AXIS)
    step_s = next((tick for tick in _TICKS_S if duration_s / tick <= _MAX_TICKS), _TICKS_S[-1])
    font = ImageFont.load_default(size=14)
    second = 0
    while second <= duration_s and duration_s > 0:
        x = min(round(second / duration_s * (width - 1)), width - 1)
        draw.line([(x, top), (x, top + 5)], fill=AXIS)
        label = clock(second)
        room = draw.textlength(label, font=font)
        if x + 4 + room < width:
            draw.text((x + 4, top + 5), label, fill=AXIS, font=font)
        second += step_s


def clock(second: int) -> str:
    """A time as people write it: 0:05, 12:00, 1:02:03."""
    hours, rest = divmod(second, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.quantize(colors=32, method=Image.Quantize.FASTOCTREE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
