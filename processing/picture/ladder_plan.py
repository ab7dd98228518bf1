"""Which rungs a source gets and how each is encoded. Pure: facts in, numbers out, no media library.

Belongs here: the steps, sizes, bit-rate caps, levels and the products of the `ladder` tap. Does not belong here:
encoding (picture/ladder), or what is made of finished rungs (hls, proxy).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from processing.picture.fields_plan import pictures_a_frame, shown_timescale
from processing.timeline import from_rational
from processing.work import PlannedProduct, Tap

CODE_VERSION = "1"  # raised when the same parameters would give other bytes
RUNG_TAP = "processing.picture.ladder:RungTap"

STEPS = (2160, 1440, 1080, 720, 540, 360)  # pixels of the shorter side
KEY_INTERVAL_S = 2  # a player can switch rungs at every key frame; longer saves a few per cent and delays the switch
CRF = 23  # x264's own default: transparent enough at normal viewing distance, the caps below bound the rest
CAP_1080P30_BPS = 7_500_000  # HLS authoring specification for Apple devices, 1.23: 7.8 Mb/s for 1080p, less audio
CAP_EXPONENT = 0.75  # bits grow slower than pixels: gives 4.1 Mb/s at 720, 1.4 at 360, 21 at 2160, as that table does
CAP_FLOOR_BPS = 200_000
BUFFER_S = 1  # VBV size in seconds of the cap; a chunk starts with it 0.9 full, so this also bounds the peak at a join
FALLBACK_RATE = Fraction(25)
LONGEST_CHUNK_S = 60.0  # past the farthest boundary (chunks/grid) only where pictures are further apart than that
LEVELS = (  # Rec. ITU-T H.264 table A-1: level_idc, macroblocks a second, macroblocks a frame, bits/s (High = x 1.25)
    (30, 40_500, 1_620, 10_000_000),
    (31, 108_000, 3_600, 14_000_000),
    (32, 216_000, 5_120, 20_000_000),
    (40, 245_760, 8_192, 20_000_000),
    (42, 522_240, 8_704, 50_000_000),
    (50, 589_824, 22_080, 135_000_000),
    (51, 983_040, 36_864, 240_000_000),
    (52, 2_073_600, 36_864, 240_000_000),
    (60, 4_177_920, 139_264, 240_000_000),
    (62, 16_711_680, 139_264, 800_000_000),
)


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: `label` is its shorter side, sizes in pixels, both even, square pixels."""

    label: int
    width: int
    height: int


