"""From high dynamic range (PQ, HLG) to BT.709: one table, computed from the standards' formulas.

Belongs here: transfer functions, the tone curve, the gamut, the table's file. Does not belong here: applying it
(picture/scaling).

Sources: SMPTE ST 2084 (PQ), Rec. ITU-R BT.2100 (HLG, OOTF), BT.2390 5.4.1 (tone curve), BT.2087 (primaries), BT.1886.

Of high dynamic range, colours that BT.709 has not are paled at their luminance until it has them, and the curve is then
applied to the brightest of the three components that are shown. With the curve over the components of BT.2020, and what
did not fit cut off channel by channel, every third pixel of an HLG colour chart was cut: oranges turned yellow, yellows
and blues became as saturated as a display can be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

POINTS = 65  # per axis; measured within 3 codes of exact, 33 points: up to 8
PEAK_NITS = 1000.0  # of the mastering display: what most PQ is graded on and what HLG is defined at
WHITE_NITS = 203.0  # BT.2408: where diffuse white lies in PQ and HLG; becomes the peak of the SDR picture
PQ_NITS = 10_000.0
DISPLAY_GAMMA = 2.4  # BT.1886, what an SDR display applies
HLG_GAMMA = 1.2  # BT.2100: system gamma at a peak of 1,000 nits
BT2020_TO_BT709 = np.array(  # BT.2087-0, linear light
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
BT709_LUMA = np.array([0.2126, 0.7152, 0.0722])
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073


def pq_to_nits(signal: Array) -> Array:
    """ST 2084 EOTF: signal 0..1 to nits."""
    power = np.power(np.clip(signal, 0, 1), 1 / _M2)
    nits: Array = PQ_NITS * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)
    return nits


def nits_to_pq(nits: Array) -> Array:
    """The inverse of `pq_to_nits`."""
    power = np.power(np.clip(nits / PQ_NITS, 0, 1), _M1)
    signal: Array = np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)
    return signal


def hlg_to_nits(signal: Array) -> Array:
    """BT.2100 HLG: signal 0..1 (last axis RGB) to nits on a display of `PEAK_NITS`."""
    clipped = np.clip(signal, 0, 1)
    scene = np.where(clipped <= 0.5, clipped**2 / 3, (np.exp((clipped - _C) / _A) + _B) / 12)
    luminance = scene @ BT2020_LUMA
    nits: Array = PEAK_NITS * scene * np.power(np.maximum(luminance, 1e-9), HLG_GAMMA - 1)[..., None]
    return nits


def compressed(nits: Array) -> Array:
    """BT.2390 roll-off from `PEAK_NITS` to `WHITE_NITS`: unchanged below the knee, nits in and out."""
    source_peak, target_peak = (nits_to_pq(np.array(value)) for value in (PEAK_NITS, WHITE_NITS))
    signal = np.clip(nits_to_pq(nits) / source_peak, 0, 1)
    peak = target_peak / source_peak
    knee = 1.5 * peak - 0.5
    share = np.clip((signal - knee) / (1 - knee), 0, 1)
    curve = (
        (2 * share**3 - 3 * share**2 + 1) * knee
        + (share**3 - 2 * share**2 + share) * (1 - knee)
        + (-2 * share**3 + 3 * share**2) * peak
    )
    return pq_to_nits(np.where(signal < knee, signal, curve) * source_peak)


def to_bt709(signal: Array, transfer: str) -> Array:
    """R'G'B' of BT.2020 with transfer "pq", "hlg" or "wide" (SDR) to that of BT.709, both 0..1, channels last.

    The curve is applied to the brightest channel and the others keep their proportion, so that hues stay. "wide" has no
    curve: what BT.709 has not is cut off.
    """
    if transfer == "wide":
        return _displayed(np.power(signal, DISPLAY_GAMMA) @ BT2020_TO_BT709.T)
    nits = paled((pq_to_nits(signal) if transfer == "pq" else hlg_to_nits(signal)) @ BT2020_TO_BT709.T)
    brightest = np.maximum(nits.max(axis=-1, keepdims=True), 1e-6)
    return _displayed(nits * (compressed(brightest) / brightest) / WHITE_NITS)


def paled(linear: Array) -> Array:
    """Linear BT.709 light, some of it below zero, moved towards the grey of its luminance until none is."""
    luminance = np.maximum((linear @ BT709_LUMA)[..., None], 0.0)
    lowest = linear.min(axis=-1, keepdims=True)
    outside = lowest < 0
    share = np.where(outside, luminance / np.where(outside, luminance - lowest, 1.0), 1.0)
    inside: Array = np.maximum(luminance + (linear - luminance) * share, 0.0)
    return inside


def _displayed(linear: Array) -> Array:
    """Linear BT.709 light, 1 = white, to R'G'B'."""
    signal: Array = np.power(np.clip(linear, 0, 1), 1 / DISPLAY_GAMMA)
    return signal


def write_table(transfer: str, folder: Path) -> Path:
    """Write the table for "pq", "hlg" or "wide" as a .cube file (red fastest); returns its path.

    Made once per folder.
    """
    path = folder / f"{transfer}.cube"
    if not path.exists():
        axis = np.linspace(0.0, 1.0, POINTS)
        blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
        values = to_bt709(np.stack([red, green, blue], axis=-1), transfer).reshape(-1, 3)
        lines = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in values.tolist())
        path.write_text(f"LUT_3D_SIZE {POINTS}\n{lines}\n", encoding="ascii")
    return path
