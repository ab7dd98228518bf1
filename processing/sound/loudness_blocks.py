"""The tap for loudness: K-weighted energy of every 10 ms, sample peak and true peak of a track.

Belongs here: the filtering and the file of energies. Does not belong here: gating and what follows from it (r128) or
the report (loudness).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from processing.sound.graphs import RESAMPLE_OPTIONS, FilterChain
from processing.sound.layouts import Samples, loudness_weights
from processing.sound.r128 import HOPS_PER_S, Biquad, Energies, k_weighting, unmeasurable
from processing.sound.taps import SoundTap, SoundUnit

FILE = "energies.f32"  # little endian; 32 bits keep 1e-6 dB and hide the last bits in which processors differ
PEAK_DECIMALS = 7  # linear amplitudes: 0.001 dB at -60 dBFS


class LoudnessTap(SoundTap):
    """Writes `energies.f32`. Facts: hops, samples, weights of the channels, sample and true peak (linear).

    The true peak is that of BS.1770-5 annex 2: the greatest magnitude after oversampling. A rest of less than 10 ms
    belongs to no hop, as an incomplete block is not measured, but its peaks count. A rate that K-weighting is not
    defined for (`r128.unmeasurable`) gives peaks and no hop.
    """

    def __init__(self, unit: SoundUnit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        weights = loudness_weights(unit.channels)
        self._weights = weights
        self._heard = [index for index, weight in enumerate(weights) if weight]
        measured = self._heard and not unmeasurable(unit.rate_hz)
        self._weighting = FilterChain(unit.rate_hz, len(self._heard), _filters(unit.rate_hz)) if measured else None
        fine_rate_hz = unit.rate_hz * oversampling(unit.rate_hz)
        self._oversampler = FilterChain(
            unit.rate_hz, len(weights), (("aresample", f"{fine_rate_hz}:{RESAMPLE_OPTIONS}"),)
        )
        self._samples = 0
        self._hops = 0
        self._rest = np.zeros(0)
        self._sample_peak = 0.0
        self._true_peak = 0.0
        self._file = (folder / FILE).open("wb")

    def samples(self, block: Samples) -> None:
        self._samples += block.shape[1]
        self._sample_peak = max(self._sample_peak, _magnitude(block))
        self._true_peak = max(self._true_peak, _magnitude(self._oversampler.push(block)))
        if self._weighting is not None:
            self._measure(self._weighting.push(block[self._heard]))
        elif not self._heard and not unmeasurable(self.unit.rate_hz):  # a track that is all low-frequency channel
            self._measure(np.zeros((0, block.shape[1])))

    def close(self) -> Mapping[str, Any]:
        self._true_peak = max(self._true_peak, _magnitude(self._oversampler.finish()))
        if self._weighting is not None:
            self._measure(self._weighting.finish())
        self._file.close()
        return {
            "file": FILE,
            "hops": self._hops,
            "hops_per_s": HOPS_PER_S,
            "rate_hz": self.unit.rate_hz,
            "samples": self._samples,
            "channels": list(self.unit.channels),
            "weights": list(self._weights),
            "sample_peak": round(self._sample_peak, PEAK_DECIMALS),
            # the interpolated curve passes through the samples, so no true peak is below the sample peak
            "true_peak": round(max(self._true_peak, self._sample_peak), PEAK_DECIMALS),
        }

    def abandon(self) -> None:
        self._file.close()

    def _measure(self, weighted: Samples) -> None:
        """Sum the power of the channels and write the energy of every hop that is complete."""
        power = np.zeros(weighted.shape[1])
        for channel, index in zip(weighted, self._heard, strict=True):
            power += channel * channel * self._weights[index]
        power = np.concatenate([self._rest, power])
        first = _hop_start(self._hops, self.unit.rate_hz)
        complete = (first + power.size) * HOPS_PER_S // self.unit.rate_hz - self._hops
        borders = [_hop_start(self._hops + hop, self.unit.rate_hz) - first for hop in range(complete + 1)]
        self._rest = power[borders[-1] :]
        if complete > 0:
            energies = np.add.reduceat(power[: borders[-1]], borders[:-1]) / np.diff(borders)
            self._file.write(energies.astype("<f4").tobytes())
            self._hops += complete


def _hop_start(hop: int, rate_hz: int) -> int:
    """The first sample of a hop: rounded up, so that no error adds up where 10 ms is no whole number (11,025 Hz)."""
    return -(-hop * rate_hz // HOPS_PER_S)


def oversampling(rate_hz: int) -> int:
    """How many times a track is oversampled for its true peak: 4, and 2 above 100 kHz.

    Four times reads a tone at a quarter of the rate at most 0.17 dB low, well inside the -0.4 dB of EBU Tech 3341; at
    176.4 and 192 kHz what lies so high is not audible.
    """
    return 4 if rate_hz <= 100_000 else 2


def read_energies(path: Path) -> Energies:
    """The energies of a track as doubles."""
    return np.fromfile(path, "<f4").astype(np.float64)


def _filters(rate_hz: int) -> tuple[tuple[str, str], ...]:
    return tuple(("biquad", _arguments(biquad)) for biquad in k_weighting(rate_hz))


def _arguments(biquad: Biquad) -> str:
    b0, b1, b2, a1, a2 = (repr(coefficient) for coefficient in biquad)
    return f"a0=1:a1={a1}:a2={a2}:b0={b0}:b1={b1}:b2={b2}:precision=f64"


def _magnitude(block: Samples) -> float:
    """The greatest magnitude in a block."""
    return float(max(block.max(), -block.min())) if block.size else 0.0
