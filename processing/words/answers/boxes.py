"""Places in a picture, as every provider's answer about it is brought to: four points in whole pixels.

Belongs here: the type, from shares or thousandths of a picture to pixels. Does not belong here: what lies at a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from processing.words.answers import strict

Point = tuple[int, int]
Box = tuple[Point, Point, Point, Point]  # the first where reading begins, then clockwise
Size = tuple[int, int]

PER_MILLE = 1000
SLACK = 0.02  # of a side by which services let a box hang over the picture's edge


def of_shares(points: Sequence[tuple[float, float]], size: Size) -> Box:
    """Four points given as shares of a picture's sides, in its pixels and inside it."""
    inside = [(min(max(round(x * size[0]), 0), size[0]), min(max(round(y * size[1]), 0), size[1])) for x, y in points]
    return (inside[0], inside[1], inside[2], inside[3])


def of_edges(left: float, top: float, right: float, bottom: float, size: Size) -> Box:
    """An upright box given by its edges as shares."""
    return of_shares([(left, top), (right, top), (right, bottom), (left, bottom)], size)


def of_thousandths(value: Any, what: str, size: Size) -> Box:
    """`[left, top, right, bottom]`, whole thousandths of the picture's sides: how models that see are asked to tell.

    Raises ContractBroken for anything else, and for a box without area.
    """
    told = strict.listed(value, what, 4)
    if len(told) != 4:
        raise strict.broken(f"{what} has {len(told)} edges, not four")
    left, top, right, bottom = (strict.integer(edge, what, 0, PER_MILLE) / PER_MILLE for edge in told)
    if right <= left or bottom <= top:
        raise strict.broken(f"{what} has no area")
    return of_edges(left, top, right, bottom, size)


def bounds(box: Sequence[Sequence[int]]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what a box covers."""
    across, down = [point[0] for point in box], [point[1] for point in box]
    return min(across), min(down), max(across), max(down)


def scaled(box: Box, size: Size, to: Size) -> Box:
    """A box in pixels of a picture of `size`, in those of the same picture at size `to`."""
    return of_shares([(x / size[0], y / size[1]) for x, y in box], to)


def per_mille(value: Any, what: str, most: float) -> int:
    """A confidence between 0 and `most` as a whole number of thousandths."""
    return round(strict.number(value, what, 0, most) * PER_MILLE / most)
