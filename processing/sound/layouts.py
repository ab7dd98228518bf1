"""Loudspeaker layouts: what channels are called, how loud each counts, and how one layout is folded into another.

Belongs here: names (those of libavutil: FL, FR, FC, LFE, SL, ...), the weights of ITU-R BS.1770-5 and the
coefficients of every downmix, as pure data and functions. Does not belong here: samples of a file (decode) or the
choice of a bit rate (aac).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]  # shape (channels, samples), full scale is 1.0

MONO = ("FC",)
STEREO = ("FL", "FR")
SURROUND_51 = ("FL", "FR", "FC", "LFE", "BL", "BR")

_HALF_POWER = 0.7071067811865476  # -3 dB: ITU-R BS.775-3 table 2, for everything that is folded into two places
_SURROUND_WEIGHT = 1.41  # ITU-R BS.1770-5 table 4: azimuth 60 to 120 degrees, elevation below 30 degrees

# What libavutil takes a bare count of channels for; WAV files without a mask are the usual case.
_BY_COUNT: dict[int, tuple[str, ...]] = {
    1: MONO,
    2: STEREO,
    3: ("FL", "FR", "LFE"),
    4: ("FL", "FR", "FC", "BC"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: SURROUND_51,
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}

# Where a channel goes when the target lacks it, as lists of (channel, gain): the first whose channels the target has,
# else the last, whose channels are folded in their turn. The low-frequency channel is dropped, as BS.775 does.
_FOLDS: dict[str, tuple[tuple[tuple[str, float], ...], ...]] = {
    "FC": ((("FL", _HALF_POWER), ("FR", _HALF_POWER)),),
    "FL": ((("FC", _HALF_POWER),),),
    "FR": ((("FC", _HALF_POWER),),),
    "DL": ((("FL", 1.0),),),
    "DR": ((("FR", 1.0),),),
    "FLC": ((("FL", _HALF_POWER),),),
    "FRC": ((("FR", _HALF_POWER),),),
    "WL": ((("FL", _HALF_POWER),),),
    "WR": ((("FR", _HALF_POWER),),),
    "SL": ((("BL", _HALF_POWER),), (("FL", _HALF_POWER),)),
    "SR": ((("BR", _HALF_POWER),), (("FR", _HALF_POWER),)),
    "BL": ((("SL", _HALF_POWER),), (("FL", _HALF_POWER),)),
    "BR": ((("SR", _HALF_POWER),), (("FR", _HALF_POWER),)),
    "BC": (
        (("BL", _HALF_POWER), ("BR", _HALF_POWER)),
        (("SL", _HALF_POWER), ("SR", _HALF_POWER)),
        (("FL", 0.5), ("FR", 0.5)),
    ),
    "TFL": ((("FL", _HALF_POWER),),),
    "TFR": ((("FR", _HALF_POWER),),),
    "TFC": ((("FC", _HALF_POWER),), (("FL", 0.5), ("FR", 0.5))),
    "TC": ((("FC", _HALF_POWER),), (("FL", 0.5), ("FR", 0.5))),
    "TBL": ((("BL", _HALF_POWER),), (("FL", 0.5),)),
    "TBR": ((("BR", _HALF_POWER),), (("FR", 0.5),)),
    "TBC": ((("BL", 0.5), ("BR", 0.5)), (("FL", 0.5), ("FR", 0.5))),
    "TSL": ((("BL", _HALF_POWER),), (("FL", 0.5),)),
    "TSR": ((("BR", _HALF_POWER),), (("FR", 0.5),)),
    "LFE": ((),),
    "LFE2": ((),),
}
_SAME_PLACE = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR"}  # 5.1 and 5.1(side) are one set of loudspeakers
_KNOWN = frozenset(_FOLDS)


def channel_names(names: Sequence[str]) -> tuple[str, ...]:
    """Usable names for the channels of a frame, in order.

    A single channel is a centre whatever it is called; names nobody gave are those that libavutil supposes for the
    count; above eight unnamed channels they stay `NONE`, which every fold treats as equal, unplaced microphones.
    """
    if len(names) == 1:
        return MONO
    if all(name in _KNOWN for name in names) and len(set(names)) == len(names):
        return tuple(names)
    return _BY_COUNT.get(len(names), ("NONE",) * len(names))


def loudness_weights(names: Sequence[str]) -> tuple[float, ...]:
    """The weight G of each channel, ITU-R BS.1770-5 tables 3 and 4; 0 for a low-frequency channel.

    The rear pair of a 5.1 layout stands at 110 degrees and counts as surround; where there are side channels as well
    it stands at 135 to 150 degrees and counts as any other.
    """
    has_side = "SL" in names or "SR" in names
    weights = []
    for name in names:
        if name in {"LFE", "LFE2"}:
            weights.append(0.0)
        elif name in {"SL", "SR", "WL", "WR"} or (name in {"BL", "BR"} and not has_side):
            weights.append(_SURROUND_WEIGHT)
        else:
            weights.append(1.0)
    return tuple(weights)


def listening_layout(names: Sequence[str]) -> tuple[str, ...]:
    """The layout people are given: mono, stereo or 5.1, the three that every HLS and DASH player knows.

    5.1 for a source with a centre and a surround pair, mono for one channel or for channels nobody can place, stereo
    for all others.
    """
    if len(names) == 1 or "NONE" in names:
        return MONO
    has_surround = {"SL", "SR"} <= set(names) or {"BL", "BR"} <= set(names)
    return SURROUND_51 if "FC" in names and has_surround else STEREO


def mix_matrix(source: Sequence[str], target: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Gains that turn `source` channels into `target` channels: one row a target channel.

    Coefficients of ITU-R BS.775-3; all rows are scaled down together where the loudest sum could exceed full scale,
    so that a downmix never clips and keeps its balance.
    """
    if "NONE" in source:
        return tuple(tuple(0.0 if name in {"LFE", "LFE2"} else 1.0 / len(source) for _ in source) for name in target)
    columns = [_spread(name, frozenset(target), frozenset(source)) for name in source]
    rows = [[column.get(name, 0.0) for column in columns] for name in target]
    loudest = max(sum(row) for row in rows)
    scale = 1.0 / loudest if loudest > 1.0 else 1.0
    return tuple(tuple(gain * scale for gain in row) for row in rows)


