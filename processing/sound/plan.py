"""What the sound pass is asked for: taps, products, units. Pure, and imports no media library.

Belongs here: the taps other declarations name, their versions and parameters, what each unit is told. Does not belong
here: making anything (sound_pass).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from processing.timeline import from_rational
from processing.work import PlannedProduct, Tap

PASS = "soundtrack"  # noqa: S105  the pass over sound, not a password
# Raised when the samples a tap sees change (decoding, placing, resampling); every product's recipe changes with it.
PASS_CODE_VERSION = "1"  # noqa: S105
FLAC_CODE_VERSION = "2"
AAC_CODE_VERSION = "2"
LOUDNESS_BLOCKS_CODE_VERSION = "2"
PEAKS_CODE_VERSION = "1"

AAC_BIT_RATES = {"mono": 64_000, "stereo": 128_000, "5.1": 384_000}  # b/s; 64 kb/s a channel is transparent for AAC-LC
SAMPLES_PER_PIXEL = 256  # audiowaveform's default zoom

NO_SOUND = "the source has no sound"

Plan = Callable[[Mapping[str, Any], Mapping[str, Any]], list[PlannedProduct]]


def product_name(tap: str, track: int) -> str:
    """The name of what a tap makes of a track: "flac/0"."""
    return f"{tap}/{track}"


def applies(info: Mapping[str, Any], _options: Mapping[str, Any]) -> str | None:
    """None for a source with sound, else why there is nothing to make."""
    return None if info.get("audio") else NO_SOUND


def unit_parameters(info: Mapping[str, Any], _options: Mapping[str, Any], unit: str) -> dict[str, Any]:
    """What the task of one track is told: all of media_info that shapes the samples, nothing that only names them.

    `start` and `duration` are the track's declared span on the output timeline, rationals in seconds.
    """
    track = int(unit)
    audio = info["audio"][track]
    shaping = ("stream_index", "channels", "layout", "rate_hz", "start", "duration")
    return {
        "track": track,
        "audio": {name: audio[name] for name in shaping},
        "origin": info["origin"],
        **({"splices": info["splices"]} if info.get("splices") else {}),
    }


def _per_track(tap: str, operation: str, code_version: str, parameters: Mapping[str, Any]) -> Plan:
    def plan(info: Mapping[str, Any], _options: Mapping[str, Any]) -> list[PlannedProduct]:
        return [
            PlannedProduct(
                name=product_name(tap, track),
                unit=str(track),
                tap=operation,
                code_version=code_version,
                parameters=dict(parameters),
                media_s=float(from_rational(audio["start"]) + from_rational(audio["duration"])),
            )
            for track, audio in enumerate(info.get("audio") or [])
        ]

    return plan


FLAC_TAP = Tap("flac", PASS, _per_track("flac", "processing.sound.flac:FlacTap", FLAC_CODE_VERSION, {}))
AAC_TAP = Tap(
    "aac", PASS, _per_track("aac", "processing.sound.aac:AacTap", AAC_CODE_VERSION, {"bit_rates": AAC_BIT_RATES})
)
LOUDNESS_BLOCKS_TAP = Tap(
    "loudness_blocks",
    PASS,
    _per_track("loudness_blocks", "processing.sound.loudness_blocks:LoudnessTap", LOUDNESS_BLOCKS_CODE_VERSION, {}),
)
PEAKS_TAP = Tap(
    "peaks",
    PASS,
    _per_track(
        "peaks", "processing.sound.peaks:PeaksTap", PEAKS_CODE_VERSION, {"samples_per_pixel": SAMPLES_PER_PIXEL}
    ),
)
