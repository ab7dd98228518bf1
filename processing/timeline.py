"""Exact time. Every instant and length in a manifest is an integer count of ticks of a named timescale.

Belongs here: rationals, the choice of a timescale for a source, conversion between timescales.
Does not belong here: reading packets (processing/probe) or cutting a source into chunks (processing/chunks).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MPEG_TIMESCALE = 90_000  # ticks per second; the clock of ISO/IEC 13818-1 and the default of every video track here
MIN_TIMESCALE = 10_000  # finer than 0.1 ms, so that a derived grid never has to round to a visible amount
MAX_TIMESCALE = 2**31 - 1  # mdhd and tfdt keep the timescale in 32 bits, signed in some readers


def media_timescale(time_base: Fraction) -> int:
    """Ticks per second in which every multiple of `time_base` (seconds) is an integer.

    90,000 where that is exact (1/25, 1/1000, 1001/30000); otherwise the smallest multiple of the time base's
    denominator that is at least `MIN_TIMESCALE` (24,000 for 1001/24000). Raises ValueError for a time base
    that is not positive or needs more than 31 bits.
    """
    if time_base <= 0:
        raise ValueError(f"a time base must be positive, got {time_base}")
    if (MPEG_TIMESCALE * time_base).denominator == 1:
        return MPEG_TIMESCALE
    denominator = time_base.denominator
    timescale = denominator * -(-MIN_TIMESCALE // denominator)
    if timescale > MAX_TIMESCALE:
        raise ValueError(f"the time base {time_base} is finer than 31 bits allow")
    return timescale


def to_ticks(time_s: Fraction, timescale: int) -> int:
    """The tick nearest to `time_s` (seconds, exact), halves away from zero as `av_rescale_q` does."""
    scaled = time_s * timescale
    magnitude = (abs(scaled.numerator) * 2 + scaled.denominator) // (2 * scaled.denominator)
    return magnitude if scaled >= 0 else -magnitude


def to_seconds(ticks: int, timescale: int) -> Fraction:
    """Exact seconds of `ticks`."""
    return Fraction(ticks, timescale)


def rational(value: Fraction) -> dict[str, int]:
    """A rational as manifests carry it: `{"num": ..., "den": ...}`."""
    return {"num": value.numerator, "den": value.denominator}


def from_rational(value: dict[str, Any]) -> Fraction:
    """The reverse of `rational`."""
    return Fraction(int(value["num"]), int(value["den"]))


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open span [start, end) in ticks of `timescale`, on the output timeline (never negative)."""

    start: int
    end: int
    timescale: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"a span must have length: [{self.start}, {self.end})")

    @property
    def duration(self) -> int:
        """Length in ticks."""
        return self.end - self.start

    @property
    def duration_s(self) -> Fraction:
        """Length in exact seconds."""
        return Fraction(self.duration, self.timescale)

    def to_json(self) -> dict[str, int]:
        return {"start": self.start, "end": self.end, "timescale": self.timescale}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Span:
        return cls(int(value["start"]), int(value["end"]), int(value["timescale"]))
