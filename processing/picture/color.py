"""Names of colour descriptions: the numbers of ISO/IEC 23091-2 as libavutil spells them.

Belongs here: the names and what a transfer function's name says of dynamic range. Does not belong here: changing
colours (tone, scaling, stills). Pure.
"""

from __future__ import annotations

from typing import Literal

Hdr = Literal["pq", "hlg"]
TONE_VERSION = "2"  # raised when high dynamic range would come out otherwise; in the recipes of such sources alone

PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 14: "ictcp",
}  # fmt: skip
RANGES = {1: "tv", 2: "pc"}


def names(primaries: int, transfer: int, matrix: int, range_: int) -> dict[str, str | None]:
    """The colour description in facts: names as libavutil has them, None where it is not stated."""
    return {
        "primaries": PRIMARIES.get(primaries),
        "transfer": TRANSFERS.get(transfer),
        "matrix": MATRICES.get(matrix),
        "range": RANGES.get(range_),
    }


def tone_parameters(hdr: str | None) -> dict[str, str]:
    """What enters a recipe of how high dynamic range is converted; nothing where there is none."""
    return {"tone": TONE_VERSION} if hdr else {}


def hdr_of(transfer: str | None) -> Hdr | None:
    """Which HDR system a transfer function belongs to."""
    if transfer == "smpte2084":
        return "pq"
    return "hlg" if transfer == "arib-std-b67" else None