def _spread(name: str, target: frozenset[str], source: frozenset[str]) -> dict[str, float]:
    """Where one channel goes and with which gain; empty for one that is dropped."""
    if name in target:
        return {name: 1.0}
    twin = _SAME_PLACE.get(name)
    if twin in target and twin not in source:
        return {str(twin): 1.0}
    alternatives = _FOLDS[name]
    fold = next((option for option in alternatives if all(place in target for place, _ in option)), alternatives[-1])
    spread: dict[str, float] = {}
    for place, gain in fold:
        for end, further in _spread(place, target, source).items():
            spread[end] = spread.get(end, 0.0) + gain * further
    return spread


def mix(samples: Samples, matrix: Sequence[Sequence[float]]) -> Samples:
    """`samples` through a matrix of gains, shape (target channels, samples).

    Written as sums of products of whole rows: a matrix product would go through BLAS, whose order of summation, and
    so the last bit, depends on the processor.
    """
    mixed = np.zeros((len(matrix), samples.shape[1]))
    for row, gains in enumerate(matrix):
        for channel, gain in zip(samples, gains, strict=True):
            if gain:
                mixed[row] += channel * gain
    return mixed


def is_identity(matrix: Sequence[Sequence[float]]) -> bool:
    """True when a matrix changes nothing."""
    return all(
        gain == (1.0 if row == column else 0.0) for row, gains in enumerate(matrix) for column, gain in enumerate(gains)
    )
