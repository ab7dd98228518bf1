"""How a coded picture becomes an upright one: rotation, mirroring, sample aspect, size.

Belongs here: reading display matrices and EXIF orientations, sizes for display, and the filters that turn a picture.
Does not belong here: which sizes are made (ladder_plan) or pixels (filters and Pillow do the turning). Pure.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

ANGLE_TOLERANCE = 1.0  # degrees; players, and the ffmpeg command, turn by quarter turns only
MOST_ASPECT = 8  # a sample aspect beyond 1:8 or 8:1 is damage, not anamorphic film


@dataclass(frozen=True, slots=True)
class Orientation:
    """What must be done for display.

    Rotate clockwise by `rotation_degrees` (0, 90, 180, 270), then flip horizontally when `mirrored`.
    """

    rotation_degrees: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self.rotation_degrees % 180 == 90

    @property
    def exif(self) -> int:
        """The EXIF orientation (1 to 8) that asks for the same."""
        return next(value for value, orientation in _EXIF.items() if orientation == self)


UPRIGHT = Orientation()

_EXIF = {  # EXIF 2.32, tag 0x0112
    1: Orientation(0, False),
    2: Orientation(0, True),
    3: Orientation(180, False),
    4: Orientation(180, True),
    5: Orientation(90, True),
    6: Orientation(90, False),
    7: Orientation(270, True),
    8: Orientation(270, False),
}


def from_exif(orientation: int) -> Orientation:
    """The orientation an EXIF value asks for; values outside 1 to 8 ask for nothing."""
    return _EXIF.get(orientation, UPRIGHT)


def from_display_matrix(matrix: bytes) -> Orientation:
    """The orientation nine native-endian int32 ask for (ISO/IEC 14496-12, 8.3.2.3; side data DISPLAYMATRIX).

    A point (x, y) goes to (a*x + c*y, b*x + d*y), the first two rows being a b u and c d v. Angles other than
    quarter turns, and matrices that flatten the picture, ask for nothing.
    """
    if len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    determinant = a * d - b * c
    if determinant == 0:
        return UPRIGHT
    mirrored = determinant < 0
    angle = math.degrees(math.atan2(b, -a if mirrored else a)) % 360
    quarter = round(angle / 90)
    if abs(angle - quarter * 90) > ANGLE_TOLERANCE:
        return UPRIGHT
    return Orientation(quarter % 4 * 90, mirrored)


def usable_aspect(sample_aspect: Fraction | None) -> Fraction:
    """The shape of one sample, width over height; 1 where it is unknown or absurd."""
    if not sample_aspect or sample_aspect <= 0 or not Fraction(1, MOST_ASPECT) <= sample_aspect <= MOST_ASPECT:
        return Fraction(1)
    return sample_aspect


def even(length: Fraction | int) -> int:
    """The largest even number of pixels not above `length`, at least 2: 4:2:0 has no half samples."""
    return max(2, int(length) // 2 * 2)


def display_size(width: int, height: int, sample_aspect: Fraction, orientation: Orientation) -> tuple[int, int]:
    """Width and height in square pixels, upright, both even, from the coded size.

    The coded number of lines is kept and the width carries the sample aspect, so that no line is invented.
    """
    shown_width, shown_height = even(width * sample_aspect), even(height)
    return (shown_height, shown_width) if orientation.swaps_sides else (shown_width, shown_height)


def filter_steps(orientation: Orientation) -> tuple[tuple[str, str], ...]:
    """The libavfilter steps (name, arguments) that turn a coded picture upright, in order; none when it is.

    A frame that went through them still carries its display matrix: never turn it again.
    """
    if orientation == Orientation(180, True):
        return (("vflip", ""),)
    turns = {
        0: (),
        90: (("transpose", "clock"),),
        180: (("hflip", ""), ("vflip", "")),
        270: (("transpose", "cclock"),),
    }
    steps = turns[orientation.rotation_degrees]
    return (*steps, ("hflip", "")) if orientation.mirrored else steps