def display_size(info: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in square pixels after rotation, even."""
    video = info["video"]
    return int(video["display_width"]), int(video["display_height"])


def base_size(info: Mapping[str, Any]) -> tuple[int, int]:
    """The size to which every frame is converted once and from which all smaller ones are scaled.

    The largest rung this source could have, whatever the wish: a wish must not change the bytes of another rung.
    """
    top = all_rungs(info)[0]
    return top.width, top.height


def all_rungs(info: Mapping[str, Any]) -> list[Rung]:
    """Every rung the source can have, largest first, none above its own size.

    A source below the lowest step, or between two, has its own size as the top rung.
    """
    width, height = display_size(info)
    short = min(width, height)
    labels = [step for step in STEPS if step <= short]
    if short < STEPS[0] and short not in labels:
        labels.insert(0, short)
    return [_rung(label, width, height) for label in labels]


def rungs(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[Rung]:
    """The rungs to make: `options["ladder"]` (heights) restricts `all_rungs`; never empty.

    When no wished height fits, the largest rung below the largest wish is made, else the smallest there is.
    """
    possible = all_rungs(info)
    wished = options.get("ladder")
    if not wished:
        return possible
    chosen = [rung for rung in possible if rung.label in wished]
    if chosen:
        return chosen
    return [next((rung for rung in possible if rung.label <= max(wished)), possible[-1])]


def nearest_rung(available: Iterable[Rung], at_most: int) -> Rung:
    """The largest rung whose label is at most `at_most`, else the smallest of all."""
    ordered = sorted(available, key=lambda rung: rung.label)
    return next((rung for rung in reversed(ordered) if rung.label <= at_most), ordered[0])


def frame_rate(info: Mapping[str, Any]) -> Fraction:
    """The nominal frame rate of the source, frames per second; 25 where the facts have none that makes sense.

    Some containers give their clock (1000, 90000) where a rate is asked for: the count of frames over the length is
    taken then.
    """
    video = info["video"]
    rate = from_rational(video["frame_rate"]) if video.get("frame_rate") else Fraction(0)
    if Fraction(1, 10) <= rate <= 240:
        return rate
    length = Fraction(int(video["end"]) - int(video["start"]), int(video["timescale"]))
    measured = Fraction(int(video["frame_count"])) / length if length > 0 else Fraction(0)
    return measured.limit_denominator(1001) if Fraction(1, 10) <= measured <= 240 else FALLBACK_RATE


def cap_bps(width: int, height: int, rate: Fraction) -> int:
    """The most bits a second a rung may need over `BUFFER_S`, rounded to 10 kb/s.

    Grows with the 0.75th power of the pixels; above 30 frames a second with the square root of the rate, below 15
    by a quarter less.
    """
    share = math.pow((width * height) / (1920 * 1080), CAP_EXPONENT)
    fast, slow = math.sqrt(rate / 30) if rate > 30 else 1.0, 0.75 if rate <= 15 else 1.0
    return max(CAP_FLOOR_BPS, round(CAP_1080P30_BPS * share * fast * slow / 10_000) * 10_000)


def level_idc(width: int, height: int, rate: Fraction, cap: int) -> int:
    """The lowest H.264 level of High profile that allows such frames at such a rate under such a cap."""
    blocks = -(-width // 16) * -(-height // 16)
    for level, per_second, per_frame, bits in LEVELS:
        side_limit = (per_frame * 8) ** 0.5  # A.3.1: neither side may exceed sqrt(8 x MaxFS) macroblocks
        longest = max(-(-width // 16), -(-height // 16))
        fits = blocks <= per_frame and blocks * rate <= per_second and longest <= side_limit
        if fits and cap * 4 <= bits * 5:
            return level
    return LEVELS[-1][0]


def rung_parameters(info: Mapping[str, Any], rung: Rung, options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines how one rung is encoded, as its products' recipes hold it."""
    encoder = options.get("encoder") or {}
    rate = frame_rate(info) * pictures_a_frame(info, options)
    cap = cap_bps(rung.width, rung.height, rate)
    base_width, base_height = base_size(info)
    timescale = shown_timescale(info, options)
    return {
        "rung": str(rung.label),
        "width": rung.width,
        "height": rung.height,
        "base": [base_width, base_height],
        "codec": "h264",
        "profile": "high",
        "level_idc": level_idc(rung.width, rung.height, rate, cap),
        "preset": str(encoder.get("preset", "veryfast")),
        "lookahead_frames": int(encoder.get("lookahead", 8)),
        "crf": CRF,
        "cap_bps": cap,
        "buffer_bits": cap * BUFFER_S,
        "frame_rate": {"num": rate.numerator, "den": rate.denominator},
        "key_interval_ticks": KEY_INTERVAL_S * timescale,
        **({"longest_frame_ticks": BUFFER_S * timescale} if _pauses(info) else {}),
    }


def _pauses(info: Mapping[str, Any]) -> bool:
    """Whether a frame of the source lasts longer than it takes to fill the buffer.

    Told the truth about one that lasts five to thirty seconds, x264 starves the frames beside it: they show the picture
    before. A buffer that is full gets no fuller, so that it may as well be told less.
    """
    return int(info["video"].get("longest_gap") or 0) > BUFFER_S * int(info["video"]["timescale"])


def product_name(rung: Rung, index: int) -> str:
    """The name of one chunk of one rung."""
    return f"ladder/{rung.label}/{index:05d}"


def unit_name(index: int) -> str:
    """The name of the task that makes chunk `index`."""
    return f"{index:05d}"


def chunk_s(info: Mapping[str, Any], chunk: Mapping[str, Any]) -> float:
    """Length of a chunk in seconds, for bounds and progress only: a chunk of one picture for hours is no more work."""
    return min(LONGEST_CHUNK_S, (int(chunk["end"]) - int(chunk["start"])) / int(info["video"]["timescale"]))


def rung_products(info: Mapping[str, Any], rung: Rung, options: Mapping[str, Any]) -> list[PlannedProduct]:
    """One product a chunk for one rung; the same names and parameters whoever asks."""
    parameters = rung_parameters(info, rung, options)
    return [
        PlannedProduct(
            name=product_name(rung, index),
            unit=unit_name(index),
            tap=RUNG_TAP,
            code_version=CODE_VERSION,
            parameters=parameters,
            media_s=chunk_s(info, chunk),
        )
        for index, chunk in enumerate(info["video"]["chunks"])
    ]


def plan(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """Every chunk of every rung; nothing for a source without moving pictures."""
    if not info.get("video"):
        return []
    return [product for rung in rungs(info, options) for product in rung_products(info, rung, options)]


TAP_LADDER = Tap("ladder", "chunks", plan)


def _rung(label: int, width: int, height: int) -> Rung:
    short, long = min(width, height), max(width, height)
    scaled = max(2, 2 * ((long * label + short) // (2 * short)))  # nearest even number
    return Rung(label, scaled, label) if width >= height else Rung(label, label, scaled)
