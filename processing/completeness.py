"""How much of its source an output holds, carried on from what the output was made of.

Belongs here: that arithmetic. Does not belong here: finding what is missing (probe, chunks, sound measure it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from processing.timeline import from_rational, rational

WHOLE: Mapping[str, int] = {"num": 1, "den": 1}
Gaps = Iterable[Mapping[str, Any]]


def carried(
    own: Mapping[str, int], needs: Mapping[str, Mapping[str, int]], products: Iterable[Mapping[str, int]]
) -> dict[str, int]:
    """The share of the source's media seconds (a rational) that an output holds.

    `own` is what its maker could use of what it was given, `needs` the shares of the artifacts it read, by asset,
    `products` those of the products of passes. Products count what is in the file; how much of what its header
    promises is in the file, media_info says.
    """
    least = min(map(_share, needs.values()), default=Fraction(1))
    shares = [_share(product) for product in products]
    if shares:
        in_the_file = sum(shares, Fraction(0)) / len(shares)
        least = min(least, in_the_file * _share(needs.get("media_info", WHOLE)))
    return rational(least * _share(own))


def held_share(info: Mapping[str, Any]) -> Mapping[str, int]:
    """How much of what its header promises is in a file, by media_info; the whole where nothing is said."""
    share: Mapping[str, int] = info.get("damage", {}).get("held", WHOLE)
    return share


def each_once(gaps: Gaps) -> tuple[dict[str, Any], ...]:
    """Gaps in their order, each once: all rungs of a chunk lack the same pictures."""
    return tuple({str(sorted(gap.items())): dict(gap) for gap in gaps}.values())


def _share(value: Mapping[str, int]) -> Fraction:
    return from_rational(dict(value))
