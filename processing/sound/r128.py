"""Loudness by ITU-R BS.1770-5 and EBU Tech 3341 and 3342, from the energies of 10 ms hops.

Belongs here: K-weighting coefficients, gating, loudness range, the momentary and short-term curves; numbers only.
Does not belong here: filtering a track (loudness_blocks) or writing a report (loudness).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Energies = np.ndarray[Any, np.dtype[np.float64]]  # weighted mean square of each 10 ms, channels summed

# Maxima are searched every 10 ms: at 100 ms a 400 ms burst reads up to 0.6 LU low (EBU Tech 3341, cases 13 and 14).
HOPS_PER_S = 100
MOMENTARY_HOPS = 40  # 400 ms
SHORT_TERM_HOPS = 300  # 3 s
BLOCK_STEP = 10  # gated blocks start every 100 ms: 400 ms overlapping by 75 %, BS.1770-5 annex 1
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0  # of integrated loudness, BS.1770-5
RANGE_GATE_LU = -20.0  # of loudness range, EBU Tech 3342 section 2.2
RANGE_LOW, RANGE_HIGH = 0.10, 0.95  # percentiles, EBU Tech 3342
# K-weighting lifts what is above 1.7 kHz: at 3.4 kHz and below its filter has no stable form, and between there and
# 8 kHz, telephone's rate, the bilinear transform bends it by 0.3 to 0.6 dB at 200 Hz (0.2 at 8 kHz, 0.05 at 22.05).
LOWEST_RATE_HZ = 8_000
_OFFSET_DB = -0.691  # makes a 997 Hz tone at 0 dBFS in one front channel read -3.01, BS.1770-5 annex 1

Biquad = tuple[float, float, float, float, float]  # b0 b1 b2 a1 a2, a0 = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """A number, or the sentence why there is none."""

    value: float | None
    reason: str | None = None


def unmeasurable(rate_hz: int) -> str | None:
    """Why a track sampled at `rate_hz` has no loudness, or None where it can be measured."""
    if rate_hz >= LOWEST_RATE_HZ:
        return None
    return f"not measurable: sampled at {rate_hz} Hz, and K-weighting needs {LOWEST_RATE_HZ}"


def k_weighting(rate_hz: int) -> tuple[Biquad, Biquad]:
    """The two filters of K-weighting at `rate_hz`.

    BS.1770-5 tables 1 and 2 give coefficients for 48 kHz only; these are the same analogue prototypes put through the
    bilinear transform at any rate `unmeasurable` allows, and equal the tables at 48 kHz to better than 1e-9.
    """
    k = math.tan(math.pi * 1681.974450955533 / rate_hz)
    quality = 0.7071752369554196
    high = 10.0 ** (3.999843853973347 / 20.0)
    band = high**0.4996667741545416
    a0 = 1.0 + k / quality + k * k
    shelf = (
        (high + band * k / quality + k * k) / a0,
        2.0 * (k * k - high) / a0,
        (high - band * k / quality + k * k) / a0,
        2.0 * (k * k - 1.0) / a0,
        (1.0 - k / quality + k * k) / a0,
    )
    k = math.tan(math.pi * 38.13547087602444 / rate_hz)
    quality = 0.5003270373238773
    a0 = 1.0 + k / quality + k * k
    high_pass = (1.0, -2.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / quality + k * k) / a0)
    return shelf, high_pass


def lufs(energy: float) -> float:
    """Loudness of a weighted mean square; minus infinity for 0."""
    return _OFFSET_DB + 10.0 * math.log10(energy) if energy > 0.0 else -math.inf


def windows(energies: Energies, hops: int, step: int = 1) -> Energies:
    """Mean energy of windows of `hops` hops that start every `step` hops; `step` divides `hops`. Empty if none fits.

    Summed slice by slice rather than by a running sum, which would carry the rounding of loud parts into quiet ones.
    """
    steps = len(energies) // step
    coarse = np.add.reduce(energies[: steps * step].reshape(steps, step), axis=1)
    count = steps - hops // step + 1
    if count <= 0:
        return np.zeros(0)
    total = np.zeros(count)
    for offset in range(hops // step):
        total += coarse[offset : offset + count]
    return total / hops


def integrated(energies: Energies) -> Measured:
    """Integrated loudness in LUFS with both gates, BS.1770-5 annex 1."""
    blocks = windows(energies, MOMENTARY_HOPS, BLOCK_STEP)
    if len(blocks) == 0:
        return Measured(None, "shorter than one block of 400 ms")
    audible = blocks[blocks > _energy(ABSOLUTE_GATE_LUFS)]
    if len(audible) == 0:
        return Measured(None, f"silent: no block is above the gate of {ABSOLUTE_GATE_LUFS:.0f} LUFS")
    gate = max(lufs(_mean(audible)) + RELATIVE_GATE_LU, ABSOLUTE_GATE_LUFS)
    return Measured(lufs(_mean(blocks[blocks > _energy(gate)])))


def loudness_range(energies: Energies) -> Measured:
    """Loudness range in LU, EBU Tech 3342: 10th to 95th percentile of the gated short-term loudness."""
    blocks = windows(energies, SHORT_TERM_HOPS, BLOCK_STEP)
    if len(blocks) == 0:
        return Measured(None, "shorter than one window of 3 s")
    audible = blocks[blocks > _energy(ABSOLUTE_GATE_LUFS)]
    if len(audible) == 0:
        return Measured(None, f"silent: no window is above the gate of {ABSOLUTE_GATE_LUFS:.0f} LUFS")
    gate = lufs(_mean(audible)) + RANGE_GATE_LU
    kept = np.sort(audible[audible > _energy(gate)])
    low, high = (kept[round((len(kept) - 1) * share)] for share in (RANGE_LOW, RANGE_HIGH))
    return Measured(lufs(float(high)) - lufs(float(low)))


def loudest(energies: Energies, hops: int) -> Measured:
    """The loudest window in LUFS: momentary (`MOMENTARY_HOPS`) or short-term (`SHORT_TERM_HOPS`), EBU Tech 3341."""
    blocks = windows(energies, hops)
    if len(blocks) == 0:
        return Measured(None, f"shorter than one window of {hops * 1000 // HOPS_PER_S} ms")
    peak = float(blocks.max())
    if peak <= 0.0:
        return Measured(None, "digital silence")
    return Measured(lufs(peak))


def decibels(amplitude: float) -> Measured:
    """A peak in dB relative to full scale."""
    return Measured(20.0 * math.log10(amplitude)) if amplitude > 0.0 else Measured(None, "digital silence")


def _energy(loudness_lufs: float) -> float:
    return float(10.0 ** ((loudness_lufs - _OFFSET_DB) / 10.0))


def _mean(values: Energies) -> float:
    return float(np.add.reduce(values)) / len(values)
